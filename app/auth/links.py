"""From a mailed URL to a form: the token moves into the session, so that address bar, history and Referer hold none."""

import logging
import time
from dataclasses import dataclass
from hashlib import sha256

from flask import redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadData, SignatureExpired
from werkzeug.exceptions import HTTPException

from app.auth import tokens
from app.security import client

logger = logging.getLogger(__name__)

FINISH_SECONDS = 15 * 60  # a link opened in time may be finished in peace


class DeadLink(HTTPException):
    """A link that opens nothing; each has a page of its own words and a way on."""

    code: int
    reason: str

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose


class LinkExpired(DeadLink):
    code, reason = 410, "expired"


class LinkUsed(DeadLink):
    code, reason = 410, "used"


class LinkBroken(DeadLink):
    code, reason = 404, "broken"


class LinkMissing(DeadLink):
    """The form's own address without a link: a bookmark, or a link that was finished in another tab."""

    code, reason = 404, "missing"


def show_dead_link(link: DeadLink) -> ResponseReturnValue:
    logger.warning("%s link refused: %s, network %s", link.purpose, link.reason, client()["network"] or "unknown")
    return render_template("auth/dead_link.html", reason=link.reason, purpose=link.purpose), link.code


@dataclass(frozen=True)
class Link:
    """A genuine link in its time. Whether it has been used is for the database to say."""

    purpose: str
    token: str
    payload: str

    @property
    def digest(self) -> str:
        """What the form carries, so that it cannot act on a link that another tab has opened since."""
        return sha256(self.token.encode()).hexdigest()[:16]

    def park(self, endpoint: str) -> ResponseReturnValue:
        """Keep it in the session and go to the form. Uses nothing up: mail scanners open links before people do."""
        session[f"link {self.purpose}"] = [self.token, self.payload, int(time.time())]
        return redirect(url_for(endpoint), 303)

    def leave(self) -> None:
        """Forget it, once it has done its work."""
        session.pop(f"link {self.purpose}", None)


def opened(purpose: str, token: str) -> Link:
    """The link of a mailed URL. Raises DeadLink."""
    try:
        return Link(purpose, token, tokens.redeem(purpose, token))
    except SignatureExpired:
        raise LinkExpired(purpose) from None
    except BadData:
        raise LinkBroken(purpose) from None


def parked(purpose: str) -> Link:
    """The link this browser has opened. Raises DeadLink."""
    if f"link {purpose}" not in session:
        raise LinkMissing(purpose)
    token, payload, opened_at = session[f"link {purpose}"]
    if time.time() < opened_at + FINISH_SECONDS:
        return Link(purpose, token, payload)
    return opened(purpose, token)
