"""Browsers we know: a cookie with a keyed digest for each address that has signed in there, and for each account.

Only this site can make such a digest, so holding one proves an earlier sign-in; no lookup is needed, and the cookie
says nothing to whoever reads it.
"""

from hmac import compare_digest

from flask import Response, after_this_request

from app.auth.models import User
from app.email import address_key
from app.keys import keyed_digests
from app.security import read_cookie, set_cookie

COOKIE = "device"
DIGITS = 32  # of a digest: 128 bits
MOST = 20  # digests in one cookie; the oldest go


def knows_address(address: str) -> bool:
    """Whether somebody has signed in here with this address."""
    return _knows(_address(address))


def knows_account(user: User) -> bool:
    """Whether this account has been signed in here, whatever its address is now."""
    return _knows(_account(user))


def remember(user: User) -> None:
    """Know this browser from the present answer on."""
    new = [_digests(subject)[0] for subject in (_address(user.email), _account(user))]
    kept = [digest for digest in _held() if digest not in new]

    @after_this_request
    def keep(response: Response) -> Response:
        set_cookie(response, COOKIE, ".".join([*kept, *new][-MOST:]))
        return response


def _knows(subject: str) -> bool:
    digests = _digests(subject)
    return any(compare_digest(held, digest) for held in _held() for digest in digests)


def _held() -> list[str]:
    value = read_cookie(COOKIE) or ""
    return [digest for digest in value.split(".") if digest and digest.isascii()][:MOST]


def _digests(subject: str) -> list[str]:
    return [digest[:DIGITS] for digest in keyed_digests("device", subject)]


def _address(address: str) -> str:
    return f"address {address_key(address)}"


def _account(user: User) -> str:
    return f"account {user.id}"
