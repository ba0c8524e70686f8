"""Devices: seeing who is signed in, ending it, and being asked for the password again."""

import re

import pytest

from app.auth.models import SecurityEvent, User, UserSession
from app.extensions import db
from tests.browser import Browser
from tests.conftest import PASSWORD


@pytest.fixture
def signed_in(browser, alice):
    browser.sign_in(alice, PASSWORD)
    return browser


@pytest.fixture
def elsewhere(signed_in, other_browser, alice):
    """The same account in another browser."""
    other_browser.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    other_browser.sign_in(alice, PASSWORD)
    return other_browser


def press(browser, action):
    """Press the button whose form goes there; the answer, redirects not followed."""
    form = re.search(rf'<form[^>]*action="({action})">\s*<input[^>]*value="([^"]+)"', browser.page.text)
    answer = browser.client.post(form.group(1), data={"csrf_token": form.group(2)})
    if answer.status_code == 303:
        browser.get(answer.location)
    return answer


def id_of(app, network):
    with app.app_context():
        return db.session.query(UserSession).filter_by(network=network).one().id


@pytest.mark.asvs("7.5.2")
def test_devices_are_listed_in_words_this_one_first(signed_in, elsewhere):
    text = signed_in.get("/account/sessions").text
    mine, other = text.index("network 127.0.0.1"), text.index("network 203.0.113.9")
    assert mine < text.index("This device.") < other
    assert "Firefox (Linux)" in text


def test_another_device_is_signed_out(app, signed_in, elsewhere):
    signed_in.get("/account/sessions")
    assert press(signed_in, f"/account/sessions/{id_of(app, '203.0.113.9')}/end").location == "/account/sessions"
    assert "That device is signed out." in signed_in.page.text
    assert not elsewhere.is_signed_in
    assert signed_in.is_signed_in


@pytest.mark.asvs("7.5.2")
def test_all_other_devices_are_signed_out(app, signed_in, elsewhere):
    signed_in.get("/account/sessions")
    assert press(signed_in, "/account/sessions/end_others").location == "/account/sessions"
    assert not elsewhere.is_signed_in
    assert signed_in.is_signed_in
    with app.app_context():
        assert db.session.query(SecurityEvent).filter_by(kind="sessions_ended").count() == 1


def test_ending_this_device_leads_to_sign_in(app, signed_in):
    signed_in.get("/account/sessions")
    assert press(signed_in, f"/account/sessions/{id_of(app, '127.0.0.1')}/end").location == "/auth/login"
    assert not signed_in.is_signed_in


def test_nobody_ends_a_session_of_somebody_else(app, signed_in, bob):
    eve = Browser(app.test_client())
    eve.sign_in(bob, PASSWORD)
    eve.get("/account/sessions")
    token = re.search(r'name="csrf_token" value="([^"]+)"', eve.page.text).group(1)
    with app.app_context():
        hers = db.session.query(UserSession).filter(UserSession.user_id == User.by_email("alice@example.com").id).one()
    for session_id in (hers.id, "x" * 22, "'; DROP TABLE users; --"):
        answer = eve.client.post(f"/account/sessions/{session_id}/end", data={"csrf_token": token})
        assert answer.status_code == 404
    assert signed_in.is_signed_in


def test_session_ids_on_the_page_open_nothing(app, signed_in, other_browser):
    with app.app_context():
        [found] = db.session.query(UserSession).all()
    for value in (found.id, found.token_digest):
        with other_browser.client.session_transaction() as session:
            session["_user_id"] = value
            session["_fresh"] = True
        assert not other_browser.is_signed_in


@pytest.mark.asvs("7.5.2", "7.5.3")
def test_after_a_quarter_of_an_hour_the_password_is_asked_for_again(app, clock, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(alice, PASSWORD)
    browser.get("/account/sessions")
    clock.shift(15 * 60)
    assert press(browser, "/account/sessions/end_others").location == "/auth/confirm?next=/account/sessions"
    assert browser.heading == "Is it still you?"
    assert other_browser.is_signed_in
    assert browser.submit(current_password="wrong wrong wrong").status_code == 422
    assert browser.submit(current_password=PASSWORD).location == "/account/sessions"
    press(browser, "/account/sessions/end_others")
    assert not other_browser.is_signed_in


def test_within_a_quarter_of_an_hour_it_is_not(clock, browser, alice):
    browser.sign_in(alice, PASSWORD)
    browser.get("/account/sessions")
    clock.shift(15 * 60 - 1)
    page = browser.page.text
    assert "end_others" not in page  # there is only this one
    browser.get("/account/sessions")
    assert press(browser, r"/account/sessions/[\w-]+/end").location == "/auth/login"


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_confirming_leads_to_no_other_site(signed_in, after):
    signed_in.get("/auth/confirm", query_string={"next": after})
    assert signed_in.submit(current_password=PASSWORD).location == "/account"


def test_a_proof_gives_the_session_a_new_secret_and_keeps_its_age(app, clock, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    copied = browser.client.get_cookie("session").value
    clock.shift(3600)
    browser.fill("/auth/confirm", current_password=PASSWORD)
    assert browser.is_signed_in
    other_browser.client.set_cookie("session", copied)
    assert not other_browser.is_signed_in
    with app.app_context():
        [found] = db.session.query(UserSession).all()
        assert (found.proved_at - found.created_at).total_seconds() == 3600
