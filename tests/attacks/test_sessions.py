"""Attacks on sessions: copied, planted, kept too long, forged, and served from somebody else's cache."""

import time
from datetime import timedelta

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from sqlalchemy import func, select, update

from app.auth.models import User, UserSession
from app.database import utcnow
from tests.attacks import raw
from tests.attacks.caching_proxy import caching_proxy
from tests.attacks.conftest import once
from tests.attacks.site import (
    FORMS,
    INBOX,
    NEW_PASSWORD,
    PASSWORD,
    RESET,
    RESET_LINK,
    SIGN_IN,
    Visitor,
)
from tests.attacks.tokens import mint


def signed_in(site, email):
    visitor = site.visitor()
    assert visitor.guess(email, PASSWORD) == 303
    assert visitor.is_signed_in
    return visitor


@pytest.mark.asvs("7.4.3")
def test_b53_a_reset_signs_every_other_browser_out(local, visitor, alice):
    others = [signed_in(local, alice) for _ in range(3)]
    visitor.reset(local.reset_link(alice), NEW_PASSWORD)
    assert [other.is_signed_in for other in others] == [False, False, False]
    assert not visitor.is_signed_in  # a link never signs anyone in


@pytest.mark.asvs("7.4.1", "7.4.4")
def test_b55_a_copied_cookie_is_dead_after_sign_out(local, attacker, alice):
    visitor = signed_in(local, alice)
    copies = local.visitor()
    copies.take_cookies_of(visitor)
    attacker.take_cookies_of(visitor)
    assert attacker.is_signed_in
    attacker.take_cookies_of(copies)

    visitor.sign_out()
    page = attacker.get("/")
    assert not attacker.is_signed_in
    assert "Alice" not in page.text
    assert alice not in page.text


@pytest.mark.asvs("14.3.1", "14.3.2")
def test_b55_the_way_back_shows_nothing_after_sign_out(local, alice):
    visitor = signed_in(local, alice)
    assert visitor.get("/").headers["Cache-Control"] == "no-store"
    answer = visitor.sign_out()
    assert '"cache"' in answer.headers["Clear-Site-Data"] or answer.headers["Clear-Site-Data"] == '"*"'


@pytest.mark.asvs("7.2.4", "7.4.1")
def test_b56_a_planted_cookie_gives_the_attacker_nothing(local, visitor, attacker, alice):
    attacker.get(SIGN_IN)
    visitor.take_cookies_of(attacker)
    visitor.get(SIGN_IN)
    planted, token = dict(attacker.cookies), visitor.csrf_token
    visitor.submit(email=alice, password=PASSWORD)
    assert visitor.is_signed_in
    assert visitor.cookies["session"] != planted["session"]
    assert not attacker.is_signed_in

    visitor.get(RESET)
    assert visitor.client.post(RESET, data={"email": alice, "csrf_token": token}).status_code == 400


@pytest.mark.asvs("7.2.4")
def test_b56_signing_in_again_ends_the_session_before(local, attacker, alice, bob):
    visitor = signed_in(local, alice)
    attacker.take_cookies_of(visitor)
    visitor.get(RESET)  # a page with a form, for this session's CSRF token
    fields = {"csrf_token": visitor.csrf_token, "email": bob, "password": PASSWORD}
    assert visitor.client.post(SIGN_IN, data=fields).status_code == 303
    assert not attacker.is_signed_in
    assert "Bob" in visitor.get("/").text


IDLE, ABSOLUTE = "last_used_at", "created_at"


@pytest.mark.asvs("7.3.1", "7.3.2", "7.1.1")
@pytest.mark.parametrize(
    ("remember", "moment", "hours", "alive"),
    [
        (False, IDLE, 23.9, True),
        (False, IDLE, 24, False),
        (False, ABSOLUTE, 14 * 24 - 0.1, True),
        (False, ABSOLUTE, 14 * 24, False),
        (True, IDLE, 14 * 24 - 0.1, True),
        (True, IDLE, 14 * 24, False),
        (True, ABSOLUTE, 30 * 24 - 0.1, True),
        (True, ABSOLUTE, 30 * 24, False),
    ],
)
def test_b57_a_cookie_kept_too_long_is_refused_by_the_server(local, visitor, alice, remember, moment, hours, alive):
    visitor.sign_in(alice, PASSWORD, **({"remember": "y"} if remember else {}))
    mine = select(User.id).where(User.email == alice).scalar_subquery()
    with local.database() as session:
        past = utcnow() - timedelta(hours=hours)
        session.execute(update(UserSession).where(UserSession.user_id == mine).values({moment: past}))
    assert visitor.is_signed_in is alive


@pytest.mark.asvs("7.4.2", "8.3.2")
def test_a_disabled_account_is_signed_out_at_once(local, alice):
    visitor = signed_in(local, alice)
    local.change(alice, disabled_at=utcnow())
    assert not visitor.is_signed_in


