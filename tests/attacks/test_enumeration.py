"""Attacks that ask whether an account exists: whatever the answer shows must be the same for every address.

How long answers take is measured elsewhere; here is what must be exactly equal.
"""

import base64
import json
import re
import time
import zlib

import flask_migrate
import pytest
from sqlalchemy import delete, select

from app.auth.models import User, UserSession
from app.database import utcnow
from tests.attacks.conftest import observer
from tests.attacks.sight import seen, without_seconds
from tests.attacks.site import (
    INBOX,
    NEW_PASSWORD,
    PASSWORD,
    REGISTER,
    REGISTER_LINK,
    RESET,
    SIGN_IN,
    LocalSite,
    fresh_address,
)
from tests.servers import Site, SmtpSink

SLOW = 5  # seconds: less than MAIL_TIMEOUT, more than a busy machine takes for a page


@pytest.fixture
def addresses(local):
    """One address in every state an account can be in, and some that have none."""
    kinds = {name: local.account() for name in ("known", "no password", "disabled", "deleted", "other spelling")}
    local.change(kinds["no password"], password_hash=None)
    local.change(kinds["disabled"], disabled_at=utcnow())
    with local.database() as session:
        session.execute(delete(User).where(User.email == kinds["deleted"]))
    kinds["other spelling"] = kinds["other spelling"].upper().replace("EXAMPLE.COM", "example.com")
    kinds["unconfirmed"] = fresh_address()
    local.registration_link(kinds["unconfirmed"])
    return kinds | {"unknown": fresh_address()}


def assert_all_alike(sights):
    for name, sight in sights.items():
        assert sight == sights["unknown"], name


@pytest.mark.asvs("6.3.8")
def test_b22_reset_shows_the_same_for_every_address(local, addresses):
    sights = {name: seen(local.visitor(), RESET, email=address) for name, address in addresses.items()}
    assert_all_alike(sights)
    assert [page[0] for page in sights["unknown"]] == [303, 200]
    assert ("Location", INBOX) in sights["unknown"][0][1]


@pytest.mark.asvs("6.3.8")
def test_b23_a_refused_sign_in_shows_the_same_for_every_address(local, addresses):
    wrong = {name: seen(local.visitor(), SIGN_IN, email=it, password=NEW_PASSWORD) for name, it in addresses.items()}
    assert_all_alike(wrong)
    assert wrong["unknown"][0][0] == 422
    assert "do not match an account" in wrong["unknown"][0][3]

    right = seen(local.visitor(), SIGN_IN, email=addresses["disabled"], password=PASSWORD)
    assert right == wrong["unknown"]


@pytest.mark.asvs("6.3.8")
def test_b24_registering_shows_the_same_for_free_and_taken_addresses(local, addresses):
    sights = {name: seen(local.visitor(), REGISTER, email=address) for name, address in addresses.items()}
    assert_all_alike(sights)
    assert sights["unknown"][0][0] == 303


@pytest.mark.asvs("6.3.8")
def test_b24_only_the_holder_learns_that_there_is_an_account(local, visitor, alice):
    stranger = fresh_address()
    visitor.register(alice)
    visitor.register(stranger)
    [to_holder] = local.mails_to(alice)
    [to_stranger] = local.mails_to(stranger)
    assert not [link for link in to_holder.links if REGISTER_LINK in link]
    assert "There is one already" in " ".join(to_holder.text.split())
    assert to_stranger.link_to(REGISTER_LINK)


@pytest.mark.asvs("6.3.8", "6.3.1")
def test_b26_the_fourth_request_shows_the_same_for_known_and_unknown_addresses(local, alice):
    stranger = fresh_address()
    for _ in range(5):
        assert seen(local.visitor(), RESET, email=alice) == seen(local.visitor(), RESET, email=stranger)
        assert seen(local.visitor(), REGISTER, email=alice) == seen(local.visitor(), REGISTER, email=stranger)


@pytest.mark.asvs("6.3.8", "6.3.1")
def test_b26_the_limit_of_a_network_shows_the_same_for_known_and_unknown_addresses(local, alice):
    stranger = fresh_address()
    for_alice, for_stranger = local.visitor(), local.visitor()
    for_alice.get(RESET)
    for_stranger.get(RESET)
    statuses = []
    for _ in range(35):
        answers = []
        for visitor, address in ((for_alice, alice), (for_stranger, stranger)):
            fields = {"email": address, "csrf_token": visitor.form.fields["csrf_token"]}
            answers.append(without_seconds(visitor.client.post(RESET, data=fields), address))
        assert answers[0] == answers[1]
        statuses.append(answers[0][0])
    assert statuses == [303] * 30 + [429] * 5


