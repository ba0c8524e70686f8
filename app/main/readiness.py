"""Whether this process can serve: the database answers within a second, and its schema is the one the code needs."""

from threading import Event, Lock, Thread

from flask import Flask, current_app
from sqlalchemy import Engine, select

from app import schema
from app.database import db_now
from app.extensions import db

SECONDS = 1


class Readiness:
    """Looks at the database from a thread, for nothing else returns in time from a server that hangs.

    There is one such look at a time: probes that come meanwhile wait for the same one, so that a database that hangs
    for hours costs one thread and one connection.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.lock = Lock()
        self.over = Event()
        self.over.set()
        self.failing: str | None = None
        self.schema_is_right = False

    def failing_part(self) -> str | None:
        with self.lock:
            if self.over.is_set():
                self._begin_to_look()
        return self.failing if self.over.wait(SECONDS) else "database"

    def _begin_to_look(self) -> None:
        self.over.clear()
        try:
            Thread(target=self._look, name="readiness", daemon=True).start()
        except (RuntimeError, MemoryError):  # there are no more threads now; the next probe tries again
            self.failing = "database"
            self.over.set()

    def _look(self) -> None:
        try:
            self.failing = self._find_fault()
        except Exception:
            self.failing = "database"
        finally:
            self.over.set()

    def _find_fault(self) -> str | None:
        # On SQLite, a reader waits for no writer.
        with self.engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
            connection.scalar(select(db_now()))
            if not self.schema_is_right:
                self.schema_is_right = schema.state_of(connection) in (schema.State.AT_HEAD, schema.State.AHEAD)
        return None if self.schema_is_right else "schema"


def init_app(app: Flask) -> None:
    with app.app_context():
        app.extensions["readiness"] = Readiness(db.engine)


def failing_part() -> str | None:
    """`database` or `schema`; None where all is well."""
    return current_app.extensions["readiness"].failing_part()