@pytest.mark.asvs("7.1.2")
def test_of_twenty_one_sessions_the_oldest_ends(local, alice):
    visitors = [signed_in(local, alice) for _ in range(21)]
    assert [visitor.is_signed_in for visitor in visitors] == [False] + [True] * 20
    mine = select(User.id).where(User.email == alice).scalar_subquery()
    assert local.rows(select(func.count()).where(UserSession.user_id == mine)) == [(20,)]


@pytest.mark.asvs("14.2.2", "14.2.5")
def test_b59_a_shared_cache_never_serves_somebody_elses_page_or_cookie(local, alice, bob):
    with caching_proxy(local.url) as proxy:
        for email, name in ((alice, "Alice"), (bob, "Bob")):
            visitor = Visitor(proxy.url)
            visitor.get("/static/style.css")
            visitor.ask_for_reset(email)
            assert email in visitor.get(INBOX).text
            visitor.get(f"{RESET_LINK}{local.reset_token(email)}")
            assert email in visitor.page.text
            assert visitor.guess(email, PASSWORD) == 303
            assert f"Hello {name}" in visitor.get("/").text
        stranger = Visitor(proxy.url)
        assert "Hello" not in stranger.get("/").text
        assert stranger.get("/auth/reset_password").status_code == 404
        kept = {path: dict(headers) for path, (_, headers, _) in proxy.kept.items()}
    assert "/static/style.css" in kept
    assert all(path.startswith("/static/") and "Set-Cookie" not in headers for path, headers in kept.items())


@once
@pytest.mark.asvs("14.2.2", "14.3.2")
def test_b59_every_page_forbids_caching(target):
    for path in ("/", *FORMS, "/auth/reset_password", f"{RESET_LINK}x", "/nothing/here", INBOX):
        answer = raw.send(target.url, f"GET {path}")
        assert answer.headers["Cache-Control"] == "no-store", path


@once
@pytest.mark.asvs("14.2.2")
def test_b59_static_files_set_no_cookie_and_ask_for_none(target):
    answer = raw.send(target.url, "GET /static/style.css", "Cookie: session=anything")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert "cookie" not in answer.headers.get("Vary", "").lower()


def cookie_of(key, content):
    """A session cookie as Flask signs it under that key."""
    app = Flask(__name__)
    app.secret_key = key
    return SecureCookieSessionInterface().get_signing_serializer(app).dumps(content)


def example_keys(root):
    """Every word of the settings' documentation that could be taken for a key."""
    words = (root / ".env.example").read_text().split() + (root / "README.md").read_text().split()
    return {word.partition("=")[2] or word for word in words if len(word) >= 16}


@pytest.mark.asvs("9.1.3", "13.3.4", "6.3.2")
def test_b61_a_cookie_signed_with_a_guessed_key_opens_nothing(local, alice, root):
    [(number, stamp)] = local.rows(select(User.id, User.security_stamp).where(User.email == alice))
    guesses = {"dev", "secret", "secret-key", "changeme", "you-will-never-guess", "hard to guess string", "password"}
    for key in guesses | example_keys(root):
        parked = [mint("reset_password", stamp, key=key), stamp, int(time.time())]
        cookie = cookie_of(key, {"_user_id": str(number), "_fresh": True, "link reset_password": parked})
        for path in ("/", "/auth/reset_password"):
            answer = raw.send(local.url, f"GET {path}", f"Cookie: session={cookie}")
            assert alice not in answer.text
            assert "Sign out" not in answer.text


@pytest.mark.asvs("7.2.1", "7.2.2")
def test_b61_even_the_right_key_signs_nobody_in_without_a_session_of_the_server(local, alice):
    [(number, stamp)] = local.rows(select(User.id, User.security_stamp).where(User.email == alice))
    for identity in (str(number), alice, stamp, "1", "", None):
        cookie = cookie_of(local.settings["SECRET_KEY"], {"_user_id": identity, "_fresh": True})
        answer = raw.send(local.url, "GET /", f"Cookie: session={cookie}")
        assert answer.status_code == 200, identity
        assert "Sign out" not in answer.text


BROKEN_COOKIES = ["", "x", ".", "..", "e30.e30.e30", ".eJw.x.y", "A" * 4000, '"', "\xff\xfe", "session=session"]


@once
@pytest.mark.asvs("11.2.5", "1.5.2")
@pytest.mark.parametrize("cookie", BROKEN_COOKIES)
def test_b61_a_broken_cookie_is_no_cookie_or_no_request(target, cookie):
    for name in ("session", "__Host-session", "device", "__Host-device"):
        answer = raw.send(target.url, f"GET {SIGN_IN}", f"Cookie: {name}={cookie}")
        assert answer.status_code == 200 or 400 <= answer.status_code < 500
        assert "Traceback" not in answer.text
