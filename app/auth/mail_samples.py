"""The mails about accounts with made-up facts, as app.auth.emails tells the true ones."""

from collections.abc import Mapping
from typing import Any

from app.auth import tokens
from app.auth.attempts import NOTICE_AFTER, STOPPED_AFTER
from app.auth.emails import lifetime_of, not_me_link
from app.auth.models import EmailChange
from app.database import utcnow
from app.email import Draft
from app.security import public_url

ANN = "ann@example.com"
NOBODYS = "abcdefghijklmnopqrstuv"  # as long as a stamp or nonce; nothing has it, so the links open nothing


def drafts() -> Mapping[str, Draft]:
    """One for each folder of templates, by its name."""
    facts = {
        "reset_password": _reset(),
        "already_registered": _reset(),
        "register": _link("register", "auth.open_registration"),
        "address_kept": _address_kept(),
        "change_email": {"name": "Ann", **_link("change_email", "auth.open_change_email")},
        "email_change_asked": _notice() | lifetime_of("not_me") | {"not_me_link": not_me_link(NOBODYS)},
        "email_changed": _notice() | _undo(),
        "email_confirmed": _notice(),
        "email_taken_back": _notice(),
        "goodbye": _goodbye(),
        "new_sign_in": _notice(),
        "password_changed": _notice(),
        "sign_in_failures": _notice() | {"failures": NOTICE_AFTER, "stopped_after": STOPPED_AFTER},
    }
    return {name: Draft(ANN, context) for name, context in facts.items()}


def _reset() -> dict[str, Any]:
    link = _link("reset_password", "auth.open_reset_password")
    return {"name": "Ann", "client": _client(), "not_me_link": not_me_link(NOBODYS), **link}


def _link(purpose: str, endpoint: str) -> dict[str, Any]:
    link = public_url(endpoint, token=tokens.issue(purpose, NOBODYS))
    return {"asked_at": utcnow(), "link": link, **lifetime_of(purpose)}


def _address_kept() -> dict[str, Any]:
    return {
        "asked_at": utcnow(),
        "kept_days": EmailChange.UNDO.days,
        "register_link": public_url("auth.register"),
    }


def _notice() -> dict[str, Any]:
    return {
        "name": "Ann",
        "happened_at": utcnow(),
        "client": _client(),
        "reset_link": public_url("auth.reset_password_request"),
    }


def _undo() -> dict[str, Any]:
    token = tokens.issue("undo_email_change", NOBODYS)
    return {
        "undo_link": public_url("auth.open_undo_email_change", token=token),
        "undo_days": EmailChange.UNDO.days,
        "until": utcnow() + EmailChange.UNDO,
    }


def _goodbye() -> dict[str, Any]:
    return {"name": "Ann", "happened_at": utcnow(), "register_link": public_url("auth.register")}


def _client() -> dict[str, str]:
    return {"network": "192.0.2.7", "device": "Firefox (Linux)"}
