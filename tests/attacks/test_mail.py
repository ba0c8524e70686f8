"""Attacks that go through the mail: foreign recipients and headers, hostile names, and what a reader is led to."""

import re
from datetime import timedelta
from email.utils import parseaddr, parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from app.database import utcnow
from app.email import OutboxMessage
from tests import spam
from tests.attacks import raw
from tests.attacks.conftest import once
from tests.attacks.site import (
    NEW_PASSWORD,
    PASSWORD,
    REGISTER,
    RESET,
    fresh_address,
)

EVIL = "attacker@evil.example"
SENDER = "no-reply@rekey.example"

SMUGGLED = [
    f"victim@example.com\nBcc: {EVIL}",
    f"victim@example.com\r\nBcc: {EVIL}",
    f"victim@example.com\r\n Bcc: {EVIL}",
    f"victim@example.com%0aBcc:{EVIL}",
    f"victim@example.com\u2028Bcc: {EVIL}",
    f"victim@example.com\x0bBcc: {EVIL}",
    f"victim@example.com\x85Bcc: {EVIL}",
    f"victim@example.com>\r\nRCPT TO:<{EVIL}",
]
SPLIT = [
    f"victim@example.com, {EVIL}",
    f"victim@example.com; {EVIL}",
    f"victim@example.com {EVIL}",
    f"<victim@example.com>{EVIL}",
    f'"victim@example.com"@{"evil.example"}',
    f"{EVIL}(c)@example.com",
    "=?utf-8?q?attacker=40evil.example=3e?=@example.com",
    f"Victim <{EVIL}>",
    f"@evil.example:{EVIL}",
    "victim%evil.example@example.com\x00",
    "evil.example!victim@[127.0.0.1]",
    f"victim@example.com@{'evil.example'}",
]


def promised(local):
    [(count,)] = local.rows(select(func.count()).select_from(OutboxMessage))
    return count


@pytest.mark.asvs("1.3.11", "2.2.1")
@pytest.mark.parametrize("path", [RESET, REGISTER])
def test_b42_b44_no_address_smuggles_in_a_header_or_a_second_recipient(local, visitor, path):
    before = promised(local)
    statuses = {address: visitor.fill(path, email=address).status_code for address in SMUGGLED + SPLIT}
    assert set(statuses.values()) <= {400, 422}, statuses
    assert promised(local) == before
    assert not [mail for mail in local.sink.mails if any("evil" in recipient for recipient in mail.recipients)]


HOSTILE_AGENTS = [
    b"Mozilla/5.0%0d%0aBcc: attacker@evil.example",
    b"Mozilla/5.0 Firefox/140.0 (X11; Linux) http://evil.example/click",
    b"<b>evil</b> Firefox/140.0",
    b"evil.example/1.0",
    b"Firefox/140.0 \\r\\nBcc: attacker@evil.example",
    b"{{7*7}} evil {% raw %}",
    b"evil" * 1000,
]


@pytest.mark.asvs("1.2.1", "1.3.11")
def test_b42_what_a_browser_calls_itself_puts_nothing_into_a_mail(local, visitor):
    visitor.get(RESET)
    for agent in HOSTILE_AGENTS:
        address = local.account()
        fields = {"email": address, "csrf_token": visitor.csrf_token}
        [answer] = raw.volley(local.url, [raw.form_post(visitor, RESET, fields, b"User-Agent: " + agent)])
        assert answer.status_code == 303
        [mail] = local.mails_to(address)
        assert mail.recipients == [address]
        assert "evil" not in mail.text + mail.html
        assert set(mail.message.keys()) == {*HEADERS}


@once
@pytest.mark.asvs("1.3.11", "4.2.4")
@pytest.mark.parametrize(
    "header", [b"User-Agent: a\r\n b", b"User-Agent: a\nBcc: evil", b"User-Agent: a\rb", b"X\x00: y"]
)
def test_b42_folded_and_broken_header_lines_are_refused(target, header):
    answer = raw.send(target.url, f"GET {RESET}", header)
    assert 400 <= answer.status_code < 500


HOSTILE_NAMES = [
    "Click http://evil.example",
    "evil.example",
    "Visit evil.com now",
    "www.evil.example/now",
    EVIL,
    "a/b",
    "Alice\r\nBcc: attacker@evil.example",
    "Alice\u202eecila",
    "Alice\u2066evil",
    "Alice\u2028evil",
    "Alice\x1b[31m",
    "x" * 65,
    "x" * 500,
    "",
    "   ",
    "\ufeff",
]


@pytest.mark.asvs("2.2.1", "1.3.11")
def test_b43_a_name_that_would_be_a_link_or_a_trick_is_refused(local, visitor):
    link = local.registration_link(fresh_address())
    statuses = {}
    for name in HOSTILE_NAMES:
        answer = visitor.fill(link, name=name, password=PASSWORD, password2=PASSWORD)
        statuses[name] = answer.status_code
    assert set(statuses.values()) <= {400, 422}, statuses
    assert visitor.fill(link, name="Zoë O'Neil-García", password=PASSWORD, password2=PASSWORD).status_code == 303


