"""Flask-Mail with what it lacks: time-outs, verified TLS, errors as they happened, and a modern message.

Flask-Mail 0.10 waits for ever, takes any certificate, hides a refusal behind the failing QUIT, and sends 8-bit lines of
any length. The only module that talks SMTP.
"""

import secrets
import smtplib
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parseaddr
from enum import Enum
from select import select
from socket import SHUT_RDWR, socket
from time import monotonic
from typing import Any, Self

import flask_mail
from flask import current_app

from app.email import mime

IDLE_SECONDS = 30  # servers hang up on a silent client, some after a minute
STEPS = ("name", "connection", "TLS", "certificate", "login", "sender")  # what can go wrong before a recipient is named
MAILS_PER_CONNECTION = 100  # servers have limits of their own, and answer 421 when they are reached


class UnreachableError(Exception):
    """No server to speak to: no connection, no trusted certificate, no login. Says nothing about any one mail."""


class Verdict(Enum):
    RETRY = "the server or the way to it is in trouble: try later"
    REFUSED = "this recipient or this mail is refused for good"
    OURS = "our settings are wrong: keep the mail, try again, and say so loudly"


def judge(error: Exception) -> Verdict:
    """Sort what went wrong with one try (RFC 5321, 4.2.1: 4yz may pass later, 5yz will not)."""
    match error:
        case UnreachableError(__cause__=Exception() as cause):
            return judge(cause)
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            return _judge_recipient(*next(iter(refused.values())))
        case smtplib.SMTPDataError():
            return Verdict.REFUSED if error.smtp_code >= 500 else Verdict.RETRY
        case smtplib.SMTPResponseException():  # to anything said before the recipient: greeting, STARTTLS, AUTH, MAIL
            return Verdict.OURS if error.smtp_code >= 500 else Verdict.RETRY
        case smtplib.SMTPServerDisconnected() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Verdict.RETRY
        case smtplib.SMTPException() | ssl.SSLError():  # no STARTTLS, no login we know, no certificate we trust
            return Verdict.OURS
        case OSError():  # time-outs, refused connections, names that do not resolve
            return Verdict.RETRY
        case _:  # a setting that no server name or login can be made of
            return Verdict.OURS


def _judge_recipient(code: int, text: bytes) -> Verdict:
    if code < 500:
        return Verdict.RETRY
    # RFC 3463: 5.7.x is about permission, and "relay access denied" would else fail every mail there is.
    return Verdict.OURS if text.startswith(b"5.7.") else Verdict.REFUSED


def describe(error: BaseException | None) -> str:
    """One line for `last_error` and the log: the server's words, without anybody's address or link."""
    match error:
        case UnreachableError():
            return describe(error.__cause__)
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, text = next(iter(refused.values()))
            words = f"{code} {_decode(text)}"
        case smtplib.SMTPResponseException():
            words = f"{error.smtp_code} {_decode(error.smtp_error)}"
        case OSError():
            words = str(error)
        case _:
            words = ""  # what other exceptions say may hold anything
    return f"{type(error).__name__}: {scrub(words)}"[:500].rstrip(": ")


def scrub(words: str) -> str:
    """A server's words without addresses, links (filters quote the one they dislike) and control characters."""
    kept = [word for word in words.split() if not any(mark in word for mark in ("@", "%40", "://", "/auth/"))]
    return "".join(letter for letter in " ".join(kept) if letter.isprintable())[:500]


def _decode(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def sender_domain() -> str:
    """What we call ourselves, in HELO and in Message-IDs: never this machine's name."""
    return parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1].rpartition("@")[2]


class Message(flask_mail.Message):
    """A message that is built at once, so that what cannot be said fails before a server is spoken to.

    Raises ValueError.
    """

    def __init__(self, to: str, subject: str, body: str, html: str, headers: dict[str, str]) -> None:
        # Not super().__init__: it looks this machine's name up in the DNS, for a Message-ID we do not use.
        self.recipients: list[str | tuple[str, str]] = [to]
        self.subject, self.body, self.alts = subject, body, {"html": html}
        self.sender = current_app.config["MAIL_DEFAULT_SENDER"]
        self.reply_to = current_app.config["SUPPORT_EMAIL"] or None
        self.extra_headers = headers
        self.cc, self.bcc, self.mail_options, self.rcpt_options = [], [], [], []
        self.date = None
        self.source = mime.build(self._headers(to), body, html, boundary=f"=_{secrets.token_hex(12)}")

    def _headers(self, to: str) -> dict[str, str]:
        headers = {
            "From": mime.encode_address(str(self.sender)),
            "To": mime.encode_address(to),
            "Subject": self.subject,
            "Date": format_datetime(datetime.now(UTC)),
        }
        if self.reply_to:
            headers["Reply-To"] = mime.encode_address(str(self.reply_to))
        return headers | (self.extra_headers or {})

    def as_bytes(self) -> bytes:
        return self.source


