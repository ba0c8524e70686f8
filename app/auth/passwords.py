"""Passwords: which are accepted, and how they are kept."""

import unicodedata
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app
from flask_babel import gettext as _
from flask_babel import ngettext

MAX_LENGTH = 1024  # code points; long passphrases pass, a book does not. Nothing is ever cut.


def password_problem(password: str) -> str | None:
    """Say why a new password is refused, or return None. Length is all that counts (NIST SP 800-63B-4, 3.1.1.2)."""
    length, least = len(_normal(password)), current_app.config["PASSWORD_MIN_LENGTH"]
    if length < least:
        return ngettext(
            "Use at least %(num)d character. Three or four words in a row are easy to remember.",
            "Use at least %(num)d characters. Three or four words in a row are easy to remember.",
            least,
        )
    if length > MAX_LENGTH:
        return _("Use at most %(most)d characters.", most=MAX_LENGTH)
    if "\0" in password or "\ufffd" in password:  # what a page refuses: see security.refuse_malformed_input
        return _("Leave out characters that no keyboard can type.")
    return None


def hash_password(password: str) -> str:
    """Argon2id under the parameters in the settings (never below OWASP's m=19456 KiB, t=2, p=1)."""
    return _hasher().hash(_normal(password))


def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether the password matches. Without a hash: no, after as long a time."""
    try:
        return (
            _hasher().verify(password_hash or _dummy_hash(_hasher()), _normal(password)) and password_hash is not None
        )
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """NFC, so that one password typed on two keyboards is the same. The only change ever made to it."""
    return unicodedata.normalize("NFC", password)


def _hasher() -> PasswordHasher:
    config = current_app.config
    return _hasher_for(config["ARGON2_PASSES"], config["ARGON2_MEMORY_KIB"], config["ARGON2_LANES"])


@lru_cache
def _hasher_for(passes: int, memory_kib: int, lanes: int) -> PasswordHasher:
    return PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)


@lru_cache
def _dummy_hash(hasher: PasswordHasher) -> str:
    return hasher.hash("nobody's password")
