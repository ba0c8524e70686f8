"""Settings: read from the environment when an app is created, and checked before anything starts.

Only this module reads the environment. Importing it has no side effect and never fails.
"""

import inspect
import os
import secrets
from collections.abc import Mapping
from datetime import timedelta
from email.headerregistry import Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from config_checks import LOOPBACK, UNSAFE, Finding, findings, mail_address, sender_of, socket_address, sqlalchemy_url

ROOT = Path(__file__).parent
INSTANCE = ROOT / "instance"


class ConfigError(Exception):
    """One message that names every setting to put right, and how."""

    exit_status = 3  # gunicorn gives up on this one; on any other it starts the worker anew for ever

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        lines = [f"  - {finding}" for finding in findings]
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
    FLASK_DEBUG: bool = False
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
    MAIL_RETENTION_DAYS: int = 30
    MAIL_HOURLY_BUDGET: int = 0

    RATELIMIT_ENABLED: bool = True
    RESET_LINK_MAX_AGE: int = 3600
    PASSWORD_MIN_LENGTH: int = 15
    ARGON2_MEMORY_KIB: int = 19456
    ARGON2_PASSES: int = 2
    ARGON2_LANES: int = 1
    TRUSTED_PROXIES: int = 0
    TRUSTED_HOSTS: list[str] = []
    APP_NAME: str = "Rekey"
    BRAND_COLOR: str = "#7a5c12"
    BRAND_COLOR_DARK: str = "#d9b45b"
    OVERRIDES_DIR: str = ""
    SUPPORT_EMAIL: str = ""
    SECURITY_CONTACT: str = ""
    LOG_FORMAT: str = "json"
    METRICS_BIND: str = ""
    WEB_CONCURRENCY: int = 0

    DEV_MAILBOX = False
    READS_ENVIRONMENT = True
    SECRET_FILES = ()  # what secrets were read from
    LANGUAGES = ("en", "pt_BR", "zh_Hant_TW")  # the first for whoever asks for none of them
    MAX_CONTENT_LENGTH = 64 * 1024
    PERMANENT_SESSION_LIFETIME = timedelta(days=30)  # of the cookie; the session row ends on its own clock
    SESSION_COOKIE_SAMESITE = "Lax"  # Strict would drop the link parked by a click in a webmail page
    WTF_CSRF_TIME_LIMIT = None  # a form left open over lunch still works
    WTF_CSRF_SSL_STRICT = False  # would refuse whoever sends no Referer; security.refuse_cross_site looks at Origin


class Production(Config):
    """Has no default for what only the operator can know."""


class Development(Config):
    """Runs with no setting at all: a SQLite file, a key and a mailbox in `instance/`."""

    MAIL_DELIVERY = "thread"
    MAIL_DEFAULT_SENDER = "no-reply@rekey.example"
    LOG_FORMAT = "text"
    WEB_CONCURRENCY = 1
    DEV_MAILBOX = True
    TEMPLATES_AUTO_RELOAD = True


class Testing(Config):
    """Depends on nothing outside; mail is recorded and not sent."""

    TESTING = True
    READS_ENVIRONMENT = False
    SECRET_KEY = secrets.token_hex(32)  # another in every process: there is none to be left in production
    BASE_URL = "http://localhost"
    DATABASE_URL = "sqlite://"
    MAIL_SERVER = "127.0.0.1"
    MAIL_DEFAULT_SENDER = "no-reply@rekey.example"
    LOG_FORMAT = "text"


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
            what, fix = f"FLASK_CONFIG is {chosen!r}", f"use one of {', '.join(CONFIGS)}."
            raise ConfigError([Finding("settings", UNSAFE, what, fix)])
        chosen = CONFIGS[chosen]
    settings = {name: getattr(chosen, name) for name in dir(chosen) if name.isupper()}
    unreadable: dict[str, str] = {}
    if chosen.READS_ENVIRONMENT:
        environ = _environment(chosen)
        settings |= _from_environment(environ, unreadable)
        settings["SECRET_FILES"] = _secret_files(environ, chosen)
    if settings["FLASK_DEBUG"] and not issubclass(chosen, Development):
        unreadable["FLASK_DEBUG"] = "FLASK_DEBUG is on: it shows the source to everybody. Leave it out."
    if issubclass(chosen, Development):
        settings |= _development_defaults(settings)
    settings["BASE_URL"] = settings["BASE_URL"].strip().rstrip("/")
    settings["FINDINGS"] = found = findings(settings)
    unparsed = [Finding("settings", UNSAFE, problem) for problem in unreadable.values()]
    unsafe = [one for one in found if one.level == UNSAFE and one.what.split()[0] not in unreadable]
    if unparsed or unsafe:
        raise ConfigError([*unparsed, *unsafe])
    return settings | _derived(settings)


