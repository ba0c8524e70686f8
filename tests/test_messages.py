"""What the mails look like to the programs and people that read them."""

import re
from email import message_from_bytes, policy

import pytest

from app.auth.attempts import NOTICE_AFTER, Attempt
from app.extensions import db, mail
from tests.conftest import NEW_PASSWORD, link_in


@pytest.fixture
def messages(app, browser, other_browser, postman, runner, alice):
    """One mail of each kind, by the name of its templates."""

    def one():
        [message] = postman.deliver()
        return message

    browser.register("carol@example.com")
    found = {"register": one()}
    browser.register(alice)
    found["already_registered"] = one()
    browser.ask_for_reset(alice)
    found["reset_password"] = one()
    browser.reset(link_in(found["reset_password"]), NEW_PASSWORD)
    found["password_changed"] = one()
    browser.sign_in(alice, NEW_PASSWORD)
    other_browser.sign_in(alice, NEW_PASSWORD)
    found["new_sign_in"] = one()
    with app.test_request_context():
        for failures in range(1, NOTICE_AFTER + 1):
            Attempt(alice, here=1, failures=failures).failed(None)
        db.session.commit()
    found["sign_in_failures"] = one()
    browser.fill("/account/email", email="alice@new.example", current_password=NEW_PASSWORD)
    found |= by_kind(postman.deliver())
    browser.fill(link_in(found["change_email"]))
    found |= by_kind(postman.deliver())
    other_browser.sign_out()
    other_browser.register(alice)
    found["address_kept"] = one()
    undo_link = link_in(found["email_changed"], "undo_email_change/")
    other_browser.fill(undo_link)
    found |= by_kind(message for message in postman.deliver() if "former" in message.subject)
    other_browser.ask_for_reset(alice)
    [message] = postman.deliver()
    other_browser.reset(link_in(message), NEW_PASSWORD)
    other_browser.sign_in(alice, NEW_PASSWORD)
    postman.deliver()
    other_browser.fill("/account/delete", current_password=NEW_PASSWORD)
    found["goodbye"] = one()
    found["test"] = mail_of_the_test_command(runner, alice)
    return found


def by_kind(messages):
    kinds = {
        "Confirm this address for Rekey": "change_email",
        "A new address for your Rekey account?": "email_change_asked",
        "The address of your Rekey account was changed": "email_changed",
        "This is now the address of your Rekey account": "email_confirmed",
        "An account at Rekey went back to its former address": "email_taken_back",
    }
    return {kinds[message.subject]: message for message in messages}


def mail_of_the_test_command(runner, address):
    with mail.record_messages() as sent:
        assert runner.invoke(args=["mail", "test", address]).exit_code == 0
    [message] = sent
    return message


@pytest.fixture
def parsed(messages):
    return {kind: message_from_bytes(message.as_bytes(), policy=policy.default) for kind, message in messages.items()}


def test_there_is_a_mail_for_every_folder_of_templates(messages, root):
    assert set(messages) == {path.name for path in (root / "app/templates/email").iterdir() if path.is_dir()}


def test_headers_are_ours_and_whole(parsed):
    for message in parsed.values():
        assert message["From"] == "Rekey <no-reply@rekey.example>"
        assert re.fullmatch(r"<[a-z2-7]{26}@rekey\.example>", message["Message-ID"])
        assert message["Date"].datetime.utcoffset().total_seconds() == 0
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["X-Auto-Response-Suppress"] == "All"
        assert message["Content-Language"] == "en"
        assert len(message["Subject"]) <= 60
        assert len(message.get_all("To")) == 1


def test_text_and_html_carry_the_same_links(parsed):
    for message in parsed.values():
        text = message.get_body(["plain"]).get_content()
        html = message.get_body(["html"]).get_content()
        links = set(re.findall(r"http://localhost\S*", text))
        assert links
        assert links == set(re.findall(r'href="(http[^"]+)"', html))


def test_lines_are_short_and_seven_bit(messages):
    for message in messages.values():
        raw = message.as_bytes()
        assert raw.isascii()
        assert max(len(line) for line in raw.split(b"\r\n")) <= 78


def test_text_parts_fit_a_narrow_window(parsed):
    for kind, message in parsed.items():
        for line in message.get_body(["plain"]).get_content().splitlines():
            assert len(line) <= 78 or line.startswith("http"), (kind, line)


@pytest.mark.asvs("3.6.1", "14.2.3")
def test_nothing_is_loaded_from_elsewhere(parsed):
    for message in parsed.values():
        html = message.get_body(["html"]).get_content()
        assert not re.search(r"<img|<link|<script|url\(|@import", html)
        assert len(html) < 30_000


def test_the_reset_mail_says_what_a_person_needs(messages):
    for text in (messages["reset_password"].body, messages["reset_password"].html):
        assert "Hello Alice," in text
        assert "It works once, for 1 hour after this mail was sent." in text
        assert "If you did not ask for this, nothing has changed." in text
        assert "/auth/not_me/" in text
        assert "From: Firefox (Linux), network 127.0.0.1" in text
        assert re.search(r"Asked: \w+ \d+, \d{4}, \d+:\d\d [AP]M UTC", text)


def test_page_and_mail_share_a_reference(browser, postman, alice):
    browser.ask_for_reset(alice)
    reference = re.search(r'class="reference">([^<]+)<', browser.page.text).group(1)
    [message] = postman.deliver()
    assert re.fullmatch(r"[A-Z2-7]{4}-[A-Z2-7]{4}", reference)
    assert f"Reference {reference}" in message.body
    assert f"Reference {reference}" in message.html


@pytest.mark.asvs("1.2.1")
def test_a_hostile_name_stays_text(browser, postman, add_user):
    add_user("eve@example.com", name='<b>"Eve"</b> & {{ 7 * 7 }}')
    browser.ask_for_reset("eve@example.com")
    [message] = postman.deliver()
    assert "&lt;b&gt;&#34;Eve&#34;&lt;/b&gt; &amp; {{ 7 * 7 }}" in message.html
    assert "<b>" not in message.html


def test_a_name_outside_ascii_arrives_whole(browser, postman, add_user):
    add_user("li@example.com", name="李雷 é")
    browser.ask_for_reset("li@example.com")
    [message] = postman.deliver()
    parsed = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert "Hello 李雷 é," in parsed.get_body(["plain"]).get_content()
    assert "Hello 李雷 é," in parsed.get_body(["html"]).get_content()
