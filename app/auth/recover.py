"""The main job: from "I forgot my password" to a new one."""

from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from app.auth import bp, links
from app.auth.forms import AddressForm, ResetPasswordForm, form_page
from app.auth.models import User
from app.auth.passwords import hash_password
from app.auth.sign_in import end_session
from app.auth.tokens import max_age
from app.email import enqueue
from app.extensions import db
from app.security import client


@bp.route("/reset_password_request", methods=["GET", "POST"])
def reset_password_request() -> ResponseReturnValue:
    """Promise a mail. The account is looked up by the worker: here, known and unknown addresses are the same."""
    form = AddressForm()
    if not form.validate_on_submit():
        return form_page("auth/reset_password_request.html", form)
    return promise("reset_password", form.email.data or "")


@bp.route("/check_your_inbox")
def check_your_inbox() -> ResponseReturnValue:
    if "inbox" not in session:
        return redirect(url_for("auth.reset_password_request"), 303)
    life = max_age(session["inbox"]["kind"])
    return render_template("auth/check_your_inbox.html", life=life, **session["inbox"])


@bp.route("/reset_password/<token>")
def open_reset_password(token: str) -> ResponseReturnValue:
    link = links.opened("reset_password", token)
    owner(link)
    return link.park("auth.reset_password")


@bp.route("/reset_password", methods=["GET", "POST"])
def reset_password() -> ResponseReturnValue:
    link = links.parked("reset_password")
    user = owner(link)
    form = ResetPasswordForm(link)
    if not form.validate_on_submit():
        return form_page("auth/reset_password.html", form, user=user)
    db.session.commit()  # hashing takes 20 ms and more: no lock is held meanwhile
    if not user.change_password(hash_password(form.password.data or "")):
        raise links.LinkUsed(link.purpose)
    announce_reset(user)
    end_session()
    db.session.commit()
    flash(_("Your password has been changed. Sign in with the new one."))
    # Not signed in: whoever holds the link has proven a mailbox, not that they will remember the password.
    return redirect(url_for("auth.login"), 303)


def owner(link: links.Link) -> User:
    """The account a reset link opens. Raises LinkUsed."""
    user = User.by_stamp(link.payload)
    if user is None:
        raise links.LinkUsed(link.purpose)
    return user


def promise(kind: str, email: str) -> ResponseReturnValue:
    """Put one row into the outbox and say "check your inbox": the same for every address."""
    row = enqueue(kind, {"email": email, "client": client()}, address=email, locale=str(get_locale()))
    db.session.commit()
    session["inbox"] = {"kind": kind, "email": email, "reference": row.reference}
    return redirect(url_for("auth.check_your_inbox"), 303)


def announce_reset(user: User) -> None:
    """Record the reset and promise the notice of it, in the transaction that does it."""
    user.record("password_reset", client())
    args = {"user_id": user.id, "email": user.email, "client": client()}
    enqueue("password_changed", args, address=user.email, locale=str(get_locale()))
