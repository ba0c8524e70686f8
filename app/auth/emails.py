"""The mails about accounts: one small composer each. They run in the worker."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import insert

from app import limits
from app.auth import tokens
from app.auth.attempts import STOPPED_AFTER
from app.auth.forms import name_problem
from app.auth.models import EmailChange, Registration, SecurityEvent, User
from app.database import utcnow
from app.email import FIRST_LINK, LINK, NOTICE, Draft, HeldBackError, OutboxMessage, composes, samples
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
        **lifetime_of("reset_password"),
        "link": public_url("auth.open_reset_password", token=user.get_reset_password_token()),
        "not_me_link": not_me_link(user.security_stamp),
        "asked_at": row.created_at,
        "client": row.args["client"],
    }
    record = insert(SecurityEvent).values(asked)
    return _letter(user, context, template=template, once_sent=[record])


def lifetime_of(purpose: str) -> dict[str, Any]:
    """How long a link works that is minted next, in seconds, and until when."""
    life = tokens.max_age(purpose)
    return {"life": life, "until": utcnow() + timedelta(seconds=life)}


def not_me_link(stamp: str) -> str:
    return public_url("auth.open_not_me", token=tokens.issue("not_me", stamp))


@composes("register", FIRST_LINK)
def register(row: OutboxMessage) -> Draft | None:
    """A link to the address's own account-to-be; or, to somebody who has one, the way into that."""
    if user := User.by_email(row.args["email"]):
        return _reachable(user) and _reset_link(user, row, template="already_registered")
    if EmailChange.reserves(row.args["email"]):
        return _address_kept(row)
    registration = db.session.merge(Registration(nonce=row.message_id, email=row.args["email"]))
    lifetime = lifetime_of("register")
    token = tokens.issue("register", registration.nonce)
    link = {"link": public_url("auth.open_registration", token=token), "asked_at": row.created_at}
    return Draft(to=registration.email, context=lifetime | link)


def _address_kept(row: OutboxMessage) -> Draft:
    facts = {
        "asked_at": row.created_at,
        "kept_days": EmailChange.UNDO.days,
        "register_link": public_url("auth.register"),
    }
    return Draft(to=row.args["email"], context=facts, template="address_kept")


@composes("password_changed", NOTICE)
@composes("new_sign_in", NOTICE)
def notice(row: OutboxMessage) -> Draft | None:
    """To the address the account had at that moment: a thief who changed it since must not be the one to be told."""
    user = _reachable(db.session.get(User, row.args["user_id"]))
    return user and _letter(user, _facts(row), to=row.args["email"])


@composes("sign_in_failures", NOTICE)
def sign_in_failures(row: OutboxMessage) -> Draft | None:
    user = _reachable(User.by_email(row.args["email"]))
    if user is None:
        return None
    counts = {"failures": row.args["failures"], "stopped_after": STOPPED_AFTER}
    return _letter(user, _facts(row) | counts)


@composes("change_email", LINK)
def change_email(row: OutboxMessage) -> Draft | None:
    """To the new address, unless it has an account or is kept for its former owner."""
    change = EmailChange.waiting(row.args["nonce"])
    if change is None or User.by_email(change.new_email) or EmailChange.reserves(change.new_email, change.user_id):
        return None
    lifetime = lifetime_of("change_email")
    token = tokens.issue("change_email", change.nonce)
    link = {"link": public_url("auth.open_change_email", token=token), "asked_at": row.created_at}
    return _letter(change.user, lifetime | link, to=change.new_email)


@composes("email_change_asked", NOTICE)
def email_change_asked(row: OutboxMessage) -> Draft | None:
    user = _reachable(db.session.get(User, row.args["user_id"]))
    if user is None:
        return None
    link = lifetime_of("not_me") | {"not_me_link": not_me_link(user.security_stamp)}
    return _letter(user, _facts(row) | link, to=row.args["email"])


@composes("email_changed", NOTICE)
def email_changed(row: OutboxMessage) -> Draft | None:
    """To the old address, with the link that undoes the change for seven days after it."""
    change = _finished(row)
    if change is None or change.used_at is None:
        return None
    ends = change.used_at + EmailChange.UNDO
    token = tokens.issue("undo_email_change", change.undo_nonce, int((ends - utcnow()).total_seconds()))
    link = {"undo_link": public_url("auth.open_undo_email_change", token=token)}
    return _letter(
        change.user, _facts(row) | link | {"undo_days": EmailChange.UNDO.days, "until": ends}, to=change.old_email
    )


@composes("email_confirmed", NOTICE)
def email_confirmed(row: OutboxMessage) -> Draft | None:
    change = _finished(row)
    return _letter(change.user, _facts(row), to=change.new_email) if change else None


def _finished(row: OutboxMessage) -> EmailChange | None:
    """The change a notice is about, while it stands and its account can be reached."""
    change = db.session.get(EmailChange, row.args["nonce"])
    return change if change and change.undone_at is None and _reachable(change.user) else None


@composes("email_taken_back", NOTICE)
def email_taken_back(row: OutboxMessage) -> Draft:
    """To the address that an undo link has displaced, which may be a thief's or, after a trick, an owner's."""
    return Draft(to=row.args["email"], context={"name": _greeted(row.args["name"]), **_facts(row)})


@composes("goodbye", NOTICE)
def goodbye(row: OutboxMessage) -> Draft:
    """The account is gone by now: all that is said travels in the row, which is wiped when it has left."""
    facts = {"happened_at": row.created_at, "register_link": public_url("auth.register")}
    name = {"name": _greeted(row.args["name"])}
    return Draft(to=row.args["email"], context=facts | name, time_zone=row.args["time_zone"])


def _letter(user: User, context: dict[str, Any], to: str | None = None, **more: Any) -> Draft:
    """In the person's own language and time, to the account's address unless another is given."""
    facts = {"name": _greeted(user.name), **context}
    return Draft(to=to or user.email, context=facts, locale=user.locale, time_zone=user.time_zone, **more)


def _greeted(name: str) -> str | None:
    """The name to greet by, if it is one that the forms take: what we greet by is a way to send spam in our name."""
    return None if name_problem(name) else name


def _facts(row: OutboxMessage) -> dict[str, Any]:
    """What every notice tells: when, from where, and the way out."""
    return {
        "happened_at": row.created_at,
        "client": row.args["client"],
        "reset_link": public_url("auth.reset_password_request"),
    }


def _reachable(user: User | None) -> User | None:
    return user if user and user.disabled_at is None else None


@samples
def made_up() -> Mapping[str, Draft]:
    from app.auth import mail_samples  # only the catalogue and the preview need them

    return mail_samples.drafts()
