"""The page of a link that opens nothing: why, in words of its own, and a way on."""

import logging

from flask import g, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.auth import bp, no_mail
from app.auth.links import DeadLink, LinkExpired, LinkMissing, LinkUsed, digest
from app.auth.models import Registration, User
from app.auth.promises import promise
from app.email import masked
from app.security import client

logger = logging.getLogger(__name__)


def show_dead_link(link: DeadLink) -> ResponseReturnValue:
    logger.warning("%s link refused: %s, network %s", link.purpose, link.reason, client()["network"] or "unknown")
    if isinstance(link, LinkMissing):
        return _page(link.purpose, link.reason, link.code)
    payload = link.payload if isinstance(link, LinkExpired) else ""
    session["dead link"] = [link.purpose, link.reason, link.code, payload]
    return dead_link()


@bp.route("/dead_link")
def dead_link() -> ResponseReturnValue:
    """The page once more, at an address without a token: for whoever chooses a language there."""
    if "dead link" not in session:
        raise LinkMissing("reset_password")
    g.this_page = url_for("auth.dead_link")
    return _page(*session["dead link"])


@bp.route("/new_link", methods=["POST"])
def new_link() -> ResponseReturnValue:
    """Promise another mail to whom the expired link was mailed; who holds the old one learns nothing."""
    purpose, _reason, _code, payload = session.get("dead link") or ("reset_password", "", 0, "")
    if not payload:
        raise LinkMissing("reset_password")
    if request.form.get("link", digest(payload)) != digest(payload):  # another tab has opened another one since
        return dead_link()
    address = address_of(purpose, payload)
    if address is None:
        raise LinkUsed(purpose)
    return promise(purpose, address, shown=masked(address))


def _page(purpose: str, reason: str, code: int, payload: str = "") -> ResponseReturnValue:
    address = address_of(purpose, payload) if payload and not no_mail.is_off() else None
    facts = {"address": masked(address), "link": digest(payload)} if address else {}
    return render_template("auth/dead_link.html", purpose=purpose, reason=reason, **facts), code


def address_of(purpose: str, payload: str) -> str | None:
    """Where to mail another link of this kind; None where that would be of no use or takes more than a click."""
    find = {"reset_password": User.by_stamp, "register": Registration.unused}.get(purpose)
    owner = find(payload) if find else None
    return owner.email if owner else None
