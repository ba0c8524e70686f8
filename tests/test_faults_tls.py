"""Mail servers that cannot prove who they are, before a real site and a real worker."""

import ssl

import pytest

from tests.hurried import site_with_worker
from tests.promises import Promises, read_rows
from tests.servers import HOST, make_certificate, wait_for
from tests.smtp_script import ScriptedSmtp

WORDS = {
    "no STARTTLS": "SMTPNotSupportedError",
    "self-signed": "SSLCertVerificationError",
    "wrong name": "SSLCertVerificationError",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    names = {"ours": f"IP:{HOST}", "wrong name": "DNS:mail.example.com", "self-signed": f"IP:{HOST}"}
    return {name: make_certificate(tmp_path_factory.mktemp("tls"), subject) for name, subject in names.items()}


@pytest.fixture(scope="module")
def over_tls(session_app, certificates, tmp_path_factory):
    """A site whose worker demands STARTTLS, and trusts all but the self-signed certificate."""
    trusted = tmp_path_factory.mktemp("trust") / "store.pem"
    trusted.write_text("".join(certificates[name].certificate.read_text() for name in ("ours", "wrong name")))
    settings = {"MAIL_USE_TLS": 1, "MAIL_CA_FILE": trusted, "MAIL_USERNAME": "rekey", "MAIL_PASSWORD": "secret"}
    directory = tmp_path_factory.mktemp("site")
    with ScriptedSmtp() as server, site_with_worker(session_app, directory, server, settings) as site:
        site.smtp = server
        yield site


def context_of(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


@pytest.mark.asvs("12.3.1", "12.3.2", "16.3.4")
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
@pytest.mark.parametrize("flaw", ["no STARTTLS", "self-signed", "wrong name"])
def test_a_server_that_cannot_prove_itself_gets_nothing_and_the_mail_is_kept(app, over_tls, alice, certificates, flaw):
    smtp, promises = over_tls.smtp, Promises(app, over_tls.url)
    smtp.steps.clear()
    smtp.mails.clear()
    smtp.tls = context_of(certificates[flaw]) if flaw in certificates else None
    assert promises.ask(alice) == 303
    wait_for(lambda: read_rows(app)[0].last_error, "the first try to be over")
    assert not {"AUTH", "MAIL"} & set(smtp.steps)
    wait_for(lambda: f"no mail can leave: {WORDS[flaw]}" in over_tls.programs[-1].output, "the log to say so")

    smtp.tls = context_of(certificates["ours"])
    wait_for(lambda: read_rows(app)[0].outcome == "sent", "the mail to leave")
    promises.check(smtp.mails)
    smtp.stop()
    smtp.start()
