"""`flask mail test` against servers that really fail in each way."""

import pytest

from app import create_app
from config import Testing
from tests.servers import HOST, SmtpSink, free_port, make_certificate


@pytest.fixture
def send():
    """Runs `flask mail test` with these settings; returns the exit status and what was printed."""

    def send(**settings):
        settings = {"MAIL_SUPPRESS_SEND": False, "MAIL_TIMEOUT": 1} | settings
        runner = create_app(type("Changed", (Testing,), settings)).test_cli_runner()
        result = runner.invoke(args=["mail", "test", "alice@example.com"])
        return result.exit_code, result.output

    return send


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path, "DNS:elsewhere.example")


def test_a_mail_that_leaves_is_confirmed_in_the_servers_words(send):
    with SmtpSink() as sink:
        assert send(MAIL_PORT=sink.port) == (0, "The server has taken it: 250 OK\n")
    [mail] = sink.mails
    assert mail.recipients == ["alice@example.com"]
    assert mail.message["Subject"] == "A test from Rekey"


def told(result, words):
    status, output = result
    assert status == 1
    assert words in output
    assert "Traceback" not in output


def test_a_name_that_does_not_resolve(send):
    told(
        send(MAIL_SERVER="mail.invalid", MAIL_USE_TLS=True),
        "The name mail.invalid does not resolve. Check MAIL_SERVER.",
    )


def test_a_port_nobody_listens_on(send):
    port = free_port()
    told(send(MAIL_PORT=port), f"Nothing listens on port {port} of 127.0.0.1. Check MAIL_PORT")


def test_a_server_that_does_not_answer(send):
    with SmtpSink() as sink:
        sink.silent = True
        told(send(MAIL_PORT=sink.port), "did not answer")
        sink.silent = False


def test_a_certificate_nobody_vouches_for(send, certificate):
    with SmtpSink(certificate) as sink:
        told(send(MAIL_PORT=sink.port, MAIL_USE_TLS=True), "is not trusted: self-signed certificate")


def test_a_certificate_of_another_host(send, certificate):
    trusting = {"MAIL_USE_TLS": True, "MAIL_CA_FILE": str(certificate.certificate)}
    with SmtpSink(certificate) as sink:
        told(send(MAIL_PORT=sink.port, **trusting), "Check how it is spelt")


def test_a_port_that_does_not_begin_with_tls(send):
    with SmtpSink() as sink:
        told(send(MAIL_PORT=sink.port, MAIL_USE_SSL=True), "does not begin with TLS")


def test_a_server_without_starttls(send):
    with SmtpSink() as sink:
        told(send(MAIL_PORT=sink.port, MAIL_USE_TLS=True), "does not do what the settings ask for: STARTTLS")


def test_a_login_that_is_refused(send, certificate, tmp_path):
    certificate = make_certificate(tmp_path, f"IP:{HOST}")
    settings = {"MAIL_USE_TLS": True, "MAIL_CA_FILE": str(certificate.certificate)}
    settings |= {"MAIL_USERNAME": "rekey", "MAIL_PASSWORD": "wrong"}
    with SmtpSink(certificate, login=("rekey", "right")) as sink:
        result = send(MAIL_PORT=sink.port, **settings)
    told(result, "The login was refused: 535")
    assert "wrong" not in result[1]


def test_a_recipient_that_is_refused(send):
    with SmtpSink() as sink:
        sink.refused = {"alice@example.com"}
        told(send(MAIL_PORT=sink.port), "takes no mail for this recipient: 550 5.1.1")


def test_an_address_that_is_none(send):
    app = create_app("testing")
    result = app.test_cli_runner().invoke(args=["mail", "test", "alice"])
    assert result.exit_code == 2
    assert "@-sign" in result.output