def _trust() -> ssl.SSLContext:
    """Certificates are checked, against MAIL_CA_FILE or the system's store. Loading that takes 16 ms."""
    return ssl.create_default_context(cafile=current_app.config["MAIL_CA_FILE"] or None)


class _Smtp(smtplib.SMTP):
    """Keeps what smtplib forgets: whether a mail was begun, and the server's receipt for it."""

    begun = False
    receipt = ""

    def __init__(self, connection: "Connection", **kwargs: Any) -> None:
        connection.dialogue = self  # before it connects: a greeting may never end
        super().__init__(**kwargs)

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.begun = True
        code, text = super().data(msg)
        self.receipt = scrub(f"{code} {_decode(text)}")
        return code, text


class _SmtpOverTls(_Smtp, smtplib.SMTP_SSL):
    pass


class Connection(flask_mail.Connection):
    """A connection that opens on first use, stays open for the next message and is dropped after any error."""

    host: _Smtp | None

    def __init__(self) -> None:
        super().__init__(current_app.extensions["mail"])
        self.dialogue: _Smtp | None = None  # `host`, and before that what is to become it
        self.used_at = 0.0
        self.receipt = ""  # the server's, for the last mail sent
        self.step = ""  # of STEPS: the last that was begun
        self.aborted = False

    def __enter__(self) -> Self:
        return self  # opened by the first send: an idle worker keeps no connection

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Send one mail. Raises UnreachableError, or what smtplib raises about this mail."""
        if self.host is not None and self._is_stale():
            self.close()
        kept, self.aborted = self.host, False
        try:
            return self._send(message, envelope_from)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPSenderRefused) as error:
            # Since the mail before this one, a kept connection may have been closed, or its quota used up (421).
            gone = not self.aborted and getattr(error, "smtp_code", 421) == 421
            if kept is None or kept.begun or not gone:
                raise
        self._send(message, envelope_from)

    def _send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None) -> None:
        self.open()
        if self.host is not None:
            self.host.begun = False
        try:
            super().send(message, envelope_from)
        except BaseException:
            self.close()  # whatever state the dialogue is in, the next message starts afresh
            raise
        self.used_at = monotonic()
        self.receipt = self.host.receipt if self.host else "suppressed"

    def open(self) -> None:
        """Connect unless connected. Raises UnreachableError."""
        if self.host is None and not self.mail.suppress:
            try:
                self.host = self.configure_host()
            except Exception as error:
                raise UnreachableError from error
            self.num_emails = 0

    def rehearse(self) -> None:
        """All that a mail needs but its recipient: sends none. Raises UnreachableError, or SMTPSenderRefused."""
        self.open()
        if self.host is None:
            return
        self.host.ehlo_or_helo_if_needed()
        self.step = "sender"
        sender = parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1]
        code, text = self.host.mail(sender)
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, text, sender)
        self.host.rset()

    def configure_host(self) -> _Smtp:
        config = current_app.config
        server, port = config["MAIL_SERVER"], config["MAIL_PORT"]
        if not server:  # only development starts without one
            server, port = current_app.extensions["mail_catcher"].address()
        common: dict[str, Any] = {
            "host": server,
            "port": port,
            "timeout": config["MAIL_TIMEOUT"],
            "local_hostname": sender_domain(),  # the default is a DNS look-up of this machine's name
        }
        self.step = "connection"
        host = _SmtpOverTls(self, **common, context=_trust()) if config["MAIL_USE_SSL"] else _Smtp(self, **common)
        try:
            if config["MAIL_USE_TLS"]:
                self.step = "TLS"
                host.starttls(context=_trust())
            if config["MAIL_USERNAME"]:
                self.step = "login"
                host.login(config["MAIL_USERNAME"], config["MAIL_PASSWORD"])
        except BaseException:
            host.close()
            raise
        return host

    def _is_stale(self) -> bool:
        """Worn out, idle for long, or hung up on: a server that has something to say unasked says goodbye."""
        idle = monotonic() - self.used_at > IDLE_SECONDS
        sock = self.host.sock if self.host else None
        return idle or self.num_emails >= MAILS_PER_CONNECTION or sock is None or bool(select([sock], [], [], 0)[0])

    def close(self) -> None:
        """Say QUIT if anybody listens. Never raises: the mail's fate is known before this."""
        host, self.host = self.host, None
        if host is not None:
            with suppress(OSError):
                host.quit()
            host.close()

    def abort(self) -> None:
        """Hang up from another thread, on a server that takes for ever; `send` then raises."""
        self.aborted = True
        sock = self.dialogue and self.dialogue.sock
        if sock:
            with suppress(OSError):
                socket.shutdown(sock, SHUT_RDWR)  # not SSLSocket's own, which the sending thread is using
