"""Settings: read from the environment when an app is created, and checked before anything starts.

Only this module reads the environment. Importing it has no side effect and never fails.
"""

import inspect
import os
import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).parent
INSTANCE = ROOT / "instance"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MAIL_DELIVERIES = ("thread", "worker", "off")


class ConfigError(Exception):
    """One message that names every setting to put right, and how."""

    exit_status = 3  # gunicorn gives up on this one; on any other it starts the worker anew for ever

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = [f"  - {problem}" for problem in problems]
        super().__init__(
            "Rekey cannot start with these settings:\n"
            + "\n".join(lines)
            + "\nAll settings are listed in README.md. To try Rekey on this machine: make run"
        )


class Config:
    """Every setting and its default.

    An annotated name is read from the environment, or from the file that NAME_FILE names.
    """

    SECRET_KEY: str = ""
    SECRET_KEY_FALLBACKS: list[str] = []
    BASE_URL: str = ""
    PORT: int = 5000
    DATABASE_URL: str = ""

    MAIL_SERVER: str = ""
    MAIL_PORT: int = 25
    MAIL_USE_TLS: bool = False
    MAIL_USE_SSL: bool = False
    MAIL_USERNAME: str = ""
    MAIL_PASSWORD: str = ""
    MAIL_DEFAULT_SENDER: str = ""
    ADMINS: list[str] = []
    MAIL_ALLOW_PLAINTEXT: bool = False
    MAIL_CA_FILE: str = ""
    MAIL_TIMEOUT: int = 10
    MAIL_DELIVERY: str = "worker"

    RESET_LINK_MAX_AGE: int = 3600
    PASSWORD_MIN_LENGTH: int = 15
    ARGON2_MEMORY_KIB: int = 19456
    ARGON2_PASSES: int = 2
    ARGON2_LANES: int = 1
    TRUSTED_PROXIES: int = 0
    APP_NAME: str = "Rekey"
    SUPPORT_EMAIL: str = ""

    DEV_MAILBOX = False
    READS_ENVIRONMENT = True
    LANGUAGES = ("en",)
    MAX_CONTENT_LENGTH = 64 * 1024
    PERMANENT_SESSION_LIFETIME = timedelta(days=30)  # of the cookie; the session row ends on its own clock
    SESSION_COOKIE_SAMESITE = "Lax"  # Strict would drop the link parked by a click in a webmail page
    WTF_CSRF_TIME_LIMIT = None  # a form left open over lunch still works


class Production(Config):
    """Has no default for what only the operator can know."""


class Development(Config):
    """Runs with no setting at all: a SQLite file, a key and a mailbox in `instance/`."""

    MAIL_DELIVERY = "thread"
    MAIL_DEFAULT_SENDER = "no-reply@rekey.example"
    DEV_MAILBOX = True
    TEMPLATES_AUTO_RELOAD = True


class Testing(Config):
    """Depends on nothing outside; mail is recorded and not sent."""

    TESTING = True
    READS_ENVIRONMENT = False
    SECRET_KEY = "testing-testing-testing-testing-testing"  # noqa: S105 - signs nothing that lasts
    BASE_URL = "http://localhost"
    DATABASE_URL = "sqlite://"
    MAIL_SERVER = "127.0.0.1"
    MAIL_DEFAULT_SENDER = "no-reply@rekey.example"


CONFIGS: dict[str, type[Config]] = {
    "development": Development,
    "testing": Testing,
    "production": Production,
}


def load(config: str | type[Config] | None = None) -> dict[str, Any]:
    """Return every setting under its name.

    `config` is a name in CONFIGS, a class, or nothing: then FLASK_CONFIG decides.
    Raises ConfigError.
    """
    chosen = config or os.environ.get("FLASK_CONFIG") or "production"
    if isinstance(chosen, str):
        if chosen not in CONFIGS:
            raise ConfigError([f"FLASK_CONFIG is {chosen!r}: use one of {', '.join(CONFIGS)}."])
        chosen = CONFIGS[chosen]
    settings = {name: getattr(chosen, name) for name in dir(chosen) if name.isupper()}
    unreadable: dict[str, str] = {}
    if chosen.READS_ENVIRONMENT:
        settings |= _from_environment(_environment(chosen), unreadable)
    if chosen is Development:
        settings |= _development_defaults(settings)
    problems = [problem for problem in _problems(settings) if problem.split()[0] not in unreadable]
    if problems := [*unreadable.values(), *problems]:
        raise ConfigError(problems)
    return settings | _derived(settings)


def _environment(chosen: type[Config]) -> Mapping[str, str | None]:
    if chosen is Development:
        return dotenv_values(ROOT / ".env") | os.environ
    return os.environ


