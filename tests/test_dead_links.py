"""The page of a link that opens nothing, and the click that mails a new one."""

import re
import time
from types import SimpleNamespace

import pytest
import time_machine

from app.auth import tokens
from app.email import masked
from tests.conftest import NEW_PASSWORD, link_in

HOUR, DAY = 3600, 86_400


@pytest.fixture
def register_link(browser, postman):
    browser.register("carol@example.com")
    return postman.link()


def click(browser):
    """Press the page's one button."""
    [form] = re.findall(r'<form method="post" action="/auth/new_link">.*?</form>', browser.page.text, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert fields.keys() == {"csrf_token", "link", "submit"}
    answer = browser.client.post("/auth/new_link", data=fields)
    if answer.location:
        browser.get(answer.location)
    return answer


def test_an_expired_reset_link_is_replaced_at_a_click(clock, browser, reset_link, postman):
    clock.shift(HOUR + 1)
    assert browser.get(reset_link).status_code == 410
    answer = click(browser)
    assert (answer.status_code, answer.location) == (303, "/auth/check_your_inbox")
    assert browser.reset(postman.link(), NEW_PASSWORD).location == "/auth/login"
    browser.sign_in("alice@example.com", NEW_PASSWORD)
    assert browser.is_signed_in


def test_the_page_is_still_there_after_a_choice_of_language(clock, browser, reset_link, postman):
    clock.shift(HOUR + 1)
    browser.get(reset_link)
    fields = re.search(
        r'<form class="languages".*?name="csrf_token" value="([^"]+)".*?name="next" value="([^"]+)"',
        browser.page.text,
        re.DOTALL,
    )
    token, page = fields.groups()
    answer = browser.client.post("/language", data={"csrf_token": token, "next": page, "locale": "pt_BR"})
    assert answer.status_code == 303
    assert browser.get(answer.location).status_code == 410
    assert 'lang="pt-BR"' in browser.page.text
    assert click(browser).location == "/auth/check_your_inbox"
    assert len(postman.deliver()) == 1


def test_of_two_expired_links_in_two_tabs_a_click_mails_for_the_one_it_shows(clock, browser, alice, bob, postman):
    pages = {}
    for person in (alice, bob):
        browser.ask_for_reset(person)
        pages[person] = postman.link()
    clock.shift(HOUR + 1)
    first = browser.get(pages[alice]).text
    browser.get(pages[bob])
    browser.page = SimpleNamespace(text=first)
    assert click(browser).status_code == 410
    assert postman.deliver() == []


def test_whose_seven_days_to_undo_are_over_is_told_so_and_whom_to_ask(app, browser, monkeypatch):
    monkeypatch.setitem(app.config, "SUPPORT_EMAIL", "help@example.com")
    with app.app_context(), time_machine.travel(-8 * DAY + time.time()):
        link = f"/auth/undo_email_change/{tokens.issue('undo_email_change', 'x' * 22)}"
    assert browser.get(link).status_code == 410
    assert "keeps its new address" in browser.page.text
    assert "Nothing has changed" not in browser.page.text
    assert 'class="button" href="mailto:help@example.com"' in browser.page.text


def test_an_expired_register_link_is_replaced_at_a_click(clock, browser, register_link, postman):
    clock.shift(DAY + 1)
    assert browser.get(register_link).status_code == 410
    assert click(browser).location == "/auth/check_your_inbox"
    assert browser.get(postman.link()).status_code == 200
    assert "carol@example.com" in browser.page.text


def test_who_holds_an_expired_link_learns_no_address(clock, other_browser, reset_link):
    clock.shift(HOUR + 1)
    other_browser.get(reset_link)
    assert "a•••@example.com" in other_browser.page.text
    assert "alice@example.com" not in other_browser.page.text
    click(other_browser)
    assert "a•••@example.com" in other_browser.page.text
    assert "alice@example.com" not in other_browser.page.text
    assert "alice" not in other_browser.get("/auth/reset_password_request").text


def test_the_click_is_limited_as_the_form_is(clock, browser, reset_link, postman):
    clock.shift(HOUR + 1)
    for _ in range(5):
        browser.get(reset_link)
        assert click(browser).location == "/auth/check_your_inbox"
    assert len(postman.deliver()) == 2  # of three in a row the link above was the first


def test_a_page_of_an_expired_link_that_stood_open_does_nothing_after_a_reset(
    clock, browser, other_browser, reset_link, postman
):
    clock.shift(HOUR + 1)
    browser.get(reset_link)
    other_browser.ask_for_reset("alice@example.com")
    other_browser.reset(postman.link(), NEW_PASSWORD)
    postman.deliver()
    assert click(browser).status_code == 410
    assert postman.deliver() == []


def test_no_link_is_offered_for_an_account_that_was_disabled(clock, browser, reset_link, runner):
    clock.shift(HOUR + 1)
    runner.invoke(args=["users", "disable", "alice@example.com"])
    assert browser.get(reset_link).status_code == 410
    assert "/auth/new_link" not in browser.page.text


def test_the_button_works_only_for_a_link_this_browser_has_opened(browser, alice, postman):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    assert browser.client.post("/auth/new_link", data={"csrf_token": token}).status_code == 404
    assert postman.deliver() == []


@pytest.mark.parametrize("path", ["not_me/", "change_email/", "undo_email_change/"])
def test_other_expired_links_lead_on_without_a_click_that_mails(clock, browser, alice, postman, path):
    browser.ask_for_reset(alice)
    [message] = postman.deliver()
    link = link_in(message, "not_me/")
    if path != "not_me/":
        with postman.app.app_context():
            link = f"/auth/{path}{tokens.issue(path[:-1], 'x' * 22)}"
    clock.shift(8 * DAY)
    assert browser.get(link).status_code == 410
    assert "/auth/new_link" not in browser.page.text
    assert 'href="/auth/reset_password_request"' in browser.page.text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("alice@example.com", "a•••@example.com"),
        ("a@b.example", "a•••@b.example"),
        ('"a@b"@c.example', '"•••@c.example'),
    ],
)
def test_a_masked_address_keeps_a_letter_and_the_domain(address, shown):
    assert masked(address) == shown


def test_a_forged_link_has_no_address_and_no_button(browser, alice):
    assert browser.get("/auth/reset_password/made-up").status_code == 404
    assert "•••" not in browser.page.text
    assert "/auth/new_link" not in browser.page.text
