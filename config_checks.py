"""What is wrong with a set of settings. Each sentence begins with the setting and says what to do about it."""

import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SAMPLE_KEY = re.compile(r"change.?(me|this|it)|replace.?(me|this|it)|your.?(secret|key)|insecure", re.IGNORECASE)
HOST = r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*"
MAIL_DELIVERIES = ("thread", "worker", "off")


PAPERS = {"BRAND_COLOR": ("#f6f3ec", "#fffdf8"), "BRAND_COLOR_DARK": ("#16150f", "#201e17")}  # as in style.css
LEAST_CONTRAST = 4.5  # of text on paper (WCAG 2.2, 1.4.3)


def problems_with(settings: dict[str, Any]) -> list[str]:
    checks = (
        _key_problems,
        _url_problems,
        _database_problems,
        _name_problems,
        _mail_problems,
        _range_problems,
        _look_problems,
    )
    return [problem for check in checks for problem in check(settings)]


def _key_problems(settings: dict[str, Any]) -> Iterator[str]:
    make_one = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    if not settings["SECRET_KEY"]:
        yield f"SECRET_KEY is missing: {make_one}"
    elif len(settings["SECRET_KEY"]) < 32:
        yield f"SECRET_KEY is shorter than 32 characters: {make_one}"
    elif settings["READS_ENVIRONMENT"] and len(set(settings["SECRET_KEY"])) < 10:
        yield f"SECRET_KEY repeats a few characters: {make_one}"
    elif SAMPLE_KEY.search(settings["SECRET_KEY"]):
        yield f"SECRET_KEY looks like a sample that everybody knows: {make_one}"
    if any(len(key) < 32 for key in settings["SECRET_KEY_FALLBACKS"]):
        yield "SECRET_KEY_FALLBACKS holds a key shorter than 32 characters: leave it out."


def _database_problems(settings: dict[str, Any]) -> Iterator[str]:
    example = "as in postgresql://user:password@host/rekey or sqlite:////var/lib/rekey/rekey.db"
    if not settings["DATABASE_URL"]:
        yield f"DATABASE_URL is missing: give one {example}"
        return
    with suppress(ArgumentError, ValueError):
        url = make_url(sqlalchemy_url(settings["DATABASE_URL"]))
        on_disk = url.drivername == "sqlite" and url.database not in (None, "", ":memory:")
        if on_disk or url.drivername == "postgresql+psycopg" or not settings["READS_ENVIRONMENT"]:
            return
    yield f"DATABASE_URL cannot be used: give one {example}"  # not quoted: it may hold a password


def _url_problems(settings: dict[str, Any]) -> Iterator[str]:
    given, example = settings["BASE_URL"], "as in https://account.example.com"
    if not given:
        yield f"BASE_URL is missing: it starts every mailed link, {example}"
    elif not _is_base_url(given):
        yield f"BASE_URL is {given!r}: give scheme and host, {example}"
    elif given.startswith("http:") and urlsplit(given).hostname not in LOOPBACK:
        yield f"BASE_URL is {given!r}: links that open accounts need https."


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        surplus = url.query or url.fragment or url.username or url.port == 0
    except ValueError:
        return False
    host = url.hostname or ""
    named = re.fullmatch(HOST, host) or ":" in host
    return url.scheme in ("http", "https") and bool(named) and not surplus and text.isascii() and " " not in text


def _name_problems(settings: dict[str, Any]) -> Iterator[str]:
    for host in settings["TRUSTED_HOSTS"]:
        if not re.fullmatch(rf"\.?{HOST}", host):
            yield f"TRUSTED_HOSTS holds {host!r}: give host names, as in account.example.com."
    contact = settings["SECURITY_CONTACT"]
    if contact and not (contact.startswith("https://") and contact.isprintable()) and mail_address(contact) is None:
        yield f"SECURITY_CONTACT is {contact!r}: give an address or an https URL."
    if not settings["APP_NAME"].isprintable():
        yield f"APP_NAME is {settings['APP_NAME']!r}: it holds control characters."


def _mail_problems(settings: dict[str, Any]) -> Iterator[str]:
    if settings["MAIL_DELIVERY"] not in MAIL_DELIVERIES:
        yield f"MAIL_DELIVERY is {settings['MAIL_DELIVERY']!r}: use one of {', '.join(MAIL_DELIVERIES)}."
    if settings["MAIL_DELIVERY"] == "off":
        return
    encrypted = settings["MAIL_USE_TLS"] or settings["MAIL_USE_SSL"]
    if not settings["MAIL_SERVER"] and not settings["DEV_MAILBOX"]:
        yield "MAIL_SERVER is missing: the host that sends your mail (or MAIL_DELIVERY=off to do without)."
    elif settings["MAIL_SERVER"] not in LOOPBACK | {""} and not encrypted and not settings["MAIL_ALLOW_PLAINTEXT"]:
        yield "MAIL_USE_TLS is off: set MAIL_USE_TLS=1 (port 587), MAIL_USE_SSL=1 (465) or MAIL_ALLOW_PLAINTEXT=1."
    if settings["MAIL_USE_TLS"] and settings["MAIL_USE_SSL"]:
        yield "MAIL_USE_TLS and MAIL_USE_SSL are both on: STARTTLS (port 587) or TLS from the start (port 465)?"
    if not sender_of(settings):
        yield "MAIL_DEFAULT_SENDER is missing: the address your mail comes from (or set ADMINS)."
    for name, given in (("MAIL_DEFAULT_SENDER", sender_of(settings)), ("SUPPORT_EMAIL", settings["SUPPORT_EMAIL"])):
        if given and mail_address(given) is None:
            yield f"{name} is {given!r}: give one address, as in help@example.com or Example <help@example.com>"
    try:
        ssl.create_default_context(cafile=settings["MAIL_CA_FILE"] or None)
    except OSError:
        yield f"MAIL_CA_FILE is {settings['MAIL_CA_FILE']!r}: no certificates can be read from it."


def mail_address(text: str) -> Address | None:
    """The one ASCII address in the text, with the name before it if there is one."""
    name, address = parseaddr(text)
    alone = text.isprintable() and "," not in text.replace(f'"{name}"', "")
    with suppress(ValueError, HeaderParseError):
        if alone and address and address.isascii():
            return Address(name, addr_spec=address)
    return None


RANGES = {
    "PORT": (1, 65_535),
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


def _range_problems(settings: dict[str, Any]) -> Iterator[str]:
    for name, (least, most) in RANGES.items():
        if not least <= settings[name] <= most:
            yield f"{name} is {settings[name]}: use {least} to {most}."


def _look_problems(settings: dict[str, Any]) -> Iterator[str]:
    for name, papers in PAPERS.items():
        color = settings[name]
        if not re.fullmatch("#[0-9a-fA-F]{6}", color):
            yield f"{name} is {color!r}: give six hexadecimal digits, as in #7a5c12."
        elif (ratio := min(contrast(color, paper) for paper in papers)) < LEAST_CONTRAST:
            side = "darker" if name == "BRAND_COLOR" else "lighter"
            yield f"{name} is {color}: its contrast with the page is {ratio:.1f}, text needs 4.5; take a {side} one."
    if settings["OVERRIDES_DIR"] and not Path(settings["OVERRIDES_DIR"]).is_dir():
        yield f"OVERRIDES_DIR is {settings['OVERRIDES_DIR']!r}: there is no such folder."


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
