"""The page of a link that opens nothing: why, in words of its own, and a way on."""

import logging

from flask import render_template, session
from flask.typing import ResponseReturnValue

from app.auth import bp, no_mail
from app.auth.links import DeadLink, LinkExpired, LinkMissing, LinkUsed
from app.auth.models import Registration, User
from app.auth.promises import promise
from app.security import client

logger = logging.getLogger(__name__)


def show_dead_link(link: DeadLink) -> ResponseReturnValue:
    logger.warning("%s link refused: %s, network %s", link.purpose, link.reason, client()["network"] or "unknown")
    address = None
    if isinstance(link, LinkExpired) and not no_mail.is_off() and (address := address_of(link.purpose, link.payload)):
        session["expired link"] = [link.purpose, link.payload]
    shown = address and masked(address)
    return render_template("auth/dead_link.html", reason=link.reason, purpose=link.purpose, address=shown), link.code


@bp.route("/new_link", methods=["POST"])
def new_link() -> ResponseReturnValue:
    """Promise another mail to whom the expired link was mailed; who holds the old one learns nothing."""
    if "expired link" not in session:
        raise LinkMissing("reset_password")
    purpose, payload = session["expired link"]
    address = address_of(purpose, payload)
    if address is None:
        raise LinkUsed(purpose)
    return promise(purpose, address, shown=masked(address))


def address_of(purpose: str, payload: str) -> str | None:
    """Where to mail another link of this kind; None where that would be of no use or takes more than a click."""
    find = {"reset_password": User.by_stamp, "register": Registration.unused}.get(purpose)
    owner = find(payload) if find else None
    return owner.email if owner else None


def masked(address: str) -> str:
    """Enough for its owner to know it by: an old mail may be in anybody's hands."""
    name, _, domain = address.rpartition("@")
    return f"{name[0]}•••@{domain}"
