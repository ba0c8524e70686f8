"""`flask doctor` on the sender's domain, before a name server that really answers so."""

import dns.resolver
import pytest

from app import create_app
from app.doctor import sender_domain
from config import Testing
from tests.name_server import NameServer

SPF, DMARC = "v=spf1 include:mail.example.net -all", "v=DMARC1; p=reject"
WELL = {"ours.org": [SPF], "_dmarc.ours.org": [DMARC], "s1._domainkey.ours.org": ["v=DKIM1; p=x"]}


@pytest.fixture
def server(monkeypatch):
    with NameServer() as server:
        monkeypatch.setattr(dns.resolver, "default_resolver", server.resolver)
        monkeypatch.setattr(sender_domain, "SECONDS", 0.5)
        server.texts = WELL | {}
        yield server


@pytest.fixture
def look(server):
    def look(**settings):
        app = create_app(type("Sending", (Testing,), {"MAIL_DEFAULT_SENDER": "no-reply@ours.org"} | settings))
        with app.app_context():
            return {finding.check: finding for finding in sender_domain.check()}

    return look


def test_what_is_well_is_told_and_no_more_than_can_be_known(look):
    told = look()
    assert {check: finding.level for check, finding in told.items()} == {
        "SPF": "ok",
        "DKIM": "not checked",
        "DMARC": "ok",
    }
    assert "only a received one shows" in told["DKIM"].what


@pytest.mark.parametrize(
    ("check", "name", "records", "level", "words"),
    [
        ("SPF", "ours.org", [], "warning", "has no SPF record"),
        ("SPF", "ours.org", ["google-site-verification=x"], "warning", "has no SPF record"),
        ("SPF", "ours.org", [SPF, "v=spf1 ~all"], "wrong", "2 SPF records"),
        ("SPF", "ours.org", ["v=spf1 +all"], "warning", "lets the whole world send"),
        ("DMARC", "_dmarc.ours.org", [], "warning", "has no DMARC record"),
        ("DMARC", "_dmarc.ours.org", [DMARC, "v=DMARC1; p=none"], "wrong", "several DMARC records"),
    ],
)
def test_a_record_that_is_missing_or_wrong_is_told(look, server, check, name, records, level, words):
    server.texts[name] = records
    found = look()[check]
    assert found.level == level
    assert words in found.what


def test_a_domain_below_which_no_key_lies_is_told(look, server):
    del server.texts["s1._domainkey.ours.org"]
    assert look()["DKIM"].level == "warning"


def test_a_dmarc_record_of_the_domain_above_counts(look, server):
    server.texts["mail.ours.org"] = [SPF]
    assert look(MAIL_DEFAULT_SENDER="no-reply@mail.ours.org")["DMARC"].level == "ok"


def test_a_domain_that_does_not_exist_is_told(look):
    [found] = look(MAIL_DEFAULT_SENDER="no-reply@theirs.org").values()
    assert (found.level, found.what) == ("wrong", "The DNS knows no theirs.org")


def test_a_name_server_of_a_closed_network_is_not_believed(look, server):
    server.texts = {}
    [found] = look().values()
    assert found.level == "not checked"


def test_offline_nothing_is_claimed(look, server):
    server.silent = True
    [found] = look().values()
    assert found.level == "not checked"


def test_without_a_resolver_nothing_is_claimed(look, monkeypatch):
    def none_is_configured(*args, **kwargs):
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "get_default_resolver", none_is_configured)
    [found] = look().values()
    assert found.level == "not checked"


def test_names_for_samples_and_sites_without_mail_ask_nobody(look, server):
    server.silent = True
    for sender in ("a@example.com", "a@mail.example.org", "a@rekey.example"):
        assert look(MAIL_DEFAULT_SENDER=sender)["sender's domain"].what.endswith("is a name for samples.")
    assert look(MAIL_DELIVERY="off") == {}


def test_a_name_that_only_ends_like_one_for_samples_is_asked_about(look, server):
    server.texts["bestexample.com"] = [SPF]
    assert look(MAIL_DEFAULT_SENDER="no-reply@bestexample.com")["SPF"].level == "ok"