@pytest.mark.asvs("1.2.1")
def test_b43_a_name_full_of_marks_is_escaped_in_the_mail(local):
    name = '<b>"Bob" & <img src=x>'
    alice = local.account(name)
    local.reset_link(alice)
    [mail] = local.mails_to(alice)
    assert "<img src=x" not in mail.html
    assert "&lt;img src=x&gt;" in mail.html
    assert name in mail.text


@pytest.mark.asvs("2.4.1")
def test_b43_a_mail_to_an_unproven_address_holds_nothing_a_stranger_wrote(local, visitor):
    address = fresh_address()
    visitor.fill(REGISTER, email=address, name="evil", message="evil", subject="evil", locale="evil", next="//evil")
    [mail] = local.mails_to(address)
    other = fresh_address()
    local.visitor().register(other)
    [plain_mail] = local.mails_to(other)
    assert anonymous(mail.text) == anonymous(plain_mail.text)
    assert "evil" not in mail.source.decode()


def anonymous(text):
    """A mail's text without what differs from mail to mail."""
    return re.sub(r"https?://\S+|[A-Z2-7]{4}-[A-Z2-7]{4}|\d{1,2}:\d\d|198\.[\d.]+", "…", text)


@pytest.mark.asvs("1.4.2", "1.5.3")
@pytest.mark.parametrize("local_part", ["Zoe.O'Neil+rekey", "first.last", "-dash", "a_b=c", "#!$%&'*+/?^`{|}~"])
def test_b44_a_mail_goes_to_the_stored_spelling_byte_for_byte(local, visitor, local_part):
    stored = f"{local_part}{fresh_address()}"
    if local_part.startswith("#"):
        stored = f"{local_part}@{fresh_address().partition('@')[0]}.example.com"
    local.account(email=stored)
    visitor.ask_for_reset(stored.upper())
    [mail] = local.mails_to(stored)
    assert mail.recipients == [stored]
    assert mail.message["To"] == stored


HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Language",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
}


@pytest.fixture
def mails(local, visitor):
    """One mail of every kind that a stranger or an owner can cause."""
    alice, stranger = local.account("Alice"), fresh_address()
    visitor.register(stranger)
    visitor.register(alice)
    visitor.reset(local.reset_link(alice), NEW_PASSWORD)
    visitor.sign_in(alice, NEW_PASSWORD)
    local.visitor().sign_in(alice, NEW_PASSWORD)
    mails = {mail.message["Subject"]: mail for mail in local.mails_to(alice, stranger)}
    assert len(mails) >= 5
    return mails


@pytest.mark.asvs("1.3.11")
def test_b45_b46_sender_and_headers_are_ours_and_no_more_than_needed(local, mails):
    for subject, mail in mails.items():
        assert mail.sender == SENDER, subject
        assert parseaddr(mail.message["From"]) == ("Rekey", SENDER)
        assert re.fullmatch(r"<[a-z2-7]{26}@rekey\.example>", mail.message_id)
        assert mail.greeting == "rekey.example"
        assert len(mail.recipients) == 1
        assert set(mail.message.keys()) == HEADERS  # no Bcc, Received, List-Unsubscribe, X-Mailer, Sender
        assert len(mail.message.keys()) == len(HEADERS)
        assert mail.message["Auto-Submitted"] == "auto-generated"
        assert mail.message["X-Auto-Response-Suppress"] == "All"
        assert abs(parsedate_to_datetime(mail.message["Date"]) - utcnow()) < timedelta(minutes=5)


@pytest.mark.asvs("3.6.1", "14.2.3")
def test_b46_mails_load_nothing_and_lead_only_here(local, mails):
    for subject, mail in mails.items():
        assert not re.search(r"<(img|script|iframe|object|link|video|form)\b|url\(|@import|src=", mail.html), subject
        assert {urlsplit(link).netloc for link in mail.html_links} == {local.host}, subject


@pytest.mark.asvs("1.2.2")
def test_b47_text_and_html_carry_the_same_links_whole(local, mails):
    for subject, mail in mails.items():
        assert mail.html_links == set(mail.links), subject
        assert mail.source.isascii()
        assert max(map(len, mail.source.split(b"\r\n"))) <= 78
        assert b"\n" not in mail.source.replace(b"\r\n", b"")
        shown = re.findall(r'<a class="link" href="([^"]+)">([^<]+)</a>', mail.html)
        assert all(target == text for target, text in shown), subject
        for link in mail.links:
            assert local.visitor().get(link).status_code in (200, 410), link


@spam.needs_spamassassin
def test_b50_no_mail_looks_like_spam(mails, tmp_path):
    verdicts = spam.judge([mail.source for mail in mails.values()], tmp_path)
    assert [verdict for verdict in verdicts.values() if verdict.score >= spam.MOST] == []


@pytest.mark.asvs("8.3.2")
def test_a_mail_to_somebody_disabled_meanwhile_does_not_leave(local, alice):
    local.change(alice, disabled_at=utcnow())
    local.visitor().ask_for_reset(alice)
    assert local.mails_to(alice) == []
    local.change(alice, disabled_at=None)
    local.visitor().ask_for_reset(alice)
    assert len(local.mails_to(alice)) == 1
