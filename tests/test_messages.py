"""The mails as they truly leave: each with its facts, to the right reader, in the reader's language."""

import re
from email import message_from_bytes, policy

import pytest
from flask import template_rendered

from app.auth.attempts import NOTICE_AFTER, Attempt
from app.auth.models import User
from app.email import enqueue
from app.email.catalogue import drafts
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
def delivered(app):
    """What the composers have returned, by the name of the templates: filled while mails are delivered."""
    found = {}

    def keep(sender, template, context, **extra):
        if name := re.fullmatch(r"email/(\w+)/body\.html", template.name):
            found[name[1]] = context["reader"]

    with template_rendered.connected_to(keep, app):
        yield found


def test_the_catalogue_shows_the_facts_that_true_mails_tell(app, delivered, messages, root):
    assert set(delivered) == {path.name for path in (root / "app/templates/email").iterdir() if path.is_dir()}
    with app.app_context():
        for kind, draft in drafts().items():
            assert shape(draft.context) == shape(delivered[kind].context), kind
    told_no_more_than_needed(messages)


def shape(facts):
    """The names of facts, and of what kind each is."""
    return {name: shape(fact) if isinstance(fact, dict) else type(fact) for name, fact in facts.items()}


def told_no_more_than_needed(messages):
    """Neither of two mailboxes learns the address of the other, and nobody a password."""
    old, new = "alice@example.com", "alice@new.example"
    for kind, message in messages.items():
        text = message.body + message.html
        assert {old, new} & set(message.recipients) or kind == "register"
        assert not [address for address in (old, new) if address in text], kind
        assert NEW_PASSWORD not in text


def test_the_reset_mail_says_what_a_person_needs(browser, postman, alice):
    browser.ask_for_reset(alice)
    [message] = postman.deliver()
    for text in (message.body, message.html):
        words = " ".join(text.split())
        assert "Hello Alice," in words
        assert re.search(r"This link works once, for 1 hour, until \w+ \d+, \d{4}, \d\d?:\d\d[ \w]* UTC\.", words)
        assert "If you did not ask for this, nothing has changed" in words
        assert "/auth/not_me/" in words
        assert "From: Firefox (Linux), network 127.0.0.1" in words
        assert re.search(r"When: \w+ \d+, \d{4}, \d\d?:\d\d[ \w]* UTC", words)


@pytest.mark.parametrize(
    ("chosen", "page", "spoken"),
    [
        ("pt_BR", "zh_Hant_TW", "pt-BR"),
        (None, "zh_Hant_TW", "zh-Hant-TW"),
        (None, None, "en"),
        ("tlh", "pt_BR", "pt-BR"),  # a language that a later release has dropped
        ("tlh", "tlh", "en"),
    ],
)
def test_a_mail_speaks_the_person_s_language_else_the_page_s(app, postman, monkeypatch, alice, chosen, page, spoken):
    monkeypatch.setitem(app.config, "LANGUAGES", ("en", "pt_BR", "zh_Hant_TW"))
    with app.app_context():
        User.by_email(alice).locale = chosen
        enqueue("reset_password", {"email": alice, "client": {}}, address=alice, locale=page)
        db.session.commit()
    [message] = postman.deliver()
    assert f"Content-Language: {spoken}\r\n".encode() in message.as_bytes()
    assert f'<html lang="{spoken}" dir="ltr">' in message.html


@pytest.mark.parametrize("name", ["Win at evil.example", "http://evil.example", "a@evil.example", "Al\u202eecila"])
def test_a_name_that_no_form_would_take_is_not_greeted(browser, postman, add_user, name):
    address = add_user("mallory@example.com", name=name)
    browser.ask_for_reset(address)
    [message] = postman.deliver()
    assert message.body.startswith("Hello,\n")
    for part in (message.body, message.html):
        assert name not in part
        assert "evil" not in part


def test_page_and_mail_share_a_reference(browser, postman, alice):
    browser.ask_for_reset(alice)
    reference = re.search(r'class="reference">([^<]+)<', browser.page.text).group(1)
    [message] = postman.deliver()
    assert re.fullmatch(r"[A-Z2-7]{4}-[A-Z2-7]{4}", reference)
    assert f"Reference {reference}" in message.body
    assert f"Reference {reference}" in message.html


@pytest.mark.asvs("1.2.1")
def test_a_hostile_name_stays_text(browser, postman, add_user):
    add_user("eve@example.com", name='<b>"Eve" & {{ 7 * 7 }}')
    browser.ask_for_reset("eve@example.com")
    [message] = postman.deliver()
    assert "&lt;b&gt;&#34;Eve&#34; &amp; {{ 7 * 7 }}" in message.html
    assert "<b>" not in message.html


def test_a_name_outside_ascii_arrives_whole(browser, postman, add_user):
    add_user("li@example.com", name="李雷 é")
    browser.ask_for_reset("li@example.com")
    [message] = postman.deliver()
    parsed = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert "Hello 李雷 é," in parsed.get_body(["plain"]).get_content()
    assert "Hello 李雷 é," in parsed.get_body(["html"]).get_content()
