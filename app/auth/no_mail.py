"""MAIL_DELIVERY=off: nothing is mailed, and whoever runs the site hands the links out.

A request for one still puts a row into the outbox: `flask users waiting` shows it, `flask users reset-link` answers it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flask import current_app

from app.auth.models import User
from app.auth.promises import KINDS
from app.email import OutboxMessage, address_key, requests


def is_off() -> bool:
    return bool(current_app.config["MAIL_DELIVERY"] == "off")


def page(template: str) -> str:
    """The template, or what stands for it where nothing is mailed: the same for every address."""
    return f"no_mail/{template.rpartition('/')[2]}" if is_off() else template


def waiting() -> Iterator[dict[str, Any]]:
    """Who has asked for a link that has not left, the last to ask first: each address once, with its last request."""
    last: dict[str, OutboxMessage] = {}
    for row in requests(KINDS):
        key = address_key(row.args["email"])
        last.pop(key, None)
        last[key] = row
    return (_facts(row) for row in reversed(last.values()))


def _facts(row: OutboxMessage) -> dict[str, Any]:
    asked_at: datetime = row.created_at
    facts = {"email": row.args["email"], "account": _account(row.args["email"]), "kind": row.kind}
    return facts | {"reference": row.reference, "asked_at": asked_at, **row.args["client"]}


def _account(email: str) -> str:
    user = User.by_email(email)
    if user is None:
        return "none"
    return "disabled" if user.disabled_at else "active"
