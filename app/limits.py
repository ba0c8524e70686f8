"""Exact rate limits in SQL, shared by every process of every machine.

A rate is a burst and a refill (GCRA, ITU-T I.371): a row keeps the moment at which the burst would be whole again, one
upsert moves it on or refuses, and the database's clock and row lock make that exact. Rows are named by keyed digests:
the table says neither who was asked for nor from where. All is part of the caller's transaction, which must be short.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from flask import Flask, current_app
from sqlalchemy import ColumnElement, Row, Select, String, case, delete, literal, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import TooManyRequests

from app import signals
from app.database import Base, UtcDateTime, db_now, seconds_after
from app.extensions import db
from app.keys import keyed_digests

logger = logging.getLogger(__name__)

Upsert = sqlite.Insert | postgresql.Insert


@dataclass(frozen=True)
class Rate:
    """So many at once, then one every `seconds`."""

    name: str
    burst: int
    seconds: float


# Mails that anybody may ask for, to one address: 27 a day at most, and the owner waits an hour at most.
MAILS = Rate("mails to an address", burst=3, seconds=3600)
# The same, asked for by a browser that has signed in to that address before: a flood by others leaves it alone.
MAILS_KNOWN = Rate("mails to an address, for a known browser", burst=3, seconds=3600)
# The same, for a day after the owner said "this was not me".
MAILS_SLOW = Rate("mails to an address that complained", burst=1, seconds=4 * 3600)
COMPLAINT = Rate("complaint of an address", burst=1, seconds=24 * 3600)
# Asked for by somebody who is signed in: each goes to a stranger, perhaps, and to the account's present address.
EMAIL_CHANGES = Rate("changes of address by an account", burst=5, seconds=3600)
# From one network (an IPv4 address, an IPv6 /64), for whatever address.
MAILS_FROM = Rate("mails asked for by a network", burst=30, seconds=60)
SIGN_INS_FROM = Rate("failed sign-ins from a network", burst=30, seconds=60)
# Notices that others can cause.
NEW_SIGN_INS = Rate("notices of new browsers", burst=3, seconds=3600)
FAILURE_NOTICES = Rate("notices of failed sign-ins", burst=1, seconds=24 * 3600)

# Tries that failed in a row: free to the fifth, then a pause of a second, doubling to an hour.
FREE_FAILURES = 5
LONGEST_PAUSE = 3600


class RateLimit(Base):
    """What is left of one rate for one subject; or failures in a row, and when the next try is allowed."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    full_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    failures: Mapped[int] = mapped_column(default=0)


class Limited(TooManyRequests):
    """Answered 429, with Retry-After."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(retry_after=max(1, ceil(seconds)))
        logger.warning("limit reached: %s, next in %d s", name, ceil(seconds))
        signals.send(signals.limit_reached, name=name)


class BudgetSpentError(Exception):
    """So many per window, and the window is not over for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next in {ceil(seconds)} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Turn:
    """When something limited may happen: after `wait` seconds. Not `mine` where another waits for that turn."""

    wait: float
    mine: bool


def init_app(app: Flask) -> None:
    if not app.config["RATELIMIT_ENABLED"]:
        logger.warning("RATELIMIT_ENABLED is off: passwords can be guessed and mailboxes flooded at any speed")


def take(rate: Rate, subject: str) -> None:
    """Use one up, or raise Limited."""
    if is_on() and _advance(rate, subject, rate.burst) is None:
        raise Limited(rate.name, _wait(_state(_key(rate.name, subject)), (rate.burst - 1) * rate.seconds))


def give_back(rate: Rate, subject: str) -> None:
    """Undo a `take` that turned out not to count."""
    if is_on():
        db.session.connection().execute(
            update(RateLimit)
            .where(RateLimit.key == _key(rate.name, subject))
            .values(full_at=seconds_after(RateLimit.full_at, -rate.seconds))
        )


def reserve(rate: Rate, subject: str) -> Turn:
    """Use one up, or the next to come: one waits for that, and all further ones are told so."""
    if not is_on():
        return Turn(0, mine=True)
    moved = _advance(rate, subject, rate.burst + 1)
    wait = _wait(moved or _state(_key(rate.name, subject)), rate.burst * rate.seconds)
    return Turn(max(0, wait), mine=moved is not None)


def allows(rate: Rate, subject: str) -> bool:
    """Use one up if there is one, and say so."""
    return not is_on() or _advance(rate, subject, rate.burst) is not None


def wait_for(rate: Rate, subject: str) -> float:
    """Seconds until one could be taken."""
    state = db.session.connection().execute(_reading(_key(rate.name, subject))).one_or_none()
    return max(0.0, _wait(state, (rate.burst - 1) * rate.seconds)) if state else 0.0


