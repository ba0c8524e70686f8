"""Questions an operator asks the outbox: what is due, what became of a mail."""

from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from app.database import db_now
from app.email.heartbeat import ALIVE_SECONDS, live_workers, workers
from app.email.models import OutboxMessage
from app.email.outbox import address_digests
from app.extensions import db

OUTCOMES = ("sent", "nobody", "expired", "failed", "answered")
STATES = ("due", "in_hand", "waiting", *OUTCOMES)


def _in_state(state: str) -> ColumnElement[bool]:
    still_open = OutboxMessage.done_at.is_(None)
    if state == "due":
        return still_open & (OutboxMessage.due_at <= db_now())
    if state in ("in_hand", "waiting"):
        return still_open & (OutboxMessage.due_at > db_now()) & (OutboxMessage.leased.is_(state == "in_hand"))
    return OutboxMessage.outcome == state


def counts() -> dict[str, int]:
    """`due` now, `in_hand` of a worker, `waiting` for a later try, and how the done ones ended."""
    ended = select(OutboxMessage.outcome, func.count()).where(OutboxMessage.done_at.is_not(None))
    found = {state: _count(_in_state(state)) for state in ("due", "in_hand", "waiting")} | dict.fromkeys(OUTCOMES, 0)
    return found | {str(outcome): count for outcome, count in db.session.execute(ended.group_by(OutboxMessage.outcome))}


def pace() -> dict[str, float]:
    """How fast mail leaves: the age of the oldest due row in seconds, and mails sent in the last hour."""
    recent = (OutboxMessage.outcome == "sent") & (OutboxMessage.done_at > db_now(-3600))
    return {"oldest_due_seconds": round(oldest_due_seconds(), 1), "sent_last_hour": _count(recent)}


def oldest_due_seconds() -> float:
    """For how long the oldest mail that could leave has been waiting; 0 where none is due."""
    oldest, now = db.session.execute(select(func.min(OutboxMessage.due_at), db_now()).where(_in_state("due"))).one()
    return (now - oldest).total_seconds() if oldest else 0.0


def delivering() -> list[dict[str, Any]]:
    """Which processes deliver, the last seen first; those that died are listed for a day."""
    return [
        {
            "host": worker.host,
            "pid": worker.pid,
            "kind": worker.kind,
            "started_at": worker.started_at.isoformat(timespec="seconds"),
            "seen_seconds_ago": round(seconds, 1),
            "alive": seconds < ALIVE_SECONDS,
        }
        for worker, seconds in workers()
    ]


def trouble(longest_due: float) -> str | None:
    """What is wrong with delivery, in a sentence: nobody delivers, or mail is due for longer than so many seconds."""
    if not live_workers():
        return f"No worker was seen in the last {ALIVE_SECONDS} seconds."
    age = oldest_due_seconds()
    return f"Mail is due for {age:.0f} seconds and does not leave." if age > longest_due else None


def queue() -> dict[str, float]:
    """Open mails by state, and the age of the oldest due one in seconds; cheap however long the history is."""
    now, still_open = db_now(), OutboxMessage.done_at.is_(None)
    states = [func.count().filter(_in_state(state)).label(state) for state in ("due", "in_hand", "waiting")]
    oldest = func.min(OutboxMessage.due_at).filter(_in_state("due"))
    *counted, since, moment = db.session.execute(select(*states, oldest, now).where(still_open)).one()
    age = (moment - since).total_seconds() if since else 0.0
    return dict(zip(("due", "in_hand", "waiting"), counted, strict=True)) | {"oldest_due_seconds": age}


def find(*, state: str | None = None, kind: str | None = None, address: str | None = None, most: int) -> list[Any]:
    """Rows, newest first."""
    query = select(OutboxMessage).order_by(OutboxMessage.id.desc()).limit(most)
    if state:
        query = query.where(_in_state(state))
    if kind:
        query = query.where(OutboxMessage.kind == kind)
    if address:
        query = query.where(OutboxMessage.address_digest.in_(address_digests(address)))
    return list(db.session.scalars(query))


def trace(address_or_reference: str) -> list[OutboxMessage]:
    """The rows of an address, or of a reference as page and mail show it, oldest first."""
    if "@" in address_or_reference:
        return find(address=address_or_reference, most=100)[::-1]
    start = address_or_reference.strip().replace("-", "").lower()
    if len(start) < 8 or not start.isalnum():
        return []
    query = select(OutboxMessage).where(OutboxMessage.message_id.startswith(start)).order_by(OutboxMessage.id)
    return list(db.session.scalars(query))


def hasten(reference: str | None = None) -> int:
    """Make what waits for a later try due now; how many rows. What a worker has in hand is left to it."""
    waits = _in_state("waiting")
    if reference is not None:
        waits &= OutboxMessage.id.in_([row.id for row in trace(reference)])
    hastened = update(OutboxMessage).where(waits).values(due_at=db_now()).returning(OutboxMessage.id)
    return len(db.session.scalars(hastened).all())


def verdict(row: OutboxMessage) -> str:
    """What became of a mail, in a sentence."""
    if row.done_at is None and row.leased:
        return "a worker has it in hand, or had when it died"
    if row.done_at is None:
        return (
            f"not done yet: due {row.due_at:%Y-%m-%d %H:%M:%S}, given up after {row.expires_at:%Y-%m-%d %H:%M:%S} (UTC)"
        )
    return {
        "sent": "sent: the mail server has taken it",
        "nobody": "nobody: no active account has that address, so nothing was sent",
        "expired": "expired: it could not leave in time, and a mail so late would have been of no use",
        "answered": "answered: the operator has printed a link with flask users reset-link",
        "failed": f"failed: {row.last_error}",
    }[str(row.outcome)]


def _count(condition: ColumnElement[bool]) -> int:
    return db.session.scalar(select(func.count()).select_from(OutboxMessage).where(condition)) or 0
