"""Mails that somebody waits for and that have not left: all of them, where MAIL_DELIVERY is off."""

from collections.abc import Sequence

from flask import current_app
from sqlalchemy import ColumnElement, select, update

from app.database import db_now, utcnow
from app.email.models import OutboxMessage
from app.email.outbox import address_digests
from app.extensions import db


def requests(kinds: Sequence[str]) -> list[OutboxMessage]:
    """Open rows of these kinds that are still of use, in the order they were asked for."""
    asked = select(OutboxMessage).where(_still_waits(), OutboxMessage.kind.in_(kinds))
    return list(db.session.scalars(asked.order_by(OutboxMessage.created_at, OutboxMessage.id)))


def answer(address: str, kinds: Sequence[str]) -> int:
    """Mark what waits for an address as answered by the operator, in the caller's transaction; how many rows.

    Only where MAIL_DELIVERY is off: elsewhere the mail that a page has promised still leaves.
    """
    if current_app.config["MAIL_DELIVERY"] != "off":
        return 0
    mine = OutboxMessage.address_digest.in_(address_digests(address)) & OutboxMessage.kind.in_(kinds)
    word = [[utcnow().isoformat(timespec="seconds"), "answered by the operator"]]
    done = update(OutboxMessage).where(mine, OutboxMessage.done_at.is_(None))
    answered = done.values(done_at=db_now(), outcome="answered", args={}, tries=word).returning(OutboxMessage.id)
    return len(db.session.scalars(answered).all())


def _still_waits() -> ColumnElement[bool]:
    return OutboxMessage.done_at.is_(None) & (OutboxMessage.expires_at > db_now())
