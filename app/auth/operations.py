"""What is done to an account as a whole, in the caller's transaction: by its operator, or by its owner."""

import logging
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from app import signals
from app.auth.models import EmailChange, Registration, SecurityEvent, User, UserSession, random_id
from app.database import db_now
from app.email import address_key
from app.extensions import db

logger = logging.getLogger(__name__)

BATCH = 1000  # accounts in one transaction

Client = dict[str, str]


def disable(user: User, client: Client) -> bool:
    """Nobody gets in, from the next request on, and mail already queued goes to nobody; False if that is so already."""
    disabled = _change(User.id == user.id, User.disabled_at.is_(None), disabled_at=db_now(), security_stamp=random_id())
    if disabled:
        user.end_sessions()
        user.record("disabled", client)
    return disabled


def enable(user: User, client: Client) -> bool:
    """Undo `disable`; what it ended stays ended. False if the account is not disabled."""
    enabled = _change(User.id == user.id, User.disabled_at.is_not(None), disabled_at=None)
    if enabled:
        user.record("enabled", client)
    return enabled


def sign_out(user: User, client: Client) -> None:
    """End every session of the account and kill every open link."""
    _change(User.id == user.id, security_stamp=random_id())
    user.end_sessions()
    user.record("signed_out_by_operator", client)


def sign_out_everybody(client: Client) -> Iterator[tuple[int, int]]:
    """The same for all, in batches for the caller to commit: how many accounts in each, and sessions that ended."""
    last = 0
    while ids := db.session.scalars(select(User.id).where(User.id > last).order_by(User.id).limit(BATCH)).all():
        stamp = update(User).where(User.id == bindparam("user_id")).values(security_stamp=bindparam("stamp"))
        db.session.connection().execute(stamp, [{"user_id": user_id, "stamp": random_id()} for user_id in ids])
        sessions = delete(UserSession).where(UserSession.user_id.between(ids[0], ids[-1]))
        ended = db.session.scalars(sessions.returning(UserSession.user_id)).all()
        if ended:
            event = {"kind": "signed_out_by_operator", **client}
            db.session.execute(insert(SecurityEvent), [{"user_id": user_id, **event} for user_id in sorted(set(ended))])
        yield len(ids), len(ended)
        last = ids[-1]


def delete_account(user: User, client: Client) -> None:
    """Delete the account and all that hangs on it. No old link opens anything, also when the address comes back."""
    # Its events go with it: only the log remembers.
    facts = (user.id, client["network"] or "unknown", client["device"] or "unknown")
    logger.info("security event deleted: account %s, network %s, device %s", *facts)
    # A second link to register with the address was as good as dead while there was the account.
    same_address = func.lower(Registration.email).in_([user.email_key, *map(address_key, EmailChange.left_by(user))])
    db.session.execute(
        update(Registration).where(same_address, Registration.used_at.is_(None)).values(used_at=db_now())
    )
    db.session.execute(delete(User).where(User.id == user.id))
    signals.announce("deleted", user_id=user.id, client=client)


def _change(*conditions: ColumnElement[bool], **values: Any) -> bool:
    """One conditional statement: of two operators at once, one does it."""
    changed = update(User).where(*conditions).values(**values).returning(User.id)
    return db.session.scalar(changed) is not None
