"""Development only: an SMTP server that keeps what it is sent, and pages to read it (/dev/mailbox); and all mails there
are, with made-up facts (/dev/mails).

Real SMTP on purpose: what the mailbox shows has gone the whole way that mail goes in production.
"""

import logging
import os
import re
import socket
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from mailbox import Maildir
from pathlib import Path
from threading import Lock

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Blueprint, Flask, Response, abort, current_app, render_template, request

from app.email.catalogue import drafts, preview

HOST = "127.0.0.1"
LIST_LENGTH = 100  # every mail listed is read and parsed

MAIL_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-src 'self'; frame-ancestors 'none'"
    ),
}
FRAME_HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-top-navigation-by-user-activation allow-popups; default-src 'none'; "
        "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}

# What the condition of a mail's dark rules becomes, to show it in the one scheme or the other on any machine.
SCHEMES = {"light": "not all", "dark": "all"}

bp = Blueprint("dev", __name__, url_prefix="/dev")


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    app.extensions["mail_catcher"] = Catcher(app)


class Catcher:
    """An SMTP server inside this process that puts every mail into a Maildir, byte for byte."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.lock = Lock()
        self.port = 0
        self.process: int | None = None

    def address(self) -> tuple[str, int]:
        """Host and port. The first call in a process starts the server."""
        with self.lock:
            if self.process != os.getpid():  # threads do not survive a fork
                self.port = self._start()
                self.process = os.getpid()
            return HOST, self.port

    def _start(self) -> int:
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # below that, aiosmtpd logs every command
        port = _free_port()
        # server_hostname: else every connection looks this machine's name up in the DNS
        Controller(self, hostname=HOST, port=port, server_hostname="localhost").start()
        return port

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        _maildir(self.app).add(envelope.original_content or b"")
        return "250 OK"


def _free_port() -> int:
    """Controller takes no port 0. If another process snatches this one, start() raises and the mail is tried again."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _maildir(app: Flask) -> Maildir:
    path = Path(app.instance_path, "mailbox")
    for name in ("cur", "new", "tmp"):  # Maildir would make them, but two processes doing so at once collide
        (path / name).mkdir(0o700, parents=True, exist_ok=True)
    return Maildir(path)


@bp.get("/mailbox")
def mailbox() -> bytes:
    maildir = _maildir(current_app)
    keys = sorted(maildir.keys(), key=_arrived, reverse=True)
    mails = [(key, _arrived(key), _parse(maildir.get_bytes(key))) for key in keys[:LIST_LENGTH]]
    return _render("dev/mailbox.html", mails=mails, total=len(keys))


@bp.get("/mailbox/<key>")
def mail(key: str) -> tuple[bytes, dict[str, str]]:
    source = _read(key)
    message = _parse(source)
    parts = {"html": _part(message, "html"), "text": _part(message, "plain")}
    page = _render("dev/mail.html", key=key, mail=message, source=source.decode(errors="replace"), **parts)
    return page, MAIL_PAGE_HEADERS


@bp.get("/mailbox/<key>/html")
def mail_html(key: str) -> Response:
    html = _part(_parse(_read(key)), "html")
    if html is None:
        abort(404)
    return _framed(html)


@bp.get("/mails")
def mails() -> str:
    languages = current_app.config["LANGUAGES"]
    subjects = {kind: {tag: preview(kind, tag).subject for tag in languages} for kind in drafts()}
    return render_template("dev/mails.html", subjects=subjects)


@bp.get("/mails/<kind>")
def mails_one(kind: str) -> tuple[str, dict[str, str]]:
    locale = _chosen_language()
    mail = _parse(_sample(kind, locale))
    page = render_template("dev/mails_one.html", kind=kind, locale=locale, mail=mail, text=_part(mail, "plain"))
    return page, MAIL_PAGE_HEADERS


@bp.get("/mails/<kind>/html")
def mails_html(kind: str) -> Response:
    """The HTML part as `?scheme=` shows it, else as the browser prefers."""
    html = _part(_parse(_sample(kind, _chosen_language())), "html") or ""
    if scheme := request.args.get("scheme"):
        html = _in_scheme(html, scheme)
    return _framed(html)


def _chosen_language() -> str:
    languages: tuple[str, ...] = current_app.config["LANGUAGES"]
    locale = request.args.get("locale", languages[0])
    return locale if locale in languages else abort(404)


def _sample(kind: str, locale: str) -> bytes:
    return preview(kind, locale).as_bytes() if kind in drafts() else abort(404)


def _in_scheme(html: str, scheme: str) -> str:
    if scheme not in SCHEMES:
        abort(404)
    return html.replace("(prefers-color-scheme: dark)", SCHEMES[scheme]).replace("light dark", scheme)


def _framed(html: str) -> Response:
    # After the doctype: before it, <base> would put the browser into quirks mode.
    html = re.sub(r"\A\s*(<!doctype[^>]*>)?", r'\g<0><base target="_top">', html, flags=re.IGNORECASE)
    return Response(html.encode(errors="replace"), headers=FRAME_HEADERS)


def _render(template: str, **context: object) -> bytes:
    """To bytes, because mail may hold lone surrogates, which UTF-8 cannot encode."""
    return render_template(template, **context).encode(errors="replace")


def _arrived(key: str) -> datetime:
    """Maildir names a file after its moment, as in 1763644800.M532941P17Q1.host."""
    name = re.match(r"(\d{1,11})\.M(\d{1,6})P", key)
    seconds, microseconds = name.groups() if name else (0, 0)
    return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(microseconds))


def _read(key: str) -> bytes:
    try:
        return _maildir(current_app).get_bytes(key)  # looks the key up in a listing: no path is made from it
    except KeyError:
        abort(404)


_parse_header = HeaderRegistry()


def _header(name: str, value: str) -> str:
    try:
        return str(_parse_header(name, value))
    except Exception:  # the parser raises whatever it trips over; show the header as it came
        return value


def _parse(source: bytes) -> EmailMessage:
    return message_from_bytes(source, policy=policy.default.clone(header_factory=_header))


def _part(message: EmailMessage, subtype: str) -> str | None:
    """The first text part of that subtype. Not get_body(), which fails on malformed structures."""
    part = next((part for part in message.walk() if part.get_content_type() == f"text/{subtype}"), None)
    if part is None:
        return None
    try:
        return str(part.get_content())
    except Exception:  # most often a charset that does not exist
        return bytes(part.get_payload(decode=True)).decode(errors="replace")