def mark(rate: Rate, subject: str) -> None:
    """Use one up if there is one; `is_marked` until it has come back."""
    if is_on():
        _advance(rate, subject, rate.burst)


def is_marked(rate: Rate, subject: str) -> bool:
    present = select(RateLimit.key).where(RateLimit.key == _key(rate.name, subject), RateLimit.full_at > db_now())
    return is_on() and db.session.scalar(present) is not None


def count_failure(name: str, subject: str, *, pausing: bool) -> int:
    """Count a try as failed before it is made, so that parallel ones cannot outrun the count; how many in a row.

    With `pausing`, raises Limited while the pause since the last one lasts.
    """
    if not is_on():
        return 0
    key = _key(name, subject)
    free = RateLimit.failures < FREE_FAILURES if pausing else true()
    statement = _upsert(
        {"key": key, "failures": 1, "full_at": db_now()},
        {"failures": RateLimit.failures + 1, "full_at": db_now(_pause(RateLimit.failures + 1) if pausing else 0)},
        where=or_(free, RateLimit.full_at <= db_now()),
    )
    failures = db.session.connection().scalar(statement.returning(RateLimit.failures))
    if failures is None:
        raise Limited(name, _wait(_state(key), 0))
    return int(failures)


def forget(name: str, subject: str) -> None:
    """Failures in a row are over: a success came between."""
    if is_on():
        db.session.connection().execute(delete(RateLimit).where(RateLimit.key == _key(name, subject)))


def spend(name: str, most: int, seconds: float) -> None:
    """Use up one of so many in a window of so many seconds, which begins with its first: a quota, as providers set it.

    Raises BudgetSpentError. Whether RATELIMIT_ENABLED is on does not matter.
    """
    key = _key(name, "")
    is_over = RateLimit.full_at <= db_now()
    spent = case((is_over, 1), else_=RateLimit.failures + 1)
    until = case((is_over, db_now(seconds)), else_=RateLimit.full_at)
    statement = _upsert(
        {"key": key, "failures": 1, "full_at": db_now(seconds)},
        {"failures": spent, "full_at": until},
        where=or_(is_over, RateLimit.failures < most),
    )
    if db.session.connection().scalar(statement.returning(RateLimit.key)) is None:
        raise BudgetSpentError(_wait(_state(key), 0))


def unspend(name: str) -> None:
    """Undo a `spend` that came to nothing."""
    spent = (RateLimit.key == _key(name, ""), RateLimit.failures > 0)
    db.session.connection().execute(update(RateLimit).where(*spent).values(failures=RateLimit.failures - 1))


def is_on() -> bool:
    return bool(current_app.config["RATELIMIT_ENABLED"])


def _advance(rate: Rate, subject: str, most: int) -> Row[datetime, datetime] | None:
    """Move on the moment at which the burst is whole again, where no more than `most` are then out."""
    whole = case((RateLimit.full_at > db_now(), RateLimit.full_at), else_=db_now())
    statement = _upsert(
        {"key": _key(rate.name, subject), "full_at": db_now(rate.seconds), "failures": 0},
        {"full_at": seconds_after(whole, rate.seconds)},
        where=RateLimit.full_at <= db_now((most - 1) * rate.seconds),
    )
    return db.session.connection().execute(statement.returning(RateLimit.full_at, db_now())).one_or_none()


def _pause(failures: ColumnElement[int]) -> ColumnElement[int]:
    beyond = failures - FREE_FAILURES
    doubling = literal(1).bitwise_lshift(beyond)
    return case((beyond < 0, 0), (beyond < LONGEST_PAUSE.bit_length(), doubling), else_=LONGEST_PAUSE)


def _upsert(new: dict[str, object], change: dict[str, object], where: ColumnElement[bool]) -> Upsert:
    """The same on both databases, which SQLAlchemy knows under two names."""
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    return insert(RateLimit).values(new).on_conflict_do_update(index_elements=["key"], set_=change, where=where)


def _state(key: str) -> Row[datetime, datetime]:
    return db.session.connection().execute(_reading(key)).one()


def _reading(key: str) -> Select[datetime, datetime]:
    return select(RateLimit.full_at, db_now()).where(RateLimit.key == key)


def _wait(state: Row[datetime, datetime], tolerance: float) -> float:
    full_at, now = state
    return (full_at - now).total_seconds() - tolerance


def _key(name: str, subject: str) -> str:
    return keyed_digests(f"limit {name}", subject)[0]
