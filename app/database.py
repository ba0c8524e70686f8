"""What every table and every connection has in common, on SQLite and on PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from flask import Flask, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    SQLColumnExpression,
    TypeDecorator,
    event,
    literal,
    orm,
)
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.sql.functions import FunctionElement

DATABASE_AWAY = (OperationalError, InterfaceError)  # what is raised while it cannot be reached, or is locked for long
PING_AFTER_SECONDS = 5

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


class Base(DeclarativeBase):
    metadata = MetaData(
        # Without names of their own, constraints could not be changed by a later migration on SQLite.
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class CallingSession(Session):
    """Makes the calls that wait for its commit, after it; a rollback forgets them."""

    def commit(self) -> None:
        super().commit()
        for call in self.info.pop("after commit", ()):
            call()

    def rollback(self) -> None:
        self.info.pop("after commit", None)
        super().rollback()


def call_after_commit(session: orm.Session, call: Callable[[], object]) -> None:
    session.info.setdefault("after commit", []).append(call)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets time zones: naive values are refused going in and given back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utcnow() -> datetime:
    return datetime.now(UTC)


class db_now(FunctionElement[datetime]):  # noqa: N801 - it stands for a SQL function
    """The database's clock, plus a number of seconds: hosts may disagree on the time, the database does not."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, plus_seconds: float | ColumnElement[int] = 0) -> None:
        super().__init__(literal(plus_seconds) if isinstance(plus_seconds, int | float) else plus_seconds)


class seconds_after(FunctionElement[datetime]):  # noqa: N801 - it stands for a SQL function
    """A moment in the database, plus a number of seconds."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, moment: SQLColumnExpression[datetime], seconds: float) -> None:
        super().__init__(moment, literal(seconds))


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: Any, **kw: Any) -> str:
    # STABLE, unlike clock_timestamp(), so that an index can serve a comparison with it.
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(seconds_after, "postgresql")
def _postgresql_after(element: seconds_after, compiler: Any, **kw: Any) -> str:
    moment, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} + make_interval(secs => {seconds}))"


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: Any, **kw: Any) -> str:
    # Zeros fill the milliseconds up to the six digits SQLAlchemy stores, so that text compares as time does.
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {compiler.process(element.clauses, **kw)} || ' seconds')"


@compiles(seconds_after, "sqlite")
def _sqlite_after(element: seconds_after, compiler: Any, **kw: Any) -> str:
    moment, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strftime('%Y-%m-%d %H:%M:%f000', {moment}, {seconds} || ' seconds')"


def init_app(app: Flask, db: SQLAlchemy) -> None:
    with app.app_context():
        engine = db.engine
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _ping_after_idling)


def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = monotonic()


def _ping_after_idling(connection: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Replace a connection that the server or a firewall cut while it idled.

    SQLAlchemy's own pool_pre_ping asks before every transaction, which costs a mail or a page a round trip or two.
    """
    if monotonic() - record.info.get("used_at", monotonic()) > PING_AFTER_SECONDS:
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except Exception as error:
            raise DisconnectionError from error


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN leaves the first SELECT outside the transaction
    # WAL lets readers and a writer work at once; FULL syncs every commit, for a promise must outlive a power cut.
    # The first of several nodes switches a new file to WAL, and migrates it; the others wait for that.
    patient = ("busy_timeout=60000", "journal_mode=WAL")
    for pragma in (*patient, "busy_timeout=5000", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once wherever a write may follow.

    Read-then-write in a plain BEGIN fails at once with "database is locked" when another writer came between;
    BEGIN IMMEDIATE waits for its turn. A GET reads; if it writes, then in a transaction that reads nothing first.
    """
    reads = connection.get_execution_options().get("sqlite_begin") == "DEFERRED"
    reads = reads or (has_request_context() and request.method in ("GET", "HEAD"))
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
