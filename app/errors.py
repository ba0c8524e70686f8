"""Error pages, in the product's own design."""

import logging
from contextlib import suppress
from math import ceil

from flask import Flask, Response, current_app, g, make_response, render_template, request, url_for
from flask_babel import force_locale
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadHost, HTTPException, SecurityError

from app import logs
from app.database import DATABASE_AWAY
from app.extensions import db
from app.i18n import browser_language, duration
from app.security import own_path

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, show_error)
    app.register_error_handler(CSRFError, show_expired_form)
    app.register_error_handler(500, show_failure)
    for error in DATABASE_AWAY:
        app.register_error_handler(error, show_outage)


def show_error(error: HTTPException) -> Response:
    if isinstance(error, BadHost | SecurityError):
        logger.warning("refused with 400: a host that is none of ours")
        return _bare_page(400)  # no page with links can be built
    try:
        return _error_page(error)
    except DATABASE_AWAY as outage:  # the page's language and head depend on who is signed in
        return show_outage(outage)


def _error_page(error: HTTPException) -> Response:
    titles = {
        403: _("This was sent from elsewhere"),
        404: _("Page not found"),
        413: _("That is too large"),
        429: _("Please wait a little"),
    }
    texts = {
        403: _("The form came from another site, and nothing was done. Open the page here and send it again."),
        404: _("The address may be mistyped, or the page may have moved."),
        405: _("This page cannot be used that way."),
        413: _("What was sent is larger than this site takes."),
        429: _(
            "There were too many tries from here. Nothing is lost; this page works again %(when)s.", when=_when(error)
        ),
    }
    code = error.code or 500
    title = titles.get(code) or _("That did not work")
    text = texts.get(code) or _("What was sent is not what this page expects. Go back and try again.")
    response = error.get_response()  # keeps what belongs to the code, as Allow and Retry-After
    response.data = render_template("errors/error.html", code=code, title=title, text=text)
    response.content_type = "text/html; charset=utf-8"
    return response  # type: ignore[return-value]


def _when(error: HTTPException) -> str:
    wait = getattr(error, "retry_after", None)
    return _("in %(time)s", time=duration(_rounded_up(wait))) if isinstance(wait, int) else _("soon")


def _rounded_up(seconds: int) -> int:
    """To whole minutes: whoever comes back at the time named must not be too early."""
    return seconds if seconds < 60 else 60 * ceil(seconds / 60)


def show_expired_form(error: CSRFError) -> Response:
    """Show the page again with what was typed, to be sent again; where there is none any more, lead on."""
    logger.warning("form refused on %s: %s", request.url_rule, error.description)
    has_page = request.url_rule and "GET" in (request.url_rule.methods or ())
    try:
        page = _page_as_if_opened() if has_page else None
        if page is None or page.location:
            onward = (page and page.location) or own_path(request.form.get("next", "")) or url_for("main.home")
            page = make_response(render_template("errors/expired_form.html", onward=onward))
        return make_response(page.get_data(as_text=True), 400)
    except DATABASE_AWAY as outage:
        return show_outage(outage)


def _page_as_if_opened() -> Response:
    """The answer to GET, which changes nothing.

    g.form_expired has auth.forms.Form take over what was typed (fields hide passwords), and base.html say why.
    """
    request.method = "GET"
    g.form_expired = True
    try:
        return make_response(current_app.preprocess_request() or current_app.dispatch_request())
    except HTTPException as error:  # a link that was opened in another browser, say
        g.pop("form_expired")
        return make_response(current_app.handle_user_exception(error))
    finally:
        g.pop("form_expired", None)
        request.method = "POST"  # as the log is to have it


def show_outage(error: Exception) -> Response:
    """The database is away. Nothing was done; say so without touching it."""
    reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    logger.error("the database is away: %s", reason)
    return _bare_page(503)


def show_failure(error: Exception) -> Response:
    return _bare_page(500)


def _bare_page(code: int) -> Response:
    """A page that needs neither session, database nor host: one of them may be what failed."""
    with suppress(*DATABASE_AWAY):
        db.session.rollback()
    # Past render_template, whose context would load the user.
    page = current_app.jinja_env.get_template("errors/failure.html")
    with force_locale(browser_language()):
        reference = logs.request_id() if code >= 500 else None
        response = make_response(page.render(code=code, root=request.script_root, reference=reference), code)
    if code == 503:
        response.headers["Retry-After"] = "5"
    return response
