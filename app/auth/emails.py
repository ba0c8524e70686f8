"""The mails about accounts: one small composer each. They run in the worker."""

from typing import Any

from sqlalchemy import insert

from app import limits
from app.auth import tokens
from app.auth.attempts import STOPPED_AFTER
from app.auth.models import Registration, SecurityEvent, User
from app.email import FIRST_LINK, LINK, NOTICE, Draft, HeldBackError, OutboxMessage, composes
from app.extensions import db
from app.security import public_url


@composes("reset_password", LINK)
def reset_password(row: OutboxMessage) -> Draft | None:
    user = _reachable(User.by_email(row.args["email"]))
    return user and _reset_link(user, row)


def _hold_back(user: User, row: OutboxMessage) -> None:
    """For a day after "this was not me" such mails leave four hours apart. Raises HeldBackError.

    Here and not where they are asked for: only an account can complain, so that a page would tell who has one.
    """
    exempt = row.args.get("known") or row.attempts > 1  # which has been let through already
    if exempt or not limits.is_marked(limits.COMPLAINT, user.email_key):
        return
    if not limits.allows(limits.MAILS_SLOW, user.email_key):
        raise HeldBackError(limits.wait_for(limits.MAILS_SLOW, user.email_key))


def _reset_link(user: User, row: OutboxMessage, template: str | None = None) -> Draft:
    """Both tokens are minted now: none is ever at rest in the database."""
    _hold_back(user, row)
    asked = {"user_id": user.id, "kind": "reset_asked", "created_at": row.created_at, **row.args["client"]}
    context = {
        "name": user.name,
        "link": public_url("auth.open_reset_password", token=user.get_reset_password_token()),
        "life": tokens.max_age("reset_password"),
        "not_me_link": public_url("auth.open_not_me", token=tokens.issue("not_me", user.security_stamp)),
        "asked_at": row.created_at,
        "client": row.args["client"],
    }
    record = insert(SecurityEvent).values(asked)
    return Draft(to=user.email, locale=user.locale, context=context, template=template, once_sent=[record])


@composes("register", FIRST_LINK)
def register(row: OutboxMessage) -> Draft | None:
    """A link to the address's own account-to-be; or, to somebody who has one, the way into that."""
    if user := User.by_email(row.args["email"]):
        return _reachable(user) and _reset_link(user, row, template="already_registered")
    registration = db.session.merge(Registration(nonce=row.message_id, email=row.args["email"]))
    token = tokens.issue("register", registration.nonce)
    return Draft(
        to=registration.email,
        context={
            "link": public_url("auth.open_registration", token=token),
            "life": tokens.max_age("register"),
        },
    )


@composes("password_changed", NOTICE)
def password_changed(row: OutboxMessage) -> Draft | None:
    """To the address the account had at that moment: a thief who changed it since must not be the one to be told."""
    user = _reachable(db.session.get(User, row.args["user_id"]))
    return user and Draft(to=row.args["email"], locale=user.locale, context=_facts(user, row))


@composes("new_sign_in", NOTICE)
def new_sign_in(row: OutboxMessage) -> Draft | None:
    user = _reachable(db.session.get(User, row.args["user_id"]))
    return user and Draft(to=row.args["email"], locale=user.locale, context=_facts(user, row))


@composes("sign_in_failures", NOTICE)
def sign_in_failures(row: OutboxMessage) -> Draft | None:
    user = _reachable(User.by_email(row.args["email"]))
    if user is None:
        return None
    counts = {"failures": row.args["failures"], "stopped_after": STOPPED_AFTER}
    return Draft(to=user.email, locale=user.locale, context=_facts(user, row) | counts)


def _facts(user: User, row: OutboxMessage) -> dict[str, Any]:
    """What every notice tells: who, when, from where, and the way out."""
    return {
        "name": user.name,
        "happened_at": row.created_at,
        "client": row.args["client"],
        "reset_link": public_url("auth.reset_password_request"),
    }


def _reachable(user: User | None) -> User | None:
    return user if user and user.disabled_at is None else None
