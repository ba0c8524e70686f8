""" "This was not me": the way out for somebody who is mailed links they did not ask for."""

import re

import pytest
from sqlalchemy import select, update

from app.auth.forms import NotMeForm
from app.auth.models import SecurityEvent, User
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in
from tests.time_passing import pass_time


@pytest.fixture
def mailed(browser, postman, alice):
    """The two links of a reset mail: to choose a password, and to say that it was not asked for."""
    browser.ask_for_reset(alice)
    [message] = postman.deliver()
    return link_in(message, "reset_password/"), link_in(message, "not_me/")


@pytest.fixture
def events(app):
    def kinds():
        with app.app_context():
            return db.session.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)).all()

    return kinds


@pytest.mark.asvs("6.5.1")
def test_it_kills_every_open_link_of_the_account(browser, other_browser, postman, mailed, alice):
    reset_link, not_me_link = mailed
    browser.ask_for_reset(alice)
    another = postman.link()
    assert other_browser.fill(not_me_link).status_code == 303
    assert "open nothing any more" in other_browser.page.text
    for link in (reset_link, another):
        assert browser.get(link).status_code == 410


def test_it_asks_first_and_opening_it_changes_nothing(browser, mailed, alice):
    reset_link, not_me_link = mailed
    assert browser.get(not_me_link).status_code == 200
    assert browser.heading == "Was this not you?"
    assert alice in browser.page.text
    assert browser.reset(reset_link, NEW_PASSWORD).status_code == 303


def test_password_and_sessions_stay(browser, other_browser, mailed, alice):
    other_browser.sign_in(alice, PASSWORD)
    browser.fill(mailed[1])
    assert other_browser.is_signed_in
    assert browser.sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("7.6.2")
def test_it_signs_nobody_in(browser, mailed):
    browser.fill(mailed[1])
    assert not browser.is_signed_in


def test_once_it_is_done_the_form_has_no_link_left(browser, mailed):
    browser.fill(mailed[1])
    assert browser.get("/auth/not_me").status_code == 404
    assert browser.heading == "Please open the link in your mail"


def test_it_is_recorded(browser, events, mailed):
    browser.fill(mailed[1])
    assert "not_me" in events()


def test_after_it_such_mails_leave_four_hours_apart_for_a_day(app, browser, postman, mailed, alice):
    browser.fill(mailed[1])
    sent = []
    for _ in range(30):
        for _ in range(3):
            browser.ask_for_reset(alice)
        sent.append(len(postman.deliver()))
        with app.app_context():
            pass_time(3600)
    assert sum(sent[:24]) <= 7
    assert sum(sent[24:]) >= 6


def test_once_the_reset_link_was_used_it_leads_to_recovery(browser, other_browser, mailed):
    reset_link, not_me_link = mailed
    browser.reset(reset_link, NEW_PASSWORD)
    assert other_browser.get(not_me_link).status_code == 410
    assert "If it was not you who changed the password" in other_browser.page.text
    assert 'href="/auth/reset_password_request"' in other_browser.page.text


def test_a_form_left_open_while_the_reset_link_was_used_changes_nothing(browser, other_browser, mailed, alice):
    reset_link, not_me_link = mailed
    other_browser.get(not_me_link)
    browser.reset(reset_link, NEW_PASSWORD)
    assert other_browser.submit().status_code == 410
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.5.1")
def test_it_works_once(browser, mailed):
    browser.fill(mailed[1])
    assert browser.get(mailed[1]).status_code == 410


def test_a_dead_one_is_refused_before_it_is_opened(client, browser, mailed):
    browser.fill(mailed[1])
    assert client.get(mailed[1]).status_code == 410


def test_of_two_uses_at_the_same_time_the_second_changes_nothing(app, browser, events, mailed, monkeypatch):
    def overtaken(form):
        db.session.connection().execute(update(User).values(security_stamp="set by the first"))
        return True

    browser.get(mailed[1])
    before = events()
    monkeypatch.setattr(NotMeForm, "validate_on_submit", overtaken)
    assert browser.submit().status_code == 410
    assert events() == before


def test_it_lives_a_day(clock, browser, postman, alice):
    browser.ask_for_reset(alice)
    [message] = postman.deliver()
    clock.shift(86_399)
    assert browser.get(link_in(message, "not_me/")).status_code == 200
    clock.shift(1)
    assert browser.get(link_in(message, "not_me/")).status_code == 410


def test_it_opens_no_password_form(browser, mailed):
    token = mailed[1].rpartition("/")[2]
    assert browser.get(f"/auth/reset_password/{token}").status_code == 404
    browser.get(mailed[1])
    assert browser.get("/auth/reset_password").status_code == 404


def test_pages_do_not_tell_that_somebody_complained(app, browser, other_browser, mailed, alice):
    other_browser.fill(mailed[1])
    with app.app_context():
        pass_time(86_400 / 2)

    def references(address):
        seen = []
        for _ in range(6):
            browser.ask_for_reset(address)
            seen.append(re.search(r'class="reference">([^<]+)<', browser.page.text).group(1))
        return [seen.index(reference) for reference in seen]

    assert references(alice) == references("nobody@example.com") == [0, 1, 2, 3, 3, 3]


def test_a_known_browser_gets_its_mail_at_once_all_the_same(browser, other_browser, postman, mailed, alice):
    other_browser.fill(mailed[1])
    browser.sign_in(alice, PASSWORD)
    browser.sign_out()
    for _ in range(3):
        browser.ask_for_reset(alice)
    assert len(postman.deliver()) == 3
