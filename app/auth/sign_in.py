"""Signing in and out, and who a request comes from."""

from flask import flash, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_user

from app.auth import bp
from app.auth.forms import SignInForm, form_page
from app.auth.models import User, UserSession
from app.auth.passwords import verify_password
from app.database import DATABASE_AWAY
from app.extensions import db, login_manager
from app.security import client, safe_next


@login_manager.user_loader
def load_user(token: str) -> User | None:
    found = UserSession.find(token)
    if found is None:
        return None
    if found.wants_touch:
        note_use(found)
    found.user.session_token = token
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
        user = authenticate(form.email.data or "", form.password.data or "")
        if user:
            start_session(user, remember=form.remember.data)
            return redirect(after, 303)
        form.form_errors.append(_("That address and password do not match an account."))
    elif current_user.is_authenticated and not form.is_submitted():
        return redirect(after, 303)
    return form_page("auth/login.html", form)


@bp.route("/logout", methods=["POST"])
def logout() -> ResponseReturnValue:
    end_session()
    db.session.commit()
    flash(_("You are signed out."))
    return redirect(url_for("auth.login"), 303)


def authenticate(address: str, password: str) -> User | None:
    """The account these two open, or None. The time taken does not tell whether the account exists."""
    user = User.by_email(address)
    db.session.commit()  # the hash takes 20 ms and more: no lock and no connection is held meanwhile
    matches = verify_password(password, user.password_hash if user else None)
    return user if user and matches and user.disabled_at is None else None


def start_session(user: User, *, remember: bool) -> None:
    """Sign this browser in, under a new secret: whatever cookie it came with opens nothing any more."""
    end_session()
    user.session_token = UserSession.start(user, client(), remember=remember)
    user.record("signed_in", client())
    db.session.commit()
    login_user(user)
    session.permanent = remember


def end_session() -> None:
    """Sign this browser out, in the caller's transaction: copies of its cookie are dead too."""
    if token := session.get("_user_id"):
        UserSession.end(token)
    session.clear()
