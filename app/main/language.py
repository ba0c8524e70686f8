"""The choice of a language: it is the browser's, and the account's of whoever is signed in, so that mails follow."""

from flask import abort, current_app, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.extensions import db
from app.i18n import keep_choice
from app.main.routes import bp
from app.security import own_path


@bp.route("/language", methods=["POST"])
def choose_language() -> ResponseReturnValue:
    """Answers 400 to a language that is none of ours."""
    language = request.form.get("locale", "")
    if language not in current_app.config["LANGUAGES"]:
        abort(400)
    if current_user.is_authenticated and current_user.lock():
        current_user.locale = language
        db.session.commit()
    page = own_path(request.form.get("next", "")) or url_for("main.home")
    response = make_response(redirect(page, 303))
    keep_choice(response, language)
    return response
