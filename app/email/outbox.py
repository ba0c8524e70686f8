"""Mail that is never lost: promise it in the caller's transaction, deliver it from any process.

A row is claimed by moving `due_at` a lease ahead, and that is committed before anything is sent: a row whose worker
died becomes due again by itself. Sent, it is marked. A crash between the server's 250 and the mark sends the same mail,
with the same Message-ID, once more; nothing ever makes it vanish.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import InterfaceError, OperationalError

from app.database import db_now
from app.email import smtp
from app.email.addresses import address_key
from app.email.models import OutboxMessage, new_message_id
from app.email.render import Draft, render
from app.extensions import db
from app.keys import keyed_digest

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
FIRST_RETRY_SECONDS = 5
LAST_RETRY_SECONDS = 300
BROKEN_AFTER_TRIES = 5  # of a composer or template: no later try will mend it
DATABASE_AWAY = (OperationalError, InterfaceError)


@dataclass(frozen=True)
class Urgency:
    """How soon a mail goes, and when it is no longer worth sending."""

    priority: int  # lower goes first
    life: timedelta


LINK = Urgency(priority=0, life=timedelta(hours=6))  # somebody is waiting for it
NOTICE = Urgency(priority=10, life=timedelta(days=3))  # a backlog of these never delays a link


Composer = Callable[[OutboxMessage], Draft | None]
_composers: dict[str, tuple[Urgency, Composer]] = {}


def composes(kind: str, urgency: Urgency) -> Callable[[Composer], Composer]:
    """Register the function that turns a row of this kind into a draft, or into None when there is nobody to write to.

    It runs in the worker, outside any request, once for every try. What it adds to the session is committed before
    the mail leaves.
    """

    def register(composer: Composer) -> Composer:
        _composers[kind] = (urgency, composer)
        return composer

    return register


def enqueue(kind: str, args: dict[str, Any], *, address: str, locale: str | None) -> OutboxMessage:
    """Promise a mail, in the caller's transaction: it leaves if and only if that commits.

    `args` is JSON and is wiped when the row is done; of `address` only a keyed digest is kept, for `trace`.
    """
    urgency, _ = _composers[kind]
    row = OutboxMessage(
        kind=kind,
        args=args,
        locale=locale,
        priority=urgency.priority,
        created_at=db_now(),
        due_at=db_now(),
        expires_at=db_now(urgency.life.total_seconds()),
        message_id=new_message_id(),
        address_digest=digest_address(address),
    )
    db.session.add(row)
    return row


def digest_address(address: str) -> str:
    return keyed_digest("outbox address", address_key(address))


def claim() -> OutboxMessage | None:
    """Take the most urgent due row for LEASE_SECONDS, so that no other worker does, and commit."""
    due = (
        select(OutboxMessage.id)
        .where(OutboxMessage.done_at.is_(None), OutboxMessage.due_at <= db_now())
        .order_by(OutboxMessage.priority, OutboxMessage.due_at)
        .limit(1)
    )
    # A glance first: on SQLite the claim takes the write lock, and an idle worker must not.
    with db.engine.connect().execution_options(sqlite_begin="DEFERRED") as reader:
        if reader.scalar(due) is None:
            return None
    claimed = due.with_for_update(skip_locked=True).cte("due")  # SQLite, which has one writer, drops the clause
    row = db.session.scalar(
        update(OutboxMessage)
        .where(OutboxMessage.id.in_(select(claimed.c.id)))
        .values(due_at=db_now(LEASE_SECONDS), attempts=OutboxMessage.attempts + 1)
        .returning(OutboxMessage)
    )
    db.session.commit()
    return row


def deliver(row: OutboxMessage, connection: smtp.Connection) -> None:
    """One try: compose, render, send, mark. A mail that cannot leave is kept for a later try or given up, visibly.

    Raises what says that the database is away: nothing can be marked then, and the lease brings the row back.
    """
    try:
        outcome = _send(row, connection)
    except DATABASE_AWAY:
        raise
    except Exception as error:
        db.session.rollback()
        _postpone_or_give_up(row, error)
    else:
        _finish(row, outcome)
    db.session.commit()


def _send(row: OutboxMessage, connection: smtp.Connection) -> str:
    claimed_at = row.due_at - timedelta(seconds=LEASE_SECONDS)  # by the database's clock
    if row.expires_at <= claimed_at:
        return "expired"
    draft = _compose(row)
    if draft is None:
        return "nobody"
    db.session.commit()  # a link must be good before its mail arrives, and no lock is held while SMTP talks
    connection.send(_render(row, draft))
    db.session.add_all(draft.once_sent)
    return "sent"


class BrokenMailError(Exception):
    """A composer or a template failed. Wrapped, because Jinja's TemplateNotFound is an OSError, like bad networks."""


def _compose(row: OutboxMessage) -> Draft | None:
    try:
        _, composer = _composers[row.kind]
        return composer(row)
    except DATABASE_AWAY:
        raise
    except Exception as error:
        raise BrokenMailError from error


def _render(row: OutboxMessage, draft: Draft) -> smtp.Message:
    try:
        return render(row, draft)
    except Exception as error:
        raise BrokenMailError from error


def _finish(row: OutboxMessage, outcome: str) -> None:
    row.done_at, row.outcome, row.args = db_now(), outcome, {}
    logger.info("mail %s %s: %s after %d tries", row.reference, row.kind, outcome, row.attempts)


def _postpone_or_give_up(row: OutboxMessage, error: Exception) -> None:
    broken = isinstance(error, BrokenMailError)
    verdict = smtp.judge(error)
    row.last_error = smtp.describe(error.__cause__ if broken else error)
    level = logging.WARNING if verdict is smtp.Verdict.RETRY else logging.ERROR
    words = (row.reference, row.kind, row.attempts, row.last_error)
    logger.log(level, "mail %s %s: try %d: %s", *words, exc_info=error if broken else None)
    if (broken and row.attempts >= BROKEN_AFTER_TRIES) or verdict is smtp.Verdict.REFUSED:
        _finish(row, "failed")
    else:
        row.due_at = db_now(_pause(row.attempts))


def _pause(tries: int) -> float:
    """Seconds until the next try: doubling, capped, and never in step with the other rows' tries."""
    pause = min(FIRST_RETRY_SECONDS * 2 ** (tries - 1), LAST_RETRY_SECONDS)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
