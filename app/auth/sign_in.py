"""Signing in and out, and who a request comes from."""

from flask import Response, abort, flash, make_response, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user, login_user
from flask_wtf import FlaskForm

from app import limits
from app.auth import bp, device
from app.auth.attempts import STOPPED_AFTER, Attempt
from app.auth.forms import SignInForm, form_page, remember_address
from app.auth.models import User, UserSession
from app.auth.passwords import hash_password, needs_rehash, verify_password
from app.database import DATABASE_AWAY
from app.email import enqueue
from app.extensions import db, login_manager
from app.security import client, safe_next


@login_manager.user_loader
def load_user(token: str) -> User | None:
    found = UserSession.find(token)
    if found is None:
        return None
    if found.wants_touch:
        note_use(found)
    found.user.session_token, found.user.current_session = token, found
    return found.user


def note_use(found: UserSession) -> None:
    """In a short transaction of its own; a page is never refused because its visit could not be noted."""
    db.session.commit()  # the read is over: on SQLite, writing in its transaction fails beside any other writer
    try:
        found.touch()
        db.session.commit()
    except DATABASE_AWAY:
        db.session.rollback()


@bp.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    after = safe_next() or url_for("main.home")
    form = SignInForm()
    if form.validate_on_submit():
        remember_address(form.email.data or "")  # for the page where they have forgotten it
        try:
            start_session(authenticate(form.email.data or "", form.password.data or ""), remember=form.remember.data)
            return redirect(after, 303)
        except RefusedError as refusal:
            form.form_errors.append(str(refusal))
    elif current_user.is_authenticated and not form.is_submitted():
        return redirect(after, 303)
    return form_page("auth/login.html", form)


@bp.route("/logout", methods=["POST"])
def logout() -> Response:
    if current_user.is_authenticated:
        current_user.record("signed_out", client())
    end_session()
    db.session.commit()
    flash(_("You are signed out."))
    response = make_response(redirect(url_for("auth.login"), 303))
    # Not "cookies": that would forget that this browser is known, and the message just set.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


class RefusedError(Exception):
    """Says why a password is not taken, in words that are the same whether there is an account or not."""


def authenticate(address: str, password: str) -> User:
    """The account these two open. Raises RefusedError, after a time that tells nothing, or limits.Limited."""
    attempt = Attempt.begin(address)
    user, imported = User.by_email(address), User.imported_password()
    db.session.commit()  # the hash takes 20 ms and more: no lock and no connection is held meanwhile
    usable = user if user and user.disabled_at is None and not attempt.is_stopped else None
    if verify_password(password, usable and usable.password_hash, imported) and usable:
        new_hash = hash_password(password) if needs_rehash(usable.password_hash or "") else None
        if usable.lock():  # as it was when it was read: a reset or a disabling may have come between
            if new_hash:
                usable.upgrade_password(new_hash)
            attempt.succeeded()
            return usable
        user = None  # it may be gone
    attempt.failed(user)
    db.session.commit()
    # The stop is not told apart: its count ends where an owner signs in, so that it would tell who has an account.
    raise RefusedError(
        _(
            "That address and password do not match an account. "
            "After %(most)d wrong ones in a row no password is accepted, until you reset it.",
            most=STOPPED_AFTER,
        )
    )


def is_confirmed(form: FlaskForm) -> bool:
    """Whether the form was sent, with the password of whoever is signed in; else it says why not.

    Wrong ones count as they do at sign-in. Raises limits.Limited.
    """
    if not form.validate_on_submit():
        return False
    try:
        authenticate(current_user.email, form.current_password.data or "")
    except RefusedError:
        form.current_password.errors = [_("That is not the password of this account.")]
        return False
    if UserSession.find(current_user.session_token) is None:  # it was ended meanwhile
        abort(redirect(url_for("auth.login"), 303))
    return True


def start_session(user: User, *, remember: bool) -> None:
    """Sign this browser in; where it is new to the account, its owner is told."""
    is_news = not device.knows_account(user) and user.has_signed_in
    if is_news and limits.allows(limits.NEW_SIGN_INS, str(user.id)):
        args = {"user_id": user.id, "email": user.email, "client": client()}
        enqueue("new_sign_in", args, address=user.email, locale=str(get_locale()))
    user.record("signed_in", client())
    renew_session(user, remember=remember)
    device.remember(user)


def lead_to_sign_in(user: User, message: str) -> ResponseReturnValue:
    """Commit, and sign this browser out; the page that follows has the account's address filled in."""
    end_session()
    db.session.commit()
    remember_address(user.email)
    flash(message)
    return redirect(url_for("auth.login"), 303)


def renew_session(user: User, *, remember: bool) -> None:
    """Begin a session under a new secret, and commit: whatever cookie this browser came with opens nothing any more."""
    end_session()
    user.session_token = UserSession.start(user, client(), remember=remember)
    db.session.commit()
    login_user(user)
    session.permanent = remember


def rekey_session() -> None:
    """Go on under a new secret, and commit."""
    current_user.session_token = current_user.current_session.rekey()
    db.session.commit()
    login_user(current_user)


def end_session() -> None:
    """Sign this browser out, in the caller's transaction: copies of its cookie are dead too."""
    if token := session.get("_user_id"):
        UserSession.end(token)
    session.clear()
