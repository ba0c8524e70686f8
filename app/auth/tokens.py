"""Signed, time-limited links: the table of purposes, and the two things one does with a token.

A token is a payload, its life in seconds and the time of issue, signed with HMAC-SHA-256 under a key of its purpose's
own. The payload is a random value that means nothing to a reader: what it is compared with in the database makes a link
usable once. See docs/tokens.md.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from flask import current_app
from itsdangerous import BadData, BadSignature, SignatureExpired, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from app.keys import keys_for

CLOCK_SKEW = 60  # seconds a token may come from the future: the clocks of two hosts differ
LONGEST_TOKEN = 512  # characters; ours have about 100


@dataclass(frozen=True)
class Purpose:
    """What a link is for, how long it lives at most, what it is bound to, and why that kills it in time."""

    life: timedelta | str  # or the name of the setting that holds the seconds
    payload: str
    dead_when: str


PURPOSES = {
    "reset_password": Purpose(
        life="RESET_LINK_MAX_AGE",
        payload="the account's security stamp",
        dead_when="the stamp changes: used once, password or address changed, account disabled, deleted",
    ),
    "not_me": Purpose(
        life=timedelta(hours=24),
        payload="the account's security stamp",
        dead_when="the stamp changes; its page then leads to recovery",
    ),
    "register": Purpose(
        life=timedelta(hours=24),
        payload="the nonce of a Registration row, which holds the address",
        dead_when="the row is used, or an account with that address exists",
    ),
    "change_email": Purpose(
        life=timedelta(hours=1),
        payload="the nonce of an EmailChange row",
        dead_when="the row is used; the stamp has changed since, as by a later change that was finished",
    ),
    "undo_email_change": Purpose(
        life=timedelta(days=7),
        payload="the second nonce of an EmailChange row",
        dead_when="it is used, or an earlier change was undone. Not the stamp: a thief may have changed the password",
    ),
}


def issue(purpose: str, payload: str, expires_in: int | None = None) -> str:
    """Return a token that lives `expires_in` seconds, or as long as its purpose allows; never longer than that."""
    life = max_age(purpose) if expires_in is None else min(expires_in, max_age(purpose))
    return _serializer(purpose).dumps([payload, life])


def redeem(purpose: str, token: str) -> str:
    """Return the payload of a genuine token in its time. Whether it has been used is for the database to say.

    Raises SignatureExpired for one that was genuine (its `payload` is the payload), BadData for anything else.
    """
    if len(token) > LONGEST_TOKEN or not _is_canonical(token):
        raise BadSignature("not a token as we write them")
    (payload, life), issued = _serializer(purpose).loads(token, return_timestamp=True)
    age = int(time.time()) - int(issued.timestamp())
    if age < -CLOCK_SKEW:
        raise BadSignature("issued in the future")
    if age >= min(life, max_age(purpose)):  # a life that was shortened in the settings counts at once
        raise SignatureExpired("too old", payload=payload, date_signed=issued)
    return str(payload)


def max_age(purpose: str) -> int:
    """The life of a new link, in seconds."""
    life = PURPOSES[purpose].life
    return int(current_app.config[life]) if isinstance(life, str) else int(life.total_seconds())


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        keys_for(f"link {purpose}")[::-1],  # itsdangerous signs with the last
        salt=purpose,
        signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
    )


def _is_canonical(token: str) -> bool:
    """Whether this is the one spelling of the token: base64 ignores stray bytes and the last character's spare bits."""
    try:
        return all(base64_encode(base64_decode(part)).decode() == part for part in token.split("."))
    except BadData:
        return False
