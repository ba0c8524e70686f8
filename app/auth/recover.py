"""The main job: from "I forgot my password" to a new one."""

from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _

from app import limits
from app.auth import attempts, bp, links, no_mail
from app.auth.forms import AddressForm, NotMeForm, ResetPasswordForm, form_page, remember_address
from app.auth.models import EmailChange, User
from app.auth.passwords import hash_password
from app.auth.promises import promise
from app.auth.sign_in import lead_to_sign_in
from app.auth.tokens import max_age
from app.email import enqueue
from app.extensions import db
from app.security import client


@bp.route("/reset_password_request", methods=["GET", "POST"])
def reset_password_request() -> ResponseReturnValue:
    """Promise a mail. The account is looked up by the worker: here, known and unknown addresses are the same."""
    form = AddressForm()
    if not form.validate_on_submit():
        return form_page(no_mail.page("auth/reset_password_request.html"), form)
    remember_address(form.email.data or "")
    return promise("reset_password", form.email.data or "")


@bp.route("/check_your_inbox")
def check_your_inbox() -> ResponseReturnValue:
    if "inbox" not in session:
        return redirect(url_for("auth.reset_password_request"), 303)
    life = max_age(session["inbox"]["kind"])
    return render_template(no_mail.page("auth/check_your_inbox.html"), life=life, **session["inbox"])


@bp.route("/reset_password/<token>")
def open_reset_password(token: str) -> ResponseReturnValue:
    link = links.opened("reset_password", token)
    owner(link)
    return link.park("auth.reset_password")


@bp.route("/reset_password", methods=["GET", "POST"])
def reset_password() -> ResponseReturnValue:
    link = links.parked("reset_password")
    user = owner(link)
    form = ResetPasswordForm(link, about=(user.name, user.email))
    if not form.validate_on_submit():
        return form_page("auth/reset_password.html", form, user=user)
    db.session.commit()  # hashing takes 20 ms and more: no lock is held meanwhile
    if not user.change_password(hash_password(form.password.data or "")):
        raise links.LinkUsed(link.purpose)
    announce_reset(user)
    # Not signed in: whoever holds the link has proven a mailbox, not that they will remember the password.
    return lead_to_sign_in(user, _("Your password has been changed. Sign in with the new one."))


@bp.route("/not_me/<token>")
def open_not_me(token: str) -> ResponseReturnValue:
    link = links.opened("not_me", token)
    owner(link)
    return link.park("auth.not_me")


@bp.route("/not_me", methods=["GET", "POST"])
def not_me() -> ResponseReturnValue:
    """For somebody who was mailed a link they did not ask for. Its success changes no password and ends no session."""
    link = links.parked("not_me")
    user = owner(link)
    form = NotMeForm(link)
    if not form.validate_on_submit():
        return form_page("auth/not_me.html", form, user=user, change=EmailChange.waiting_for(user))
    if not user.void_links():
        raise links.LinkUsed(link.purpose)
    user.record("not_me", client())
    limits.mark(limits.COMPLAINT, user.email_key)
    db.session.commit()
    link.leave()
    flash(_("Thank you. The links that were mailed to you open nothing any more; your password is as it was."))
    return redirect(url_for("auth.login"), 303)


def owner(link: links.Link) -> User:
    """The account a link is about. Raises LinkUsed."""
    user = User.by_stamp(link.payload)
    if user is None:
        raise links.LinkUsed(link.purpose)
    return user


def announce_reset(user: User) -> None:
    """Record the reset, promise the notice of it, forget failed sign-ins: in the transaction that does it."""
    attempts.forget(user.email)
    user.record("password_reset", client())
    args = {"user_id": user.id, "email": user.email, "client": client()}
    enqueue("password_changed", args, address=user.email, locale=str(get_locale()))