@pytest.mark.asvs("6.3.8", "6.3.1")
def test_b26_the_pause_after_failures_shows_the_same_for_known_and_unknown_addresses(local, alice):
    def sight(address):
        visitor, answers = local.visitor(), []
        while not answers or answers[-1][0] == 422:
            visitor.get(SIGN_IN)
            answers.append(without_seconds(visitor.submit(email=address, password=NEW_PASSWORD), address))
            assert len(answers) <= 12
        return answers[:5], answers[-1]

    known, unknown = sight(alice), sight(fresh_address())
    assert known == unknown
    assert [answer[0] for answer in known[0]] == [422] * 5
    assert known[1][0] == 429


@pytest.fixture
def site_without_mail(make_database, local, tmp_path):
    """A site that delivers from its own threads, to a mail server that takes a mail and never answers."""
    with SmtpSink() as sink:
        settings = {"DATABASE_URL": make_database("without_mail"), "MAIL_PORT": sink.port, "TRUSTED_PROXIES": 1}
        with Site(tmp_path, **settings) as site, observer(site) as app:
            with app.app_context():
                flask_migrate.upgrade()
            sink.silent = True
            site.start("--workers", "2")
            yield LocalSite(site, app, sink)
            sink.silent = False


@pytest.mark.asvs("6.3.8", "16.5.2")
def test_b30_a_mail_server_that_is_silent_or_away_shows_nowhere(local, site_without_mail):
    expected = {path: seen(local.visitor(), path, email=fresh_address()) for path in (RESET, REGISTER)}

    def look():
        for path, sight in expected.items():
            asked = time.monotonic()
            for _ in range(3):
                assert seen(site_without_mail.visitor(), path, email=fresh_address()) == sight
            assert time.monotonic() - asked < SLOW

    look()
    site_without_mail.sink.stop()
    look()


POLICY_WORDS = ("characters", "differ", "commonly", "easy to guess", "again.")


@pytest.mark.asvs("6.3.8", "2.3.1")
@pytest.mark.parametrize("password", ["short", "p" * 1025, PASSWORD, "aaaaaaaaaaaaaaaaaaaa"])
def test_b31_a_password_is_judged_only_for_a_live_link(local, visitor, attacker, alice, password):
    visitor.get(local.reset_link(alice))
    attacker.take_cookies_of(visitor)
    fields = visitor.form.fields | {"password": password, "password2": "p"}
    visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD)

    dead = attacker.client.post("/auth/reset_password", data=fields)
    stranger = local.visitor()
    stranger.get(RESET)
    missing = stranger.client.post("/auth/reset_password", data=fields | {"csrf_token": stranger.csrf_token})
    assert (dead.status_code, missing.status_code) == (410, 404)
    for answer in (dead, missing):
        assert not [word for word in POLICY_WORDS if word in answer.text]


def decoded(cookie):
    """What anybody can read in a Flask cookie."""
    compressed, payload = cookie.startswith("."), cookie.lstrip(".").split(".")[0]
    content = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    return json.loads(zlib.decompress(content) if compressed else content)


def leaves(value):
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value]


@pytest.mark.asvs("7.2.2", "7.2.3", "8.2.2")
def test_b34_no_number_or_address_of_an_account_leaves_the_server(local, visitor, alice):
    [(number,)] = local.rows(select(User.id).where(User.email == alice))
    visitor.sign_in(alice, PASSWORD)
    readable = [
        leaf for name in visitor.cookies if "session" in name for leaf in leaves(decoded(visitor.cookies[name]))
    ]
    assert readable
    assert not {number, str(number), alice, "Alice"} & set(readable)

    payload, _, signature = local.reset_token(alice).split(".")
    assert leaves(decoded(payload + "..")) == [
        local.rows(select(User.security_stamp).where(User.id == number))[0][0],
        3600,
    ]
    assert signature


@pytest.mark.asvs("7.2.3", "11.5.1")
def test_b34_sessions_and_references_are_random(local, alice, bob):
    for email in (alice, bob):
        local.visitor().sign_in(email, PASSWORD)
    both = select(UserSession.id).join(User, User.id == UserSession.user_id).where(User.email.in_([alice, bob]))
    ids = [session_id for (session_id,) in local.rows(both)]
    assert len(ids) == 2
    assert all(re.fullmatch("[A-Za-z0-9_-]{22}", session_id) for session_id in ids)


def test_the_comparison_of_this_file_sees_a_difference(local, alice):
    """Else all of the above would prove nothing."""
    refused = seen(local.visitor(), SIGN_IN, email=alice, password=NEW_PASSWORD)
    taken = seen(local.visitor(), SIGN_IN, email=alice, password=PASSWORD)
    assert refused != taken
