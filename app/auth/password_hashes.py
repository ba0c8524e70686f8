"""The kinds of password hash we can check: our own Argon2, and those that accounts bring along from other systems.

A hash is taken apart by its format's pattern, so that a malformed one is none, and what a check costs is known before
it is paid: hashes that take more than a few seconds would let anyone stop the site.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, scrypt, sha256
from math import prod

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from werkzeug.security import check_password_hash

GROWTH = 7 / 6  # measured: the more memory Argon2 fills, the less of it do the processor's caches hold


@dataclass(frozen=True)
class Cost:
    """The product of these groups of the pattern is what a check costs, `most` what we are ready to pay."""

    groups: tuple[str, ...] = ()
    most: int = 1


@dataclass(frozen=True)
class Format:
    """How a kind of hash is written and checked; `check` gets the password and the named groups of `pattern`."""

    pattern: str
    check: Callable[..., bool]
    cost: Cost = Cost()


@dataclass(frozen=True)
class Hash:
    """A hash that has been taken apart."""

    format: Format
    parts: dict[str, str]

    @property
    def imported(self) -> bool:
        return self.format is not ARGON2

    @property
    def affordable(self) -> bool:
        return prod(int(self.parts[name]) for name in self.format.cost.groups) <= self.format.cost.most

    @property
    def argon2_cost(self) -> float:
        """The time that checking our own hash takes, in the unit of `argon2_cost`; 0 for another system's."""
        return 0 if self.imported else argon2_cost(*(int(self.parts[name]) for name in ("memory", "passes", "lanes")))

    def matches(self, typed: str, normal: str) -> bool:
        """Whether the password matches: in NFC as we hash it, and where another system made the hash, as typed too."""
        spellings = {normal, typed} if self.imported else {normal}
        return any(self._matches(spelling) for spelling in spellings)

    def _matches(self, password: str) -> bool:
        try:
            return self.format.check(password, **self.parts)
        except (ValueError, VerificationError, InvalidHashError):
            return False


def read(text: str | None) -> Hash | None:
    """Take a hash apart. None for one that is malformed or of an unknown kind."""
    for form in FORMATS:
        if found := re.fullmatch(form.pattern, text or ""):
            return Hash(form, found.groupdict())
    return None


def argon2_cost(memory: int, passes: int, lanes: int) -> float:
    """The time an Argon2 run takes, in some unit of this machine."""
    return passes * memory**GROWTH / lanes


def argon2_memory(cost: float, passes: int, lanes: int) -> int:
    """The KiB with which it costs so much: the inverse of argon2_cost."""
    return round((cost * lanes / passes) ** (1 / GROWTH))


def _argon2(password: str, encoded: str, **_: str) -> bool:
    return PasswordHasher().verify(encoded, password)  # under the hash's own parameters


def _werkzeug(password: str, encoded: str, **_: str) -> bool:
    return check_password_hash(encoded, password)


def _django_pbkdf2(password: str, digest: str, iterations: str, salt: str) -> bool:
    return _is(digest, pbkdf2_hmac("sha256", password.encode(), salt.encode(), int(iterations)))


def _django_scrypt(password: str, digest: str, salt: str, n: str, r: str, p: str) -> bool:
    cost = {"n": int(n), "r": int(r), "p": int(p)}
    memory = 132 * prod(cost.values())  # bytes: a little more than it takes
    return _is(digest, scrypt(password.encode(), salt=salt.encode(), **cost, maxmem=memory, dklen=64))


def _is(digest: str, computed: bytes) -> bool:
    return hmac.compare_digest(digest, b64encode(computed).decode())


def _bcrypt(password: str, encoded: str) -> bool:
    return bcrypt.checkpw(password.encode()[:72], encoded.encode())  # it never knew more; its library now raises


def _django_bcrypt_sha256(password: str, encoded: str) -> bool:
    return bcrypt.checkpw(sha256(password.encode()).hexdigest().encode(), encoded.encode())


COUNT = "[1-9][0-9]{0,8}"
POWER = "|".join(str(2**exponent) for exponent in range(1, 23))
SALT = r"(?P<salt>[^$\s]+)"
DIGEST = "(?P<digest>[A-Za-z0-9+/]+={0,2})"
ITERATIONS = f"(?P<iterations>{COUNT})"
N, R, P = f"(?P<n>{POWER})", f"(?P<r>{COUNT})", f"(?P<p>{COUNT})"
ARGON2_HASH = (
    rf"(?P<encoded>\$argon2(?:id|i|d)\$v=19\$m=(?P<memory>{COUNT}),t=(?P<passes>{COUNT}),p=(?P<lanes>[1-9][0-9]?)"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,})"
)
# Its cost doubles with each step: 15 takes two seconds. Of the salt's last character, two bits count.
BCRYPT_HASH = r"(?P<encoded>\$2[aby]\$(?:0[4-9]|1[0-5])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31})"

ARGON2_COST = Cost(("memory", "passes"), 2**22)  # KiB in all passes; RFC 9106 recommends half of it at most
PBKDF2_COST = Cost(("iterations",), 5_000_000)
SCRYPT_COST = Cost(("n", "r", "p"), 2**22)  # 16 times Werkzeug's default; 512 MiB

ARGON2 = Format(ARGON2_HASH, _argon2, ARGON2_COST)
FORMATS = (
    ARGON2,
    Format(rf"(?P<encoded>scrypt:{N}:{R}:{P}\$[^$\s]+\$[0-9a-f]{{128}})", _werkzeug, SCRYPT_COST),
    Format(rf"(?P<encoded>pbkdf2:sha(?:1|256|512):{ITERATIONS}\$[^$\s]+\$[0-9a-f]+)", _werkzeug, PBKDF2_COST),
    Format(rf"pbkdf2_sha256\${ITERATIONS}\${SALT}\${DIGEST}", _django_pbkdf2, PBKDF2_COST),
    Format(rf"scrypt\${N}\${SALT}\${R}\${P}\${DIGEST}", _django_scrypt, SCRYPT_COST),
    Format(rf"argon2{ARGON2_HASH}", _argon2, ARGON2_COST),
    Format(rf"bcrypt_sha256\${BCRYPT_HASH}", _django_bcrypt_sha256),
    Format(rf"bcrypt\${BCRYPT_HASH}", _bcrypt),
    Format(BCRYPT_HASH, _bcrypt),
)
