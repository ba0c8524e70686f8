"""From a mailed URL to a form: the token moves into the session, so that address bar, history and Referer hold none."""

import time
from dataclasses import dataclass
from hashlib import sha256

from flask import redirect, session, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadData, SignatureExpired
from werkzeug.exceptions import HTTPException

from app.auth import tokens

FINISH_SECONDS = 15 * 60  # a link opened in time may be finished in peace


class DeadLink(HTTPException):
    """A link that opens nothing; for its page see dead_links.py."""

    code: int
    reason: str

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose


class LinkExpired(DeadLink):
    """Genuine, but too late; `payload` says what it would have opened."""

    code, reason = 410, "expired"

    def __init__(self, purpose: str, payload: str) -> None:
        super().__init__(purpose)
        self.payload = payload


class LinkUsed(DeadLink):
    code, reason = 410, "used"


class LinkBroken(DeadLink):
    code, reason = 404, "broken"


class LinkMissing(DeadLink):
    """The form's own address without a link: a bookmark, or a link that was finished in another tab."""

    code, reason = 404, "missing"


@dataclass(frozen=True)
class Link:
    """A genuine link in its time. Whether it has been used is for the database to say."""

    purpose: str
    token: str
    payload: str

    @property
    def digest(self) -> str:
        """What the form carries, so that it cannot act on a link that another tab has opened since."""
        return digest(self.token)

    def park(self, endpoint: str) -> ResponseReturnValue:
        """Keep it in the session and go to the form. Uses nothing up: mail scanners open links before people do."""
        session[f"link {self.purpose}"] = [self.token, self.payload, int(time.time())]
        return redirect(url_for(endpoint), 303)

    def leave(self) -> None:
        """Forget it, once it has done its work."""
        session.pop(f"link {self.purpose}", None)


def digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()[:16]


def opened(purpose: str, token: str) -> Link:
    """The link of a mailed URL. Raises DeadLink."""
    try:
        return Link(purpose, token, tokens.redeem(purpose, token))
    except SignatureExpired as error:
        raise LinkExpired(purpose, str(error.payload)) from None
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
