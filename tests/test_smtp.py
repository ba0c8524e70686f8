"""Talking SMTP, to a real server: what is sent, what is refused, and what each failure means for the mail."""

import smtplib
import socket
import ssl
import time
from contextlib import contextmanager

import pytest

from app import create_app
from app.email import smtp
from app.email.smtp import Connection, Message, Verdict, describe, judge, scrub
from config import Testing
from tests.servers import HOST, SmtpSink, make_certificate

LOGIN = ("rekey", "a password for the mail server")


@pytest.fixture
def sink():
    with SmtpSink() as sink:
        yield sink


@contextmanager
def connection_to(port, **settings):
    """The app's own connection to a mail server, in an app that really sends."""
    settings = {"MAIL_SUPPRESS_SEND": False, "MAIL_PORT": port, **settings}
    app = create_app(type("Sending", (Testing,), settings))
    with app.app_context(), Connection() as connection:
        yield connection


@pytest.fixture
def connection(sink):
    with connection_to(sink.port) as connection:
        yield connection


def letter(to="alice@example.com", subject="Hello", body="Hello\n", html="<p>Hello</p>\n", **headers):
    return Message(to, subject, body, html, headers)


def failure(connection, message):
    """What the try fails with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is the caller's question
        connection.send(message)
    return caught.value


def test_one_connection_carries_many_messages(sink, connection):
    for number in range(3):
        connection.send(letter(f"reader{number}@example.com"))
    assert [mail.recipients for mail in sink.mails] == [[f"reader{number}@example.com"] for number in range(3)]
    assert len({mail.session for mail in sink.mails}) == 1


def test_a_connection_long_idle_is_opened_anew(sink, connection, monkeypatch):
    connection.send(letter())
    monkeypatch.setattr(smtp, "IDLE_SECONDS", 0)
    connection.send(letter())
    assert len({mail.session for mail in sink.mails}) == 2


def test_a_connection_the_server_has_closed_is_opened_anew(sink, connection):
    connection.send(letter())
    sink.stop()
    sink.start()
    connection.send(letter())
    assert len(sink.mails) == 2


def test_a_connection_is_worn_out_after_so_many_mails(sink, connection, monkeypatch):
    monkeypatch.setattr(smtp, "MAILS_PER_CONNECTION", 2)
    for _ in range(5):
        connection.send(letter())
    assert len({mail.session for mail in sink.mails}) == 3


def test_a_server_that_is_away_is_tried_again(sink, connection):
    sink.stop()
    assert judge(failure(connection, letter())) is Verdict.RETRY
    sink.start()
    connection.send(letter())
    assert len(sink.mails) == 1


def test_a_refused_recipient_does_not_harm_the_next_message(sink, connection):
    sink.refused = {"gone@example.com"}
    error = failure(connection, letter("gone@example.com"))
    assert judge(error) is Verdict.REFUSED
    assert describe(error) == "SMTPRecipientsRefused: 550 5.1.1 is not known here"
    connection.send(letter("alice@example.com"))
    assert [mail.recipients for mail in sink.mails] == [["alice@example.com"]]


def test_a_server_too_busy_for_a_message_may_be_asked_again(sink, connection):
    sink.busy = 1
    assert judge(failure(connection, letter())) is Verdict.RETRY
    connection.send(letter())
    assert len(sink.mails) == 1


@pytest.mark.asvs("13.2.6")
def test_a_server_that_never_greets_is_given_up_after_the_timeout():
    with (
        socket.create_server((HOST, 0)) as tarpit,
        connection_to(tarpit.getsockname()[1], MAIL_TIMEOUT=1) as connection,
    ):
        began = time.monotonic()
        assert judge(failure(connection, letter())) is Verdict.RETRY
        assert 0.9 < time.monotonic() - began < 5


@pytest.mark.asvs("13.2.6")
def test_a_server_that_falls_silent_is_given_up_after_the_timeout(sink):
    sink.silent = True
    with connection_to(sink.port, MAIL_TIMEOUT=1) as connection:
        began = time.monotonic()
        assert judge(failure(connection, letter())) is Verdict.RETRY
        assert 0.9 < time.monotonic() - began < 5
        sink.silent = False
        connection.send(letter())
    assert len(sink.mails) == 1


ENCRYPTIONS = pytest.mark.parametrize("encryption", ["MAIL_USE_TLS", "MAIL_USE_SSL"])


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path, f"IP:{HOST}")


def secure_sink(certificate, encryption):
    return SmtpSink(certificate, tls_from_the_start=encryption == "MAIL_USE_SSL", login=LOGIN)


def secure_settings(encryption, **settings):
    return {encryption: True, "MAIL_USERNAME": LOGIN[0], "MAIL_PASSWORD": LOGIN[1], **settings}


@pytest.mark.asvs("12.3.4")
@ENCRYPTIONS
def test_a_certificate_in_the_trust_store_is_accepted(certificate, encryption):
    settings = secure_settings(encryption, MAIL_CA_FILE=str(certificate.certificate))
    with secure_sink(certificate, encryption) as sink, connection_to(sink.port, **settings) as connection:
        connection.send(letter())
        assert len(sink.mails) == 1
        assert sink.logins == [LOGIN]


@pytest.mark.asvs("12.3.2", "12.3.4")
@ENCRYPTIONS
def test_an_untrusted_certificate_gets_neither_login_nor_mail(certificate, encryption):
    settings = secure_settings(encryption)
    with secure_sink(certificate, encryption) as sink, connection_to(sink.port, **settings) as connection:
        assert judge(failure(connection, letter())) is Verdict.OURS
        assert sink.logins == sink.tries == []


@pytest.mark.asvs("12.3.2")
@ENCRYPTIONS
def test_the_certificate_of_another_host_gets_neither_login_nor_mail(tmp_path, encryption):
    certificate = make_certificate(tmp_path, "DNS:mail.example.com")
    settings = secure_settings(encryption, MAIL_CA_FILE=str(certificate.certificate))
    with secure_sink(certificate, encryption) as sink, connection_to(sink.port, **settings) as connection:
        assert judge(failure(connection, letter())) is Verdict.OURS
        assert sink.logins == sink.tries == []


@pytest.mark.asvs("12.3.1")
def test_a_server_without_starttls_gets_nothing(sink):
    with connection_to(sink.port, MAIL_USE_TLS=True) as connection:
        assert judge(failure(connection, letter())) is Verdict.OURS
    assert sink.tries == []


def test_a_wrong_password_for_the_mail_server_is_ours_to_mend(certificate):
    settings = secure_settings("MAIL_USE_TLS", MAIL_CA_FILE=str(certificate.certificate), MAIL_PASSWORD="wrong")
    with secure_sink(certificate, "MAIL_USE_TLS") as sink, connection_to(sink.port, **settings) as connection:
        assert judge(failure(connection, letter())) is Verdict.OURS
        assert sink.tries == []


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\r\n "])
@pytest.mark.parametrize("place", ["to", "subject", "X-Header"])
def test_a_line_break_in_a_header_stops_the_mail(sink, connection, place, line_break):
    injected = f"Hello{line_break}Bcc: eve@example.com"
    with pytest.raises((ValueError, smtp.flask_mail.BadHeaderError)):
        connection.send(letter(**{place: injected}))
    assert sink.tries == []
    connection.send(letter())
    assert len(sink.mails) == 1


def test_lines_are_short_and_ascii_and_arrive_as_they_were_written(sink, connection):
    subject = "Überraschung für Zoë: " + "noch ein Wort " * 20
    body = "Zoë " * 400 + "\n.\n..\nFrom here on\ntrailing space \n-- \nRekey\n"
    html = "<p>" + "ünbroken" * 300 + "</p>\n"
    connection.send(letter(subject=subject.strip(), body=body, html=html))

    [mail] = sink.mails
    assert mail.source.isascii()
    lines = mail.source.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert max(map(len, lines)) <= 78
    assert (mail.message["Subject"], mail.text, mail.html) == (subject.strip(), body, html)


@pytest.mark.parametrize("name", ["Rekey", "Acme, Inc.", "Zoë & Söhne", 'The "Best"', "a <b@c.example>", "名前の会社"])
def test_a_senders_name_of_any_letters_arrives_whole(sink, name):
    with connection_to(sink.port, APP_NAME=name, SUPPORT_EMAIL="help@rekey.example") as connection:
        connection.send(letter())
    [mail] = sink.mails
    [sender] = mail.message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "no-reply@rekey.example")
    assert mail.sender == "no-reply@rekey.example"
    assert mail.message["Reply-To"] == "help@rekey.example"


@pytest.mark.asvs("1.5.3")
@pytest.mark.parametrize("address", ["Carol.O'Hara+Test@example.com", "a_%b=c/d@example.com", "x@xn--fa-hia.example"])
def test_a_recipient_is_addressed_to_the_letter(sink, connection, address):
    connection.send(letter(address))
    [mail] = sink.mails
    assert mail.recipients == [address]
    assert mail.message["To"] == address


@pytest.fixture
def tokyo(monkeypatch):
    """A machine that lives nine hours ahead."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_mail_betrays_neither_the_name_of_this_machine_nor_its_time_zone(sink, connection):
    connection.send(letter())
    [mail] = sink.mails
    assert mail.greeting == "rekey.example"
    assert mail.message["Date"].endswith("+0000")


