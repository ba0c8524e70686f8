"""Mail that is never lost: promise it in the caller's transaction, deliver it from any process.

A row is claimed by moving `due_at` a lease ahead, and that is committed before anything is sent: a row whose worker
died becomes due again by itself. Sent, it is marked. A crash between the server's 250 and the mark sends the same mail,
with the same Message-ID, once more; nothing ever makes it vanish.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import Insert, Select, Update, select, tuple_, update

from app import signals
from app.database import DATABASE_AWAY, db_now, utcnow
from app.email import smtp
from app.email.addresses import address_key
from app.email.models import NOTICE, OutboxMessage, Urgency, new_message_id
from app.email.render import Draft, HeldBackError, render
from app.email.tries import Ending, told
from app.extensions import db
from app.keys import keyed_digests
from app.limits import BudgetSpentError, spend, unspend

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
FIRST_RETRY_SECONDS = 5
LAST_RETRY_SECONDS = 300
TRIES_KEPT = 50
BUDGET = "mails of the whole site"
BROKEN_AFTER_TRIES = 5  # of a composer or template: no later try will mend it


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


def enqueue(kind: str, args: dict[str, Any], *, address: str, locale: str | None, wait: float = 0) -> OutboxMessage:
    """Promise a mail, in the caller's transaction: it leaves if and only if that commits, after `wait` seconds.

    `args` is JSON and is wiped when the row is done; of `address` only a keyed digest is kept, for `trace`.
    """
    urgency, _ = _composers[kind]
    row = OutboxMessage(
        kind=kind,
        args=args,
        locale=locale,
        priority=urgency.priority,
        created_at=db_now(),
        due_at=db_now(wait),
        expires_at=db_now(wait + urgency.life.total_seconds()),
        message_id=new_message_id(),
        address_digest=address_digests(address)[0],
    )
    if urgency is not NOTICE or current_app.config["MAIL_DELIVERY"] != "off":  # without mail, nobody would read it
        db.session.add(row)
    return row


def waiting(address: str, kinds: Sequence[str]) -> OutboxMessage | None:
    """The last open row of these kinds for the address that no worker has in hand."""
    return db.session.scalar(
        select(OutboxMessage)
        .where(
            OutboxMessage.address_digest.in_(address_digests(address)),
            OutboxMessage.kind.in_(kinds),
            OutboxMessage.done_at.is_(None),
            OutboxMessage.leased.is_(False),
        )
        .order_by(OutboxMessage.due_at.desc())
        .limit(1)
        .with_for_update()  # it must not leave before the caller has changed its kind
    )


def address_digests(address: str) -> list[str]:
    """Under the present key, then under each former one."""
    return keyed_digests("outbox address", address_key(address))


def claim(most: int = 1, before: datetime | None = None) -> list[OutboxMessage]:
    """Take the most urgent due rows for LEASE_SECONDS, so that no other worker does, and commit.

    With `before`, only rows that were due by then. They come detached: what happens to the session later does not
    touch them.
    """
    # A glance first: on SQLite the claim takes the write lock, and an idle worker must not.
    with db.engine.connect().execution_options(sqlite_begin="DEFERRED") as reader:
        if reader.scalar(due(1, before)) is None:
            return []
    rows = db.session.scalars(claiming(most, before).returning(OutboxMessage)).all()
    db.session.commit()
    db.session.expunge_all()
    return sorted(rows, key=lambda row: (row.priority, row.created_at, row.id))


def due(most: int, before: datetime | None = None) -> Select[int]:
    """The ids of the most urgent due rows."""
    return (
        select(OutboxMessage.id)
        .where(OutboxMessage.done_at.is_(None), OutboxMessage.due_at <= (before or db_now()))
        .order_by(OutboxMessage.priority, OutboxMessage.due_at)
        .limit(most)
    )


def claiming(most: int, before: datetime | None = None) -> Update:
    """The one statement of a claim. Workers pass over rows that another is claiming at this moment."""
    # SQLite, which has one writer, drops FOR UPDATE SKIP LOCKED.
    claimed = due(most, before).with_for_update(skip_locked=True).cte("due")
    return (
        update(OutboxMessage)
        .where(OutboxMessage.id.in_(select(claimed.c.id)))
        .values(due_at=db_now(LEASE_SECONDS), leased=True, attempts=OutboxMessage.attempts + 1)
    )


def renew(rows: list[OutboxMessage]) -> None:
    """Extend the lease of rows still in hand, and commit. A row that was marked meanwhile keeps its mark."""
    if rows:
        _change_if_mine(rows, due_at=db_now(LEASE_SECONDS))


def hand_back(rows: list[OutboxMessage]) -> None:
    """Return rows that were not tried: due at once, in the order they came, for any worker."""
    if rows:
        _change_if_mine(rows, due_at=OutboxMessage.created_at, leased=False, attempts=OutboxMessage.attempts - 1)


def _change_if_mine(rows: list[OutboxMessage], **values: Any) -> None:
    leases = [(row.id, row.due_at) for row in rows]
    changed = db.session.connection().execute(
        update(OutboxMessage)
        .where(tuple_(OutboxMessage.id, OutboxMessage.due_at).in_(leases), OutboxMessage.done_at.is_(None))
        .values(**values)
        .returning(OutboxMessage.id, OutboxMessage.due_at)
    )
    new_leases = {row.id: row.due_at for row in changed}
    db.session.commit()
    for row in rows:
        row.due_at = new_leases.get(row.id, row.due_at)


@told
def deliver(row: OutboxMessage, connection: smtp.Connection) -> Ending:
    """One try: compose, render, send, mark. A mail that cannot leave is kept for a later try or given up, visibly.

    Raises UnreachableError, after noting it, where there was no server to speak to; BudgetSpentError, with the row
    handed back; and what says that the database is away: nothing can be marked then, and the lease brings the row back.
    """
    try:
        outcome, words, records = _send(row, connection)
    except DATABASE_AWAY:
        raise
    except BudgetSpentError:
        db.session.rollback()
        hand_back([row])
        raise
    except smtp.UnreachableError as error:
        db.session.rollback()
        _unspend()
        _note(row, smtp.describe(error), due_at=db_now())  # the worker rests, not the row
        raise
    except HeldBackError as error:
        db.session.rollback()
        _note(row, "held back", due_at=db_now(error.seconds), attempts=OutboxMessage.attempts - 1)
        return Ending("held back")
    except Exception as error:
        db.session.rollback()
        _unspend()
        return _postpone_or_give_up(row, error)
    _finish(row, outcome, words, records)
    return Ending(outcome, words)


def _send(row: OutboxMessage, connection: smtp.Connection) -> tuple[str, str, list[Insert]]:
    """The row's outcome, the server's receipt, and what is to be recorded with it."""
    claimed_at = row.due_at - timedelta(seconds=LEASE_SECONDS)  # by the database's clock
    if row.expires_at <= claimed_at:
        return "expired", "outlived its use", []
    draft = _compose(row)
    message = _render(row, draft) if draft else None
    if message and (budget := current_app.config["MAIL_HOURLY_BUDGET"]):
        spend(BUDGET, budget, seconds=3600)
    db.session.commit()  # a link must be good before its mail arrives, and no lock is held while SMTP talks
    if draft is None or message is None:
        return "nobody", "no account to write to", []
    with signals.timed(signals.smtp_talked):
        connection.send(message)
    return "sent", connection.receipt, draft.once_sent


def _unspend() -> None:
    """A mail that did not leave costs no budget."""
    if current_app.config["MAIL_HOURLY_BUDGET"]:
        unspend(BUDGET)


class BrokenMailError(Exception):
    """A composer or a template failed. Wrapped, because Jinja's TemplateNotFound is an OSError, like bad networks."""


