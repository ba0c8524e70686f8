"""Passwords: which are accepted, and how they are kept."""

import string
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.low_level import hash_secret_raw
from flask import current_app
from flask_babel import gettext as _
from flask_babel import ngettext

from app import signals
from app.auth.blocklist import is_common, what_is_left
from app.auth.password_hashes import Hash, argon2_cost, argon2_memory, read

MAX_LENGTH = 1024  # code points; long passphrases pass, a book does not. Nothing is ever cut.
LONGEST_TYPED = 4 * MAX_LENGTH  # decomposed letters are several code points each
NOBODYS = "\0"
LEAST_LEFT = 8  # characters that are no repeat, no run and no name


def password_problem(password: str, about: Iterable[str] = ()) -> str | None:
    """Say why a new password is refused, or return None.

    It is to be long and hard to guess; nothing else counts (NIST SP 800-63B-4, 3.1.1.2). `about` are strings that
    others know of the person, such as name and address; what the site is called is added here.
    """
    if len(password) > LONGEST_TYPED:
        return _("Use at most %(most)d characters.", most=MAX_LENGTH)
    normal = _normal(password)
    return _length_problem(normal) or _guessing_problem(normal, about)


def _length_problem(password: str) -> str | None:
    least = current_app.config["PASSWORD_MIN_LENGTH"]
    if len(password) < least:
        return ngettext(
            "Use at least %(num)d character. Three or four words in a row are easy to remember.",
            "Use at least %(num)d characters. Three or four words in a row are easy to remember.",
            least,
        )
    if len(password) > MAX_LENGTH:
        return _("Use at most %(most)d characters.", most=MAX_LENGTH)
    if "\0" in password or "\ufffd" in password:  # what a page refuses: see security.refuse_malformed_input
        return _("Leave out characters that no keyboard can type.")
    return None


def _guessing_problem(password: str, about: Iterable[str]) -> str | None:
    site = (current_app.config["APP_NAME"], urlsplit(current_app.config["BASE_URL"]).hostname or "")
    left = what_is_left(password, (*map(_normal, about), *site))
    if is_common(password) or is_common(left.strip(string.punctuation + string.whitespace)):
        return _(
            "That is one of the passwords that are tried first. "
            "Three or four words in a row that nobody would guess are better."
        )
    if len(left) < LEAST_LEFT:
        return _(
            "Apart from repeats, rows of keys, years and names that belong to you or to this site, too little is left. "
            "Three or four words in a row that nobody would guess are better."
        )
    return None


def hash_password(password: str) -> str:
    """Argon2id under the parameters in the settings (never below OWASP's m=19456 KiB, t=2, p=1)."""
    with signals.timed(signals.password_hashed):
        return _hasher().hash(_normal(password))


def verify_password(password: str, password_hash: str | None, imported: str | None = None) -> bool:
    """Whether the password matches. Without a hash, or with one that nobody can read: no.

    `imported` is any hash of another system's that is still in the database. The time that a *failed* check takes does
    not tell whether there is an account, nor how old its hash is: each pays for one Argon2 check under today's
    settings and, while there are imported hashes, for one check of those.
    """
    password = password if len(password) <= LONGEST_TYPED else NOBODYS  # it would take half a second to normalize
    with signals.timed(signals.password_hashed):
        return _verify(password, _read(password_hash), imported)


def _verify(password: str, kept: Hash | None, imported: str | None) -> bool:
    normal = _normal(password)
    if kept and kept.matches(password, normal):
        return True
    _spend_argon2(kept.argon2_cost if kept else 0)
    if not (kept and kept.imported) and (sample := _read(imported)):
        sample.matches(password, normal)
    return False


def needs_rehash(password_hash: str) -> bool:
    """Whether to hash the password anew when it is next typed: not our hash, or not under today's settings."""
    kept = _read(password_hash)
    return kept is None or kept.imported or _hasher().check_needs_rehash(password_hash)


def is_known_hash(text: str) -> bool:
    """Whether we can check passwords against this hash, and at a bearable cost."""
    return _read(text) is not None


def _read(password_hash: str | None) -> Hash | None:
    """None also for one that costs too much to check, unless that is what our settings ask for."""
    kept = read(password_hash)
    return kept if kept and (kept.affordable or 0 < kept.argon2_cost <= _todays_cost()) else None


def _spend_argon2(spent: float) -> None:
    """Work for as long as a check under today's settings would have gone on after one of cost `spent`."""
    hasher = _hasher()
    missing = max(0, _todays_cost() - spent)
    memory = argon2_memory(missing, hasher.time_cost, hasher.parallelism)
    if memory >= 8 * hasher.parallelism:  # less is no Argon2
        cost = {"time_cost": hasher.time_cost, "memory_cost": memory, "parallelism": hasher.parallelism}
        hash_secret_raw(b"nobody", b"knows why", **cost, hash_len=hasher.hash_len, type=hasher.type)


def _todays_cost() -> float:
    hasher = _hasher()
    return argon2_cost(hasher.memory_cost, hasher.time_cost, hasher.parallelism)


def _normal(password: str) -> str:
    """NFC, so that one password typed on two keyboards is the same. The only change ever made to it."""
    return unicodedata.normalize("NFC", password)


def _hasher() -> PasswordHasher:
    config = current_app.config
    return _hasher_for(config["ARGON2_PASSES"], config["ARGON2_MEMORY_KIB"], config["ARGON2_LANES"])


@lru_cache
def _hasher_for(passes: int, memory_kib: int, lanes: int) -> PasswordHasher:
    return PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