def _from_environment(environ: Mapping[str, str | None], unreadable: dict[str, str]) -> dict[str, Any]:
    """What is set, parsed; what cannot be read or parsed goes into `unreadable`, with a sentence why."""
    found = {}
    for name, kind in inspect.get_annotations(Config).items():
        try:
            text = _text(environ, name)
            if text:
                found[name] = PARSERS[kind](text)
        except OSError as error:
            unreadable[name] = f"{name}_FILE names {error.filename!r}, which cannot be read: {error.strerror}."
        except ValueError as error:
            unreadable[name] = f"{name} {error}"
    return found


def _text(environ: Mapping[str, str | None], name: str) -> str | None:
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return environ.get(name)


def _parse_bool(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(f"is {text!r}, neither yes nor no: use 1 or 0.")
    return words[text.lower()]


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"is {text!r}: give a whole number.") from None


def _parse_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


PARSERS: dict[Any, Any] = {str: str, int: _parse_int, bool: _parse_bool, list[str]: _parse_list}


def _development_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    INSTANCE.mkdir(exist_ok=True)
    return {
        "SECRET_KEY": settings["SECRET_KEY"] or _kept_secret(INSTANCE / "secret_key"),
        "BASE_URL": settings["BASE_URL"] or f"http://127.0.0.1:{settings['PORT']}",
        "DATABASE_URL": settings["DATABASE_URL"] or f"sqlite:///{INSTANCE / 'rekey.db'}",
    }


def _kept_secret(path: Path) -> str:
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text()


def _problems(settings: dict[str, Any]) -> list[str]:
    checks = (_key_problems, _url_problems, _database_problems, _mail_problems, _range_problems)
    return [problem for check in checks for problem in check(settings)]


def _key_problems(settings: dict[str, Any]) -> Iterator[str]:
    make_one = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    if not settings["SECRET_KEY"]:
        yield f"SECRET_KEY is missing: {make_one}"
    elif len(settings["SECRET_KEY"]) < 32:
        yield f"SECRET_KEY is shorter than 32 characters: {make_one}"
    if any(len(key) < 32 for key in settings["SECRET_KEY_FALLBACKS"]):
        yield "SECRET_KEY_FALLBACKS holds a key shorter than 32 characters: leave it out."


def _database_problems(settings: dict[str, Any]) -> Iterator[str]:
    example = "as in postgresql://user:password@host/rekey or sqlite:////var/lib/rekey/rekey.db"
    if not settings["DATABASE_URL"]:
        yield f"DATABASE_URL is missing: give one {example}"
        return
    with suppress(ArgumentError, ValueError):
        if make_url(_sqlalchemy_url(settings["DATABASE_URL"])).drivername in ("sqlite", "postgresql+psycopg"):
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
    return url.scheme in ("http", "https") and bool(url.hostname) and not surplus and text.isascii()


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
    if not _sender(settings):
        yield "MAIL_DEFAULT_SENDER is missing: the address your mail comes from (or set ADMINS)."
    for name, given in (("MAIL_DEFAULT_SENDER", _sender(settings)), ("SUPPORT_EMAIL", settings["SUPPORT_EMAIL"])):
        if given and _mail_address(given) is None:
            yield f"{name} is {given!r}: give one address, as in help@example.com or Example <help@example.com>"
    try:
        ssl.create_default_context(cafile=settings["MAIL_CA_FILE"] or None)
    except OSError:
        yield f"MAIL_CA_FILE is {settings['MAIL_CA_FILE']!r}: no certificates can be read from it."


def _mail_address(text: str) -> Address | None:
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
    "TRUSTED_PROXIES": (0, 10),
}


def _range_problems(settings: dict[str, Any]) -> Iterator[str]:
    for name, (least, most) in RANGES.items():
        if not least <= settings[name] <= most:
            yield f"{name} is {settings[name]}: use {least} to {most}."


def _sender(settings: dict[str, Any]) -> str:
    return str(settings["MAIL_DEFAULT_SENDER"] or next(iter(settings["ADMINS"]), ""))


def _derived(settings: dict[str, Any]) -> dict[str, Any]:
    secure = settings["BASE_URL"].startswith("https:")
    sender = _mail_address(_sender(settings)) or Address(addr_spec="off@localhost")  # with MAIL_DELIVERY=off
    return {
        "BASE_URL": settings["BASE_URL"].rstrip("/"),
        "MAIL_DEFAULT_SENDER": str(Address(sender.display_name or settings["APP_NAME"], addr_spec=sender.addr_spec)),
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_NAME": "__Host-session" if secure else "session",
        "SQLALCHEMY_DATABASE_URI": _sqlalchemy_url(settings["DATABASE_URL"]),
        "SQLALCHEMY_ENGINE_OPTIONS": {"pool_pre_ping": True},
    }


def _sqlalchemy_url(url: str) -> str:
    """Accept `postgres://` and `postgresql://`, as hosts give them, and name the driver."""
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    return f"{scheme}{separator}{rest}"