REFUSED = {"alice@example.com": (550, b"5.1.1 <alice@example.com>: no such user")}
BUSY = {"alice@example.com": (450, b"4.2.0 <alice@example.com>: greylisted")}
NO_RELAY = {"alice@example.com": (554, b"5.7.1 <alice@example.com>: Relay access denied")}
UNVERIFIED = ssl.SSLCertVerificationError(1, "certificate verify failed")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (smtplib.SMTPRecipientsRefused(REFUSED), Verdict.REFUSED),
        (smtplib.SMTPRecipientsRefused(BUSY), Verdict.RETRY),
        (smtplib.SMTPDataError(554, b"5.7.1 looks like spam"), Verdict.REFUSED),
        (smtplib.SMTPDataError(451, b"4.3.0 come back later"), Verdict.RETRY),
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 wrong password"), Verdict.OURS),
        (smtplib.SMTPAuthenticationError(454, b"4.7.0 cannot look that up now"), Verdict.RETRY),
        (smtplib.SMTPSenderRefused(553, b"5.7.1 not yours", "no-reply@rekey.example"), Verdict.OURS),
        (smtplib.SMTPSenderRefused(452, b"4.3.1 disk full", "no-reply@rekey.example"), Verdict.RETRY),
        (smtplib.SMTPHeloError(550, b"who are you"), Verdict.OURS),
        (smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), Verdict.OURS),
        (UNVERIFIED, Verdict.OURS),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), Verdict.RETRY),
        (smtplib.SMTPConnectError(421, b"too many connections"), Verdict.RETRY),
        (ConnectionRefusedError(111, "Connection refused"), Verdict.RETRY),
        (socket.gaierror(-2, "Name or service not known"), Verdict.RETRY),
        (TimeoutError("timed out"), Verdict.RETRY),
        (smtplib.SMTPRecipientsRefused(NO_RELAY), Verdict.OURS),
        (smtplib.SMTPResponseException(502, b"no STARTTLS here"), Verdict.OURS),
        (smtplib.SMTPException("No suitable authentication method found."), Verdict.OURS),
        (ssl.SSLError(1, "wrong version number"), Verdict.OURS),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), Verdict.RETRY),
        (UnicodeEncodeError("ascii", "p\u00e4ssword", 1, 2, "ordinal not in range"), Verdict.OURS),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'smtp_code', '')}" if value else None,
)
def test_each_failure_has_its_verdict(error, verdict):
    assert judge(error) is verdict


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (smtplib.SMTPRecipientsRefused(REFUSED), "SMTPRecipientsRefused: 550 5.1.1 no such user"),
        (smtplib.SMTPDataError(554, b"5.7.1 spam for alice@example.com"), "SMTPDataError: 554 5.7.1 spam for"),
        (smtplib.SMTPDataError(451, "4.3.0 später".encode()), "SMTPDataError: 451 4.3.0 später"),
        (smtplib.SMTPDataError(451, b"4.3.0 \xff\xfe"), "SMTPDataError: 451 4.3.0 \ufffd\ufffd"),
        (smtplib.SMTPDataError(550, b"one\ntwo\nalice@example.com"), "SMTPDataError: 550 one two"),
        (smtplib.SMTPDataError(550, b"see x?id=alice%40example.com"), "SMTPDataError: 550 see"),
        (smtplib.SMTPSenderRefused(553, b"no", "no-reply@rekey.example"), "SMTPSenderRefused: 553 no"),
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("alice@example.com has a secret"), "ValueError"),
        (KeyError("secret"), "KeyError"),
    ],
)
def test_a_failure_is_described_in_the_servers_words_without_an_address(error, words):
    assert describe(error) == words


def test_a_long_answer_is_cut():
    assert len(describe(smtplib.SMTPDataError(550, b"word " * 1000))) == 500


@pytest.mark.asvs("16.4.1", "16.2.5")
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("250 queued for <alice@example.com> as 4F2", "250 queued for as 4F2"),
        ("554 5.7.1 URL blocked: https://example.com/auth/reset_password/abc", "554 5.7.1 URL blocked:"),
        ("554 blocked example.com/auth/reset_password/abc", "554 blocked"),
        ("550 bad \0 nul \x1b[31m", "550 bad  nul [31m"),
        ("250 " + "x" * 1000, "250 " + "x" * 496),
    ],
)
def test_what_a_server_says_is_kept_without_addresses_links_and_controls(said, kept):
    assert scrub(said) == kept
