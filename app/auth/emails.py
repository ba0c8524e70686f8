"""The mails about accounts: one small composer each. They run in the worker."""

from sqlalchemy import insert

from app.auth import tokens
from app.auth.models import Registration, SecurityEvent, User
from app.email import LINK, NOTICE, Draft, OutboxMessage, composes
from app.extensions import db
from app.security import public_url


@composes("reset_password", LINK)
def reset_password(row: OutboxMessage) -> Draft | None:
    user = _reachable(User.by_email(row.args["email"]))
    if user is None:
        return None
    token = user.get_reset_password_token()  # minted now: none is ever at rest in the database
    asked = {"user_id": user.id, "kind": "reset_asked", "created_at": row.created_at, **row.args["client"]}
    return Draft(
        to=user.email,
        locale=user.locale,
        context={
            "name": user.name,
            "link": public_url("auth.open_reset_password", token=token),
            "life": tokens.max_age("reset_password"),
            "asked_at": row.created_at,
            "client": row.args["client"],
        },
        once_sent=[insert(SecurityEvent).values(asked)],
    )


@composes("register", LINK)
def register(row: OutboxMessage) -> Draft | None:
    """A link to the address's own account-to-be; or, to somebody who has one, the way into that."""
    if user := User.by_email(row.args["email"]):
        return _already_registered(user)
    registration = db.session.merge(Registration(nonce=row.message_id, email=row.args["email"]))
    token = tokens.issue("register", registration.nonce)
    return Draft(
        to=registration.email,
        context={
            "link": public_url("auth.open_registration", token=token),
            "life": tokens.max_age("register"),
        },
    )


def _already_registered(user: User) -> Draft | None:
    context = {
        "name": user.name,
        "sign_in_link": public_url("auth.login"),
        "reset_link": public_url("auth.reset_password_request"),
    }
    return _reachable(user) and Draft(to=user.email, locale=user.locale, context=context, template="already_registered")


@composes("password_changed", NOTICE)
def password_changed(row: OutboxMessage) -> Draft | None:
    """To the address the account had at that moment: a thief who changed it since must not be the one to be told."""
    user = _reachable(db.session.get(User, row.args["user_id"]))
    context = {
        "changed_at": row.created_at,
        "client": row.args["client"],
        "reset_link": public_url("auth.reset_password_request"),
    }
    return user and Draft(to=row.args["email"], locale=user.locale, context={"name": user.name, **context})


def _reachable(user: User | None) -> User | None:
    return user if user and user.disabled_at is None else None