class UnknownKindError(Exception):
    """A kind no composer is registered for: a newer release may know it, so the row waits until it expires."""


def _compose(row: OutboxMessage) -> Draft | None:
    if row.kind not in _composers:
        raise UnknownKindError
    try:
        _, composer = _composers[row.kind]
        return composer(row)
    except (*DATABASE_AWAY, HeldBackError):
        raise
    except Exception as error:
        raise BrokenMailError from error


def _render(row: OutboxMessage, draft: Draft) -> smtp.Message:
    try:
        return render(row, draft)
    except Exception as error:
        raise BrokenMailError from error


def _finish(row: OutboxMessage, outcome: str, words: str, records: Sequence[Insert] = ()) -> None:
    """Mark the row as done. A mail that has left is marked even if the database is away for a moment: the mark is
    all that keeps it from leaving again."""
    for seconds in (0.2, 0.5, 1, 2, 4, 8, None):
        try:
            for record in records:
                db.session.connection().execute(record)
            _note(row, words, done_at=db_now(), outcome=outcome, args={})
            return
        except DATABASE_AWAY:
            db.session.rollback()
            if seconds is None or outcome != "sent":
                raise
            time.sleep(seconds)
        except Exception:
            db.session.rollback()
            if not records:
                raise
            # Their account was deleted while the mail was on its way, or they are faulty: the mark comes first.
            logger.warning("mail %s: what was to be recorded is not", row.reference, exc_info=True)
            records = ()


def _postpone_or_give_up(row: OutboxMessage, error: Exception) -> Ending:
    broken = isinstance(error, BrokenMailError)
    verdict = smtp.judge(error)
    words = smtp.describe(error.__cause__ if broken else error)
    give_up = (broken and row.attempts >= BROKEN_AFTER_TRIES) or verdict is smtp.Verdict.REFUSED
    if give_up:
        _finish(row, "failed", words)
    else:
        _note(row, words, due_at=db_now(pause(row.attempts)))
    level = logging.WARNING if verdict is smtp.Verdict.RETRY else logging.ERROR
    return Ending("failed" if give_up else "later", words, level, error if broken else None)


def _note(row: OutboxMessage, words: str, **values: Any) -> None:
    """Write down how a try ended, and commit."""
    tries = [*row.tries, [utcnow().isoformat(timespec="seconds"), words]][-TRIES_KEPT:]
    if values.get("outcome") not in ("sent", "nobody"):
        values["last_error"] = words
    db.session.connection().execute(  # past the session, which would look for objects to keep in step
        update(OutboxMessage)
        .where(OutboxMessage.id == row.id, OutboxMessage.done_at.is_(None))
        .values(tries=tries, leased=False, **values)
    )
    db.session.commit()


def pause(tries: int) -> float:
    """Seconds until the next try: doubling, capped, and never in step with the other tries."""
    seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(tries - 1, 10), LAST_RETRY_SECONDS)
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret # nosec B311
