"""Signing in and out, and who a request comes from."""

from flask import flash, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_user

from app.auth import bp
from app.auth.forms import SignInForm, form_page
from app.auth.models import User, UserSession
from app.extensions import db, login_manager
from app.security import client, safe_next


@login_manager.user_loader
def load_user(token: str) -> User | None:
    found = UserSession.find(token)
    if found is None:
        return None
    if found.touch():
        db.session.commit()
    found.user.session_token = token
    return found.user


@bp.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    after = safe_next() or url_for("main.home")
    form = SignInForm()
    if form.validate_on_submit():
        user = User.authenticate(form.email.data or "", form.password.data or "")
        if user:
            start_session(user, remember=form.remember.data)
            return redirect(after, 303)
        form.form_errors.append(_("That address and password do not match an account."))
    elif current_user.is_authenticated:
        return redirect(after, 303)
    return form_page("auth/login.html", form)


@bp.route("/logout", methods=["POST"])
def logout() -> ResponseReturnValue:
    end_session()
    db.session.commit()
    flash(_("You are signed out."))
    return redirect(url_for("auth.login"), 303)


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
