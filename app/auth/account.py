"""The account pages: what a person may see and change."""

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, refresh
from flask_babel import gettext as _
from flask_login import current_user
from sqlalchemy import select

from app.auth.events import WORDS
from app.auth.forms import ChangePasswordForm, DeleteForm, ProfileForm, form_page
from app.auth.models import EmailChange, SecurityEvent, UserSession
from app.auth.operations import delete_account
from app.auth.passwords import hash_password
from app.auth.sign_in import end_session, is_confirmed, renew_session
from app.email import enqueue
from app.extensions import db
from app.i18n import forget_choice
from app.security import client

bp = Blueprint("account", __name__, url_prefix="/account")
EVENTS_A_PAGE = 20


@bp.route("")
def overview() -> str:
    return render_template(
        "account/overview.html",
        sessions=UserSession.of(current_user),
        events=_events(limit=5),
        words=WORDS,
        waiting=EmailChange.waiting_for(current_user),
    )


@bp.route("/activity")
def activity() -> str:
    page = request.args.get("page", 1, type=int)
    if not 1 <= page <= 10_000:
        abort(404)
    events = _events(limit=EVENTS_A_PAGE + 1, offset=(page - 1) * EVENTS_A_PAGE)
    more = len(events) > EVENTS_A_PAGE
    return render_template("account/activity.html", events=events[:EVENTS_A_PAGE], words=WORDS, page=page, more=more)


@bp.route("/profile", methods=["GET", "POST"])
def profile() -> ResponseReturnValue:
    form = ProfileForm(current_user)
    if not form.validate_on_submit():
        return form_page("account/profile.html", form)
    if not current_user.lock():
        return redirect(url_for("auth.login"), 303)  # the account was deleted or disabled meanwhile
    current_user.name = form.name.data
    current_user.locale, current_user.time_zone = form.locale.data or None, form.time_zone.data or None
    db.session.commit()
    refresh()  # what follows is said in the language just chosen
    flash(_("Saved."))
    response = make_response(redirect(url_for("account.profile"), 303))
    if current_user.locale is None:
        forget_choice(response)
    return response


@bp.route("/password", methods=["GET", "POST"])
def password() -> ResponseReturnValue:
    """Every other session ends; this one goes on under a new secret."""
    form = ChangePasswordForm(about=(current_user.name, current_user.email))
    if not is_confirmed(form):
        return form_page("account/password.html", form)
    db.session.commit()  # hashing takes 20 ms and more: no lock is held meanwhile
    if not current_user.change_password(hash_password(form.password.data or "")):
        return redirect(url_for("auth.login"), 303)  # changed elsewhere meanwhile, which has ended this session
    announce_change("password_changed")
    renew_session(current_user, remember=current_user.current_session.remember)
    flash(_("Your password has been changed. Every other device is signed out."))
    return redirect(url_for("account.overview"), 303)


@bp.route("/delete", methods=["GET", "POST"])
def delete() -> ResponseReturnValue:
    form = DeleteForm()
    if not is_confirmed(form):
        return form_page("account/delete.html", form)
    goodbye = {"name": current_user.name, "time_zone": current_user.time_zone}
    for address in (current_user.email, *EmailChange.left_by(current_user)):
        enqueue("goodbye", goodbye | {"email": address}, address=address, locale=str(get_locale()))
    end_session()
    delete_account(current_user, client())
    db.session.commit()
    flash(_("Your account is deleted. Goodbye."))
    return redirect(url_for("main.home"), 303)


def announce_change(kind: str) -> None:
    """Record a change that the signed-in person made, and promise the notice of it to the address of this moment."""
    current_user.record(kind, client())
    args = {"user_id": current_user.id, "email": current_user.email, "client": client()}
    enqueue(kind, args, address=current_user.email, locale=str(get_locale()))


def _events(limit: int, offset: int = 0) -> list[SecurityEvent]:
    mine = select(SecurityEvent).where(SecurityEvent.user_id == current_user.id)
    latest = mine.order_by(SecurityEvent.created_at.desc(), SecurityEvent.id.desc())
    return list(db.session.scalars(latest.limit(limit).offset(offset)))
