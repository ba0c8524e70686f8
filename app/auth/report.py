"""Questions an operator asks about accounts. No answer holds a secret: no hash, stamp or token."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select

from app.auth.models import SecurityEvent, User, UserSession
from app.extensions import db

Facts = dict[str, Any]

PAGE = 1000  # accounts read at once
EVENTS_SHOWN = 10

SUMMARY = (
    User.id,
    User.email,
    User.name,
    User.disabled_at,
    User.password_hash.is_not(None).label("has_password"),
    User.created_at,
    select(func.max(SecurityEvent.created_at))
    .where(SecurityEvent.user_id == User.id, SecurityEvent.kind == "signed_in")
    .correlate(User)
    .scalar_subquery()
    .label("last_sign_in_at"),
)


def matching(search: str | None = None, *, disabled: bool = False) -> list[ColumnElement[bool]]:
    """Which accounts: with this text in their address, or disabled ones only."""
    conditions = [User.email_key.contains(search.lower(), autoescape=True)] if search else []
    return [*conditions, User.disabled_at.is_not(None)] if disabled else conditions


def find(conditions: list[ColumnElement[bool]], most: int) -> Iterator[list[Facts]]:
    """Accounts in short, newest first; in pages, so that no transaction and no memory lasts."""
    page = _page(conditions, most)
    while page:
        yield page
        most -= len(page)
        page = _page([*conditions, User.id < page[-1]["id"]], most)


def count(conditions: list[ColumnElement[bool]]) -> int:
    with _reader() as reader:
        return reader.scalar(select(func.count()).select_from(User).where(*conditions)) or 0


def facts(user: User) -> Facts:
    """All that is known of an account."""
    with _reader() as reader:
        summary = _summary(reader.execute(select(*SUMMARY).where(User.id == user.id)).one())
    return summary | {
        "has_password": user.password_hash is not None,
        "disabled_at": user.disabled_at,
        "password_changed_at": user.password_changed_at,
        "locale": user.locale,
        "time_zone": user.time_zone,
        "sessions": [_use(session) | {"last_used_at": session.last_used_at} for session in UserSession.of(user)],
        "events": [{"kind": event.kind} | _use(event) for event in _last_events(user)],
    }


def _last_events(user: User) -> list[SecurityEvent]:
    query = select(SecurityEvent).where(SecurityEvent.user_id == user.id)
    newest = query.order_by(SecurityEvent.created_at.desc(), SecurityEvent.id.desc())
    return list(db.session.scalars(newest.limit(EVENTS_SHOWN)))


def _use(of: UserSession | SecurityEvent) -> Facts:
    return {"created_at": of.created_at, "device": of.device, "network": of.network}


def _page(conditions: list[ColumnElement[bool]], most: int) -> list[Facts]:
    query = select(*SUMMARY).where(*conditions)
    with _reader() as reader:
        return [_summary(row) for row in reader.execute(query.order_by(User.id.desc()).limit(min(most, PAGE)))]


def _summary(row: Any) -> Facts:
    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "state": _state(row.disabled_at, row.has_password),
        "created_at": row.created_at,
        "last_sign_in_at": row.last_sign_in_at,
    }


def _state(disabled_at: datetime | None, has_password: bool) -> str:
    if disabled_at:
        return "disabled"
    return "active" if has_password else "no password"


def _reader() -> Any:
    """A connection that only reads: on SQLite, it does not take the write lock."""
    return db.engine.connect().execution_options(sqlite_begin="DEFERRED")
