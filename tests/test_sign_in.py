"""Signing in and out, and the sessions behind it."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from app import create_app
from app.auth import access
from app.auth.models import User, UserSession
from app.database import utcnow
from app.extensions import db
from app.security import client as client_of_request
from config import Testing
from tests.browser import Browser
from tests.conftest import PASSWORD


def session_cookie(browser):
    return browser.client.get_cookie("session").value


def test_a_person_signs_in_and_out(browser, alice):
    assert browser.sign_in(alice, PASSWORD).location == "/"
    assert "Hello Alice" in browser.page.text
    browser.sign_out()
    assert "You are signed out." in browser.page.text
    assert not browser.is_signed_in


def test_the_case_of_the_address_does_not_matter(browser, alice):
    assert browser.sign_in("ALICE@Example.COM", PASSWORD).status_code == 303


@pytest.mark.asvs("6.3.8")
def test_the_two_ways_to_be_wrong_look_the_same(app, alice):
    def attempt(email, password):
        browser = Browser(app.test_client())
        answer = browser.sign_in(email, password)
        page = browser.page.text.replace(email, "ADDRESS").replace(browser.form.fields["csrf_token"], "TOKEN")
        return answer.status_code, sorted(answer.headers.keys()), page

    wrong_password = attempt(alice, "not her password at all")
    assert wrong_password == attempt("nobody@example.com", PASSWORD)
    assert wrong_password[0] == 422
    assert "do not match an account" in wrong_password[2]


def test_a_failed_sign_in_keeps_the_address_and_drops_the_password(browser, alice):
    browser.sign_in(alice, "not her password at all")
    assert browser.form.fields["email"] == alice
    assert browser.form.fields["password"] == ""


@pytest.mark.asvs("7.4.2", "8.3.2")
def test_a_disabled_account_cannot_sign_in_and_its_sessions_stop(app, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    with app.app_context():
        db.session.execute(update(User).values(disabled_at=func.current_timestamp()))
        db.session.commit()
    assert not browser.is_signed_in
    assert other_browser.sign_in(alice, PASSWORD).status_code == 422


@pytest.mark.asvs("7.4.1", "7.2.1")
def test_a_copied_cookie_is_dead_after_sign_out(browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    stolen = session_cookie(browser)
    other_browser.client.set_cookie("session", stolen)
    assert other_browser.is_signed_in
    browser.sign_out()
    other_browser.client.set_cookie("session", stolen)
    assert not other_browser.is_signed_in


@pytest.mark.asvs("7.2.4")
def test_signing_in_over_a_session_ends_it(browser, other_browser, alice, bob):
    browser.sign_in(alice, PASSWORD)
    other_browser.client.set_cookie("session", session_cookie(browser))
    assert other_browser.is_signed_in

    browser.get("/auth/reset_password_request")  # a page with a form, for this session's CSRF token
    token = browser.form.fields["csrf_token"]
    answer = browser.client.post("/auth/login", data={"csrf_token": token, "email": bob, "password": PASSWORD})
    assert answer.status_code == 303
    assert "Hello Bob" in browser.get("/").text
    assert not other_browser.is_signed_in


@pytest.mark.asvs("7.2.4", "7.2.2")
def test_signing_in_replaces_the_cookie_and_its_csrf_token(browser, alice):
    browser.get("/auth/login")
    before = session_cookie(browser)
    browser.submit(email=alice, password=PASSWORD)
    after = session_cookie(browser)
    assert before != after
    assert before.split(".")[0] not in after


@pytest.mark.asvs("6.5.2")
def test_the_table_holds_a_digest_and_not_the_secret(app, browser, alice):
    browser.sign_in(alice, PASSWORD)
    payload = session_cookie(browser).split(".")[0]
    cookie = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("utf-8", "replace")
    with app.app_context():
        row = db.session.scalars(select(UserSession)).one()
        assert len(row.token_digest) == 64
        assert row.token_digest not in cookie
        assert row.id not in cookie


@pytest.mark.asvs("7.3.1")
@pytest.mark.parametrize(
    ("remember", "hours", "alive"),
    [
        ({}, 23.9, True),
        ({}, 24, False),
        ({"remember": "y"}, 14 * 24 - 0.1, True),
        ({"remember": "y"}, 14 * 24, False),
    ],
)
def test_an_idle_session_ends_on_the_servers_clock(clock, browser, alice, remember, hours, alive):
    browser.sign_in(alice, PASSWORD, **remember)
    stolen = session_cookie(browser)
    clock.shift(hours * 3600)
    browser.client.set_cookie("session", stolen)  # a thief's client does not heed Max-Age
    assert browser.is_signed_in is alive


@pytest.mark.asvs("7.3.2")
@pytest.mark.parametrize(("remember", "days"), [({}, 14), ({"remember": "y"}, 30)])
def test_a_busy_session_ends_too(clock, browser, alice, remember, days):
    browser.sign_in(alice, PASSWORD, **remember)
    for _ in range(days * 2 - 1):
        clock.shift(12 * 3600)
        assert browser.is_signed_in
    clock.shift(12 * 3600)
    assert not browser.is_signed_in


def test_use_is_written_once_a_minute_at_most(clock, app, browser, alice):
    def last_used():
        with app.app_context():
            return db.session.scalar(select(UserSession.last_used_at))

    browser.sign_in(alice, PASSWORD)
    at_first = last_used()
    clock.shift(59)
    browser.get("/")
    assert last_used() == at_first
    clock.shift(1)
    browser.get("/")
    assert (last_used() - at_first).total_seconds() == 60


def test_without_remember_the_cookie_ends_with_the_browser(browser, alice):
    browser.sign_in(alice, PASSWORD)
    assert browser.client.get_cookie("session").max_age is None
    assert browser.client.get_cookie("session").expires is None


def test_with_remember_the_cookie_stays(browser, alice):
    browser.sign_in(alice, PASSWORD, remember="y")
    assert browser.client.get_cookie("session").expires is not None


@pytest.mark.asvs("3.3.2", "3.3.4")
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser, alice):
    cookie = browser.fill("/auth/login", email=alice, password=PASSWORD).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_the_page_asked_for_follows_the_sign_in(browser, alice):
    browser.get("/auth/login?next=/auth/check_your_inbox%3Fa%3D1")
    assert browser.submit(email=alice, password=PASSWORD).location == "/auth/check_your_inbox?a=1"


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\x19//evil.example",
        "https:evil.example",
        "https://evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/ /evil.example",
        "/x\r\nSet-Cookie: a=b",
        "///evil.example",
    ],
)
def test_no_next_leads_to_another_site(browser, alice, target):
    browser.page = browser.client.get("/auth/login", query_string={"next": target})
    assert browser.submit(email=alice, password=PASSWORD).location == "/"


def test_somebody_signed_in_is_led_past_the_sign_in_page(browser, alice):
    browser.sign_in(alice, PASSWORD)
    assert browser.client.get("/auth/login").location == "/"


@pytest.mark.asvs("3.5.3")
def test_signing_out_takes_a_post(client):
    assert client.get("/auth/logout").status_code == 405


def test_two_tabs_that_note_their_use_at_once_both_get_their_page(app, browser, alice):
    browser.sign_in(alice, PASSWORD)
    cookie = session_cookie(browser)

    def visit(_):
        client = app.test_client()
        client.set_cookie("session", cookie)
        return client.get("/").status_code

    for _ in range(5):
        with app.app_context():
            db.session.execute(update(UserSession).values(last_used_at=utcnow() - timedelta(minutes=5)))
            db.session.commit()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(visit, range(8))) == {200}


def test_a_visit_that_cannot_be_noted_is_a_visit_all_the_same(app, browser, alice, monkeypatch):
    browser.sign_in(alice, PASSWORD)
    monkeypatch.setattr(UserSession, "wants_touch", True)

    def locked(self):
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(UserSession, "touch", locked)
    assert browser.is_signed_in


def test_a_refused_form_is_refused_to_somebody_signed_in_too(browser, alice):
    browser.sign_in(alice, PASSWORD)
    browser.get("/auth/reset_password_request")
    form = {"csrf_token": browser.form.fields["csrf_token"], "email": "", "password": ""}
    assert browser.client.post("/auth/login", data=form).status_code == 422


@pytest.mark.asvs("13.3.4", "11.2.2")
def test_forms_and_sessions_outlive_a_change_of_the_key(app, browser, alice):
    browser.sign_in(alice, PASSWORD)
    browser.get("/auth/reset_password_request")
    old = app.config["SECRET_KEY"]
    renewed = {"DATABASE_URL": app.config["DATABASE_URL"], "SECRET_KEY": "renewed" * 5, "SECRET_KEY_FALLBACKS": [old]}
    later = Browser(create_app(type("Renewed", (Testing,), renewed)).test_client())
    later.client.set_cookie("session", session_cookie(browser))
    form = {"csrf_token": browser.form.fields["csrf_token"], "email": alice}
    assert later.client.post("/auth/reset_password_request", data=form).status_code == 303
    assert later.is_signed_in
    with later.client.application.app_context():
        db.engine.dispose()


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.parametrize(
    ("proxies", "forwarded", "network"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "unknown", ""),
    ],
)
def test_the_network_is_what_trusted_proxies_say(proxies, forwarded, network, monkeypatch):
    monkeypatch.setattr(access, "PUBLIC", {"who"})
    behind = create_app(type("Behind", (Testing,), {"TRUSTED_PROXIES": proxies}))
    seen = []
    behind.add_url_rule("/who", "who", lambda: seen.append(client_of_request()) or "")
    behind.test_client().get("/who", headers={"X-Forwarded-For": forwarded})
    assert seen[0]["network"] == network
