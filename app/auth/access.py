"""Every page needs a sign-in but those named here."""

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.utils import redirect

from app.security import this_page

PUBLIC = {
    "static",
    "main.healthz",
    "main.home",
    "main.readyz",
    "main.security_txt",
    "main.choose_language",
    "main.change_password",  # leads to a page that needs one
    "auth.check_your_inbox",
    "auth.dead_link",
    "auth.finish_registration",
    "auth.login",
    "auth.logout",
    "auth.new_link",
    "auth.open_registration",
    "auth.open_reset_password",
    "auth.register",
    "auth.reset_password",
    "auth.reset_password_request",
    # No mailed link needs a sign-in.
    "auth.change_email",
    "auth.not_me",
    "auth.open_change_email",
    "auth.open_not_me",
    "auth.open_undo_email_change",
    "auth.undo_email_change",
    # Development only.
    "dev.mail",
    "dev.mail_html",
    "dev.mailbox",
    "dev.mails",
    "dev.mails_html",
    "dev.mails_one",
}


def require_sign_in() -> ResponseReturnValue | None:
    """Lead to sign-in, and from there back; a form that was sent is not sent again."""
    if request.endpoint is None or request.endpoint in PUBLIC or current_user.is_authenticated:
        return None
    after = this_page() if request.method == "GET" else None
    return redirect(url_for("auth.login", next=after), 303)
