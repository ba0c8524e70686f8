"""What is wrong with a set of settings, and what to do about it.

The first part of one list of checks: the start-up gate refuses what is unsafe here, `flask doctor` shows all of it and
goes on with app/doctor.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SAMPLE_KEY = re.compile(r"change.?(me|this|it)|replace.?(me|this|it)|your.?(secret|key)|insecure", re.IGNORECASE)
HOST = r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*"
MAIL_DELIVERIES = ("thread", "worker", "off")
LOG_FORMATS = ("text", "json")
ENCRYPTED = ("require", "verify-ca", "verify-full")

# Of a finding: nothing starts with what is unsafe, something does not work while one is wrong.
UNSAFE, WRONG, WARNING, NOT_CHECKED, OK = "unsafe", "wrong", "warning", "not checked", "ok"


PAPERS = {"BRAND_COLOR": ("#f6f3ec", "#fffdf8"), "BRAND_COLOR_DARK": ("#16150f", "#201e17")}  # as in style.css
LEAST_CONTRAST = 4.5  # of text on paper (WCAG 2.2, 1.4.3)


@dataclass(frozen=True)
class Finding:
    """What one check has found, in a sentence, and what to do about it. Never holds a secret."""

    check: str
    level: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}" if self.fix else self.what


Problem = tuple[str, str, str]  # level, what, fix
Check = Callable[[dict[str, Any]], Iterator[Problem]]


def findings(settings: dict[str, Any]) -> list[Finding]:
    """At least one of every check."""
    found = []
    for name, (check, well) in CHECKS.items():
        problems = [Finding(name, *problem) for problem in check(settings)]
        found += problems or [Finding(name, OK, well)]
    return found


def _keys(settings: dict[str, Any]) -> Iterator[Problem]:
    make_one = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    if not settings["SECRET_KEY"]:
        yield UNSAFE, "SECRET_KEY is missing", make_one
    elif len(settings["SECRET_KEY"]) < 32:
        yield UNSAFE, "SECRET_KEY is shorter than 32 characters", make_one
    elif settings["READS_ENVIRONMENT"] and len(set(settings["SECRET_KEY"])) < 10:
        yield UNSAFE, "SECRET_KEY repeats a few characters", make_one
    elif SAMPLE_KEY.search(settings["SECRET_KEY"]):
        yield UNSAFE, "SECRET_KEY looks like a sample that everybody knows", make_one
    if any(len(key) < 32 for key in settings["SECRET_KEY_FALLBACKS"]):
        yield UNSAFE, "SECRET_KEY_FALLBACKS holds a key shorter than 32 characters", "leave it out."


def _base_url(settings: dict[str, Any]) -> Iterator[Problem]:
    given, example = settings["BASE_URL"], "as in https://account.example.com"
    if not given:
        yield UNSAFE, "BASE_URL is missing", f"it starts every mailed link, {example}"
    elif not _is_base_url(given):
        yield UNSAFE, f"BASE_URL is {given!r}", f"give scheme and host, {example}"
    elif given.startswith("http:") and urlsplit(given).hostname not in LOOPBACK:
        yield UNSAFE, f"BASE_URL is {given!r}", "links that open accounts need https."


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        surplus = url.query or url.fragment or url.username or url.port == 0
    except ValueError:
        return False
    host = url.hostname or ""
    named = re.fullmatch(HOST, host) or ":" in host
    return url.scheme in ("http", "https") and bool(named) and not surplus and text.isascii() and " " not in text


def _cookies(settings: dict[str, Any]) -> Iterator[Problem]:
    if settings["BASE_URL"].startswith("http:") and not settings["DEV_MAILBOX"]:
        fix = "give it the https address that people use, as soon as others than this machine are to reach it."
        yield WARNING, "Cookies also travel without TLS, for BASE_URL is http", fix


def _proxies(settings: dict[str, Any]) -> Iterator[Problem]:
    """Whether there is a proxy cannot be seen from the settings, nor from within."""
    hops = settings["TRUSTED_PROXIES"]
    if settings["BASE_URL"].startswith("https:") and hops == 0:
        what = "TRUSTED_PROXIES is 0: behind a proxy all visitors would share one limit, and be refused together"
        yield WARNING, what, "set it to the number of proxies before Rekey; ignore this if gunicorn itself speaks TLS."
    elif hops:
        what = f"Whether every request passes {'a proxy' if hops == 1 else f'{hops} proxies'} cannot be seen from here"
        yield NOT_CHECKED, what, "let nobody else reach gunicorn's port, or they can pretend to be anywhere."


def _database(settings: dict[str, Any]) -> Iterator[Problem]:
    example = "as in postgresql://user:password@host/rekey or sqlite:////var/lib/rekey/rekey.db"
    if not settings["DATABASE_URL"]:
        yield UNSAFE, "DATABASE_URL is missing", f"give one {example}"
        return
    with suppress(ArgumentError, ValueError):
        url = make_url(sqlalchemy_url(settings["DATABASE_URL"]))
        on_disk = url.drivername == "sqlite" and url.database not in (None, "", ":memory:")
        if on_disk or url.drivername == "postgresql+psycopg" or not settings["READS_ENVIRONMENT"]:
            yield from _way_to_database(url)
            return
    yield UNSAFE, "DATABASE_URL cannot be used", f"give one {example}"  # not quoted: it may hold a password


def _way_to_database(url: URL) -> Iterator[Problem]:
    if url.drivername != "sqlite" and "@" in f"{url.host}{url.database}":  # part of a password, which errors would show
        yield UNSAFE, "DATABASE_URL cannot be used", "percent-encode @ : / in the password."
        return
    elsewhere = bool(url.host) and url.host not in LOOPBACK and not str(url.host).startswith("/")
    if elsewhere and url.query.get("sslmode") not in ENCRYPTED:
        what = "The way to the database need not be encrypted"
        yield WARNING, what, "add ?sslmode=verify-full to DATABASE_URL, or require, unless the network is yours alone."


def _names(settings: dict[str, Any]) -> Iterator[Problem]:
    for host in settings["TRUSTED_HOSTS"]:
        if not re.fullmatch(rf"\.?{HOST}", host):
            yield UNSAFE, f"TRUSTED_HOSTS holds {host!r}", "give host names, as in account.example.com."
    contact = settings["SECURITY_CONTACT"]
    if contact and not (contact.startswith("https://") and contact.isprintable()) and mail_address(contact) is None:
        yield UNSAFE, f"SECURITY_CONTACT is {contact!r}", "give an address or an https URL."
    yield from _one_address("SUPPORT_EMAIL", settings["SUPPORT_EMAIL"])
    if not settings["APP_NAME"].isprintable():
        yield UNSAFE, f"APP_NAME is {settings['APP_NAME']!r}", "it holds control characters."


def _one_address(name: str, given: str) -> Iterator[Problem]:
    if given and mail_address(given) is None:
        yield UNSAFE, f"{name} is {given!r}", "give one address, as in help@example.com or Example <help@example.com>"


def _mail(settings: dict[str, Any]) -> Iterator[Problem]:
    if settings["MAIL_DELIVERY"] not in MAIL_DELIVERIES:
        yield UNSAFE, f"MAIL_DELIVERY is {settings['MAIL_DELIVERY']!r}", f"use one of {', '.join(MAIL_DELIVERIES)}."
    if settings["MAIL_DELIVERY"] == "off":
        return
    yield from _way_to_mail_server(settings)
    if not sender_of(settings):
        yield UNSAFE, "MAIL_DEFAULT_SENDER is missing", "the address your mail comes from (or set ADMINS)."
    yield from _one_address("MAIL_DEFAULT_SENDER", sender_of(settings))
    try:
        ssl.create_default_context(cafile=settings["MAIL_CA_FILE"] or None)
    except OSError:
        yield UNSAFE, f"MAIL_CA_FILE is {settings['MAIL_CA_FILE']!r}", "no certificates can be read from it."


def _way_to_mail_server(settings: dict[str, Any]) -> Iterator[Problem]:
    encrypted = settings["MAIL_USE_TLS"] or settings["MAIL_USE_SSL"]
    in_the_clear = settings["MAIL_SERVER"] not in LOOPBACK | {""} and not encrypted
    choice = "set MAIL_USE_TLS=1 (port 587), MAIL_USE_SSL=1 (465) or MAIL_ALLOW_PLAINTEXT=1."
    if not settings["MAIL_SERVER"] and not settings["DEV_MAILBOX"]:
        yield UNSAFE, "MAIL_SERVER is missing", "the host that sends your mail (or MAIL_DELIVERY=off to do without)."
    elif in_the_clear and not settings["MAIL_ALLOW_PLAINTEXT"]:
        yield UNSAFE, "MAIL_USE_TLS is off", choice
    elif in_the_clear:
        what = "MAIL_ALLOW_PLAINTEXT is on: links that open accounts travel to the mail server unencrypted"
        yield WARNING, what, "set MAIL_USE_TLS=1 (port 587) or MAIL_USE_SSL=1 (465) as soon as the server has it."
    if settings["MAIL_USE_TLS"] and settings["MAIL_USE_SSL"]:
        what = "MAIL_USE_TLS and MAIL_USE_SSL are both on"
        yield UNSAFE, what, "STARTTLS (port 587) or TLS from the start (port 465)?"


def _limits(settings: dict[str, Any]) -> Iterator[Problem]:
    if not settings["RATELIMIT_ENABLED"]:
        what = "RATELIMIT_ENABLED is off: passwords can be guessed and mailboxes flooded at any speed"
        yield WARNING, what, "leave it out; it is for load tests."


def _operation(settings: dict[str, Any]) -> Iterator[Problem]:
    if settings["LOG_FORMAT"] not in LOG_FORMATS:
        yield UNSAFE, f"LOG_FORMAT is {settings['LOG_FORMAT']!r}", f"use one of {', '.join(LOG_FORMATS)}."
    bind, address = settings["METRICS_BIND"], socket_address(settings["METRICS_BIND"])
    if bind and address is None:
        yield UNSAFE, f"METRICS_BIND is {bind!r}", "give address and port, as in 127.0.0.1:9100."
    elif address and address[0] not in LOOPBACK:
        yield WARNING, f"METRICS_BIND is {bind}: whoever reaches it reads the figures", "let a firewall see to it."


def socket_address(text: str) -> tuple[str, int] | None:
    """Host and port of `127.0.0.1:9100` or `[::1]:9100`."""
    found = re.fullmatch(r"(?:\[([0-9a-f:]+)\]|([a-z0-9.-]+)):(\d{1,5})", text)
    if found is None or not 1 <= int(found[3]) <= 65_535:
        return None
    return found[1] or found[2], int(found[3])


RANGES = {
    "PORT": (1, 65_535),
    "WEB_CONCURRENCY": (0, 256),
    "MAIL_PORT": (1, 65_535),
    "RESET_LINK_MAX_AGE": (600, 86_400),
    "PASSWORD_MIN_LENGTH": (8, 64),
    "ARGON2_MEMORY_KIB": (19_456, 4_194_304),
    "ARGON2_PASSES": (2, 100),
    "ARGON2_LANES": (1, 64),
    "MAIL_TIMEOUT": (1, 60),
    "MAIL_RETENTION_DAYS": (1, 3650),
    "MAIL_HOURLY_BUDGET": (0, 1_000_000),
    "TRUSTED_PROXIES": (0, 10),
}


def _ranges(settings: dict[str, Any]) -> Iterator[Problem]:
    for name, (least, most) in RANGES.items():
        if not least <= settings[name] <= most:
            yield UNSAFE, f"{name} is {settings[name]}", f"use {least} to {most}."


def _look(settings: dict[str, Any]) -> Iterator[Problem]:
    for name, papers in PAPERS.items():
        color = settings[name]
        if not re.fullmatch("#[0-9a-fA-F]{6}", color):
            yield UNSAFE, f"{name} is {color!r}", "give six hexadecimal digits, as in #7a5c12."
        elif (ratio := min(contrast(color, paper) for paper in papers)) < LEAST_CONTRAST:
            side = "darker" if name == "BRAND_COLOR" else "lighter"
            fix = f"its contrast with the page is {ratio:.1f}, text needs 4.5; take a {side} one."
            yield UNSAFE, f"{name} is {color}", fix
    if settings["OVERRIDES_DIR"] and not Path(settings["OVERRIDES_DIR"]).is_dir():
        yield UNSAFE, f"OVERRIDES_DIR is {settings['OVERRIDES_DIR']!r}", "there is no such folder."


CHECKS: dict[str, tuple[Check, str]] = {
    "keys": (_keys, "SECRET_KEY is long enough and no sample."),
    "base url": (_base_url, "BASE_URL can start links."),
    "cookies": (_cookies, "Cookies are sent over TLS only, or this is for development."),
    "proxies": (_proxies, "No header of a proxy counts."),
    "database url": (_database, "DATABASE_URL names a database of a kind that Rekey knows."),
    "names": (_names, "Host names, contact and name are well formed."),
    "mail settings": (_mail, "The mail settings go together."),
    "limits": (_limits, "Limits are on."),
    "numbers": (_ranges, "Every number is in its range."),
    "look": (_look, "The colours can be read on the page."),
    "logs and metrics": (_operation, "LOG_FORMAT and METRICS_BIND are well formed."),
}


def mail_address(text: str) -> Address | None:
    """The one ASCII address in the text, with the name before it if there is one."""
    name, address = parseaddr(text)
    alone = text.isprintable() and "," not in text.replace(f'"{name}"', "")
    with suppress(ValueError, HeaderParseError):
        if alone and address and address.isascii():
            return Address(name, addr_spec=address)
    return None


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(part / 255) for part in bytes.fromhex(color[1:]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def sender_of(settings: dict[str, Any]) -> str:
    return str(settings["MAIL_DEFAULT_SENDER"] or next(iter(settings["ADMINS"]), ""))


def sqlalchemy_url(url: str) -> str:
    """Accept `postgres://` and `postgresql://`, as hosts give them, and name the driver."""
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    return f"{scheme}{separator}{rest}"
