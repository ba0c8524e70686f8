"""Who is signed in, and sudo mode: ending sessions asks for the password when it was last given long ago."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.auth import bp
from app.auth.account import bp as account
from app.auth.forms import ProofForm, form_page
from app.auth.models import UserSession
from app.auth.sign_in import end_session, is_confirmed, rekey_session
from app.extensions import db
from app.security import client, safe_next

View = Callable[..., ResponseReturnValue]


def asks_for_proof(page: str) -> Callable[[View], View]:
    """For a view behind a button on that page: without a fresh proof it leads to the question, and back to the page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def ask_first(**kwargs: Any) -> ResponseReturnValue:
            if current_user.current_session.is_proved:
                return view(**kwargs)
            return redirect(url_for("auth.confirm", next=url_for(page)), 303)

        return ask_first

    return decorate


@bp.route("/confirm", methods=["GET", "POST"])
def confirm() -> ResponseReturnValue:
    form = ProofForm()
    if not is_confirmed(form):
        return form_page("auth/confirm.html", form)
    current_user.current_session.prove()
    rekey_session()
    return redirect(safe_next() or url_for("account.overview"), 303)


@account.route("/sessions")
def sessions() -> str:
    found = UserSession.of(current_user)
    found.sort(key=lambda session: session.id != current_user.current_session.id)
    return render_template("account/sessions.html", sessions=found)


@account.route("/sessions/end_others", methods=["POST"])
@asks_for_proof("account.sessions")
def end_others() -> ResponseReturnValue:
    current_user.end_sessions(but=current_user.current_session.id)
    current_user.record("sessions_ended", client())
    db.session.commit()
    flash(_("Every other device is signed out."))
    return redirect(url_for("account.sessions"), 303)


@account.route("/sessions/<session_id>/end", methods=["POST"])
@asks_for_proof("account.sessions")
def end(session_id: str) -> ResponseReturnValue:
    """End one of one's own sessions; of somebody else's nothing is said but 404."""
    if session_id == current_user.current_session.id:
        current_user.record("signed_out", client())
        end_session()
        db.session.commit()
        return redirect(url_for("auth.login"), 303)
    if not current_user.end_session(session_id):
        abort(404)
    current_user.record("session_ended", client())
    db.session.commit()
    flash(_("That device is signed out."))
    return redirect(url_for("account.sessions"), 303)