def early(*names: str) -> list[Any]:
    """Settings that gunicorn needs before all are checked; one that cannot be read has its default."""
    chosen = CONFIGS.get(os.environ.get("FLASK_CONFIG") or "production", Production)
    found = _from_environment(_environment(chosen), {})
    return [found.get(name, getattr(chosen, name)) for name in names]


def shared_metrics() -> str | None:
    """The directory an operator has set for what the processes of one gunicorn count."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def share_metrics(directory: str | None) -> None:
    """To be called before prometheus_client is imported, which looks there once; None: each process counts alone."""
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory


def _environment(chosen: type[Config]) -> Mapping[str, str | None]:
    if issubclass(chosen, Development):
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
        except (OSError, UnicodeDecodeError):
            unreadable[name] = f"{name}_FILE names {environ[f'{name}_FILE']!r}, which cannot be read as text."
        except ValueError as error:
            unreadable[name] = f"{name} {error}"
    return found


def _text(environ: Mapping[str, str | None], name: str) -> str | None:
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return environ.get(name)


def _secret_files(environ: Mapping[str, str | None], chosen: type[Config]) -> tuple[Path, ...]:
    paths = [environ.get(f"{name}_FILE") for name in inspect.get_annotations(Config)]
    named = [Path(path) for path in paths if path]
    return (*named, ROOT / ".env", INSTANCE / "secret_key") if issubclass(chosen, Development) else (*named,)


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
    INSTANCE.mkdir(mode=0o700, exist_ok=True)
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


# Seconds, and milliseconds: a server that has vanished is given up after half a minute, not after a quarter of an hour.
POSTGRESQL = {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
POSTGRESQL |= {"tcp_user_timeout": 30_000}


def _bare(contact: str) -> str:
    """The address without the name before it, as a link needs it; a URL as it is."""
    address = mail_address(contact)
    return address.addr_spec if address else contact


def _derived(settings: dict[str, Any]) -> dict[str, Any]:
    url = sqlalchemy_url(settings["DATABASE_URL"])
    secure = urlsplit(settings["BASE_URL"]).scheme == "https"
    sender = mail_address(sender_of(settings)) or Address(addr_spec="off@localhost")  # with MAIL_DELIVERY=off
    return {
        "MAIL_DEFAULT_SENDER": str(Address(sender.display_name or settings["APP_NAME"], addr_spec=sender.addr_spec)),
        # Links never take their host from a request (see security.public_url); this is for caches and proxies between.
        "TRUSTED_HOSTS": [*(settings["TRUSTED_HOSTS"] or [urlsplit(settings["BASE_URL"]).hostname]), *LOOPBACK],
        "METRICS_ADDRESS": socket_address(settings["METRICS_BIND"]),
        "OVERRIDES_DIR": settings["OVERRIDES_DIR"] and str(Path(settings["OVERRIDES_DIR"]).absolute()),
        "SECURITY_CONTACT": _bare(settings["SECURITY_CONTACT"] or settings["SUPPORT_EMAIL"]),
        "SUPPORT_EMAIL": _bare(settings["SUPPORT_EMAIL"]),
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_NAME": "__Host-session" if secure else "session",
        "SQLALCHEMY_DATABASE_URI": url,
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "hide_parameters": True,  # errors are logged, and parameters hold addresses, hashes and stamps
            "connect_args": POSTGRESQL if url.startswith("postgresql") else {},
        },
        "WTF_CSRF_SECRET_KEY": [
            *reversed(settings["SECRET_KEY_FALLBACKS"]),
            settings["SECRET_KEY"],
        ],  # signs with the last
    }
