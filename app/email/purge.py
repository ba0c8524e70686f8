"""Deleting what is done with: every table's owner registers how, and the workers do it by themselves once an hour."""

from collections.abc import Callable

from flask import current_app
from sqlalchemy import ColumnElement, delete, inspect, select

from app.database import Base, db_now
from app.email.models import OutboxMessage
from app.extensions import db

CHUNK = 1000

_purges: dict[str, tuple[type[Base], Callable[[], ColumnElement[bool]]]] = {}


def purges(table: type[Base]) -> Callable[[Callable[[], ColumnElement[bool]]], Callable[[], ColumnElement[bool]]]:
    """Register the function that says which rows of a table are dead."""

    def register(dead: Callable[[], ColumnElement[bool]]) -> Callable[[], ColumnElement[bool]]:
        _purges[table.__tablename__] = (table, dead)
        return dead

    return register


def purge() -> dict[str, int]:
    """Delete every dead row; how many, by table."""
    return {name: _delete(table, dead()) for name, (table, dead) in _purges.items()}


def _delete(table: type[Base], dead: ColumnElement[bool]) -> int:
    """A thousand at a time, each in a transaction of its own: nobody waits long for the lock."""
    [key] = inspect(table).primary_key
    total = 0
    while True:
        some = select(key).where(dead).limit(CHUNK)
        gone = db.session.scalars(delete(table).where(key.in_(some)).returning(key)).all()
        db.session.commit()
        total += len(gone)
        if len(gone) < CHUNK:
            return total


@purges(OutboxMessage)
def _done_mails() -> ColumnElement[bool]:
    old = OutboxMessage.done_at < db_now(-86_400 * current_app.config["MAIL_RETENTION_DAYS"])
    if current_app.config["MAIL_DELIVERY"] != "off":
        return old
    return old | (OutboxMessage.done_at.is_(None) & (OutboxMessage.expires_at < db_now()))  # which no worker will mark
