"""Wrong passwords: how they slow down, stop, and are told."""

import re
from threading import Thread

import pytest
from sqlalchemy import func, select

from app import limits
from app.auth.attempts import FROM_ANYWHERE, STOPPED_AFTER
from app.auth.models import SecurityEvent, User, UserSession
from app.email.purge import purge
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in
from tests.time_passing import pass_time

WRONG = "a wrong password of some length"


@pytest.fixture
def visitor(app):
    """Makes a browser in a network of its own."""
    count = iter(range(1, 100_000))

    def visit(network=None):
        client = app.test_client()
        n = next(count)
        client.environ_base["REMOTE_ADDR"] = network or f"10.{n // 65536}.{n // 256 % 256}.{n % 256}"
        return Browser(client)

    return visit


@pytest.fixture
def events(app):
    def kinds():
        with app.app_context():
            return [event.kind for event in db.session.scalars(select(SecurityEvent).order_by(SecurityEvent.id))]

    return kinds


def fail(app, address, times):
    """Have that many failures in a row behind it, from elsewhere."""
    with app.app_context():
        for _ in range(times):
            limits.count_failure(FROM_ANYWHERE, address, pausing=False)
        db.session.commit()


@pytest.mark.asvs("6.3.1", "2.4.1", "2.3.2")
@pytest.mark.parametrize("address", ["alice@example.com", "nobody@example.com"])
def test_after_five_failures_the_sixth_try_has_to_wait(browser, alice, address):
    assert [browser.sign_in(address, WRONG).status_code for _ in range(6)] == [422] * 5 + [429]
    assert browser.page.headers["Retry-After"] == "1"


@pytest.mark.asvs("6.3.1")
def test_the_right_password_has_to_wait_as_well(app, browser, alice):
    for _ in range(5):
        browser.sign_in(alice, WRONG)
    assert browser.sign_in(alice, PASSWORD).status_code == 429
    with app.app_context():
        pass_time(2)
    assert browser.sign_in(alice, PASSWORD).status_code == 303


def test_a_success_ends_the_row(browser, alice):
    for _ in range(3):
        for _ in range(4):
            assert browser.sign_in(alice, WRONG).status_code == 422
        assert browser.sign_in(alice, PASSWORD).status_code == 303
        browser.sign_out()


@pytest.mark.asvs("6.3.1", "8.2.4")
def test_a_guesser_slows_down_nobody_elsewhere(visitor, alice):
    guesser = visitor()
    for _ in range(7):
        guesser.sign_in(alice, WRONG)
    assert visitor().sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("6.3.1", "8.2.4")
def test_a_guesser_in_the_same_network_slows_down_no_known_browser(visitor, alice):
    owner, guesser = visitor("192.0.2.1"), visitor("192.0.2.1")
    owner.sign_in(alice, PASSWORD)
    owner.sign_out()
    for _ in range(7):
        guesser.sign_in(alice, WRONG)
    assert visitor("192.0.2.1").sign_in(alice, PASSWORD).status_code == 429
    assert owner.sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("6.3.1", "2.4.1")
def test_a_network_that_tries_one_password_on_many_is_refused(visitor, alice):
    sprayer = visitor()
    statuses = [sprayer.sign_in(f"user{n}@example.com", WRONG).status_code for n in range(31)]
    assert statuses == [422] * 30 + [429]
    assert visitor().sign_in(alice, PASSWORD).status_code == 303


def test_successes_do_not_count_against_a_network(visitor, alice):
    for _ in range(40):
        assert visitor("192.0.2.1").sign_in(alice, PASSWORD).status_code == 303


def test_the_success_of_a_known_browser_gives_its_network_no_further_tries(visitor, alice):
    owner, sprayer = visitor("192.0.2.1"), visitor("192.0.2.1")
    owner.sign_in(alice, PASSWORD)
    owner.sign_out()
    for n in range(30):
        sprayer.sign_in(f"user{n}@example.com", WRONG)
    assert owner.sign_in(alice, PASSWORD).status_code == 303
    assert sprayer.sign_in("user30@example.com", WRONG).status_code == 429


@pytest.mark.asvs("6.3.1", "2.3.2")
def test_after_a_hundred_failures_the_password_works_no_more_until_a_link_sets_a_new_one(app, visitor, postman, alice):
    fail(app, alice, STOPPED_AFTER)
    owner = visitor()
    assert owner.sign_in(alice, PASSWORD).status_code == 422
    assert "no password is accepted" in owner.page.text
    with app.app_context():
        pass_time(7 * 86_400)
    assert owner.sign_in(alice, PASSWORD).status_code == 422
    owner.ask_for_reset(alice)
    [reset] = [message for message in postman.deliver() if "/auth/reset_password/" in message.body]
    owner.reset(link_in(reset), NEW_PASSWORD)
    assert owner.sign_in(alice, NEW_PASSWORD).status_code == 303


def test_the_hundredth_try_may_still_be_right(app, visitor, alice):
    fail(app, alice, STOPPED_AFTER - 1)
    assert visitor().sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("6.3.8")
def test_an_address_without_an_account_stops_alike(app, visitor):
    fail(app, "nobody@example.com", STOPPED_AFTER)
    browser = visitor()
    assert browser.sign_in("nobody@example.com", WRONG).status_code == 422
    assert "no password is accepted" in browser.page.text


def test_the_words_do_not_tell_that_an_owner_ended_the_count(app, visitor, alice):
    for address in (alice, "nobody@example.com"):
        fail(app, address, STOPPED_AFTER - 1)
    visitor().sign_in(alice, PASSWORD)
    for address in (alice, "nobody@example.com"):
        fail(app, address, 10)
    pages = [visitor().sign_in(address, WRONG).text for address in (alice, "nobody@example.com")]
    said = [re.findall(r"<li>(.*?)</li>", page) for page in pages]
    assert said[0] == said[1] != []


def test_failures_from_before_the_account_do_not_stop_its_password(app, visitor, postman):
    carol = "carol@example.com"
    fail(app, carol, STOPPED_AFTER + 5)
    browser = visitor()
    browser.register(carol)
    [message] = postman.deliver()
    browser.fill(link_in(message), name="Carol", password=PASSWORD, password2=PASSWORD)
    assert browser.sign_in(carol, PASSWORD).status_code == 303


def test_a_password_that_was_stopped_is_not_started_by_waiting(app, visitor, alice):
    fail(app, alice, STOPPED_AFTER)
    with app.app_context():
        pass_time(400 * 86_400)
        purge()
    assert visitor().sign_in(alice, PASSWORD).status_code == 422


def test_notices_of_new_browsers_do_not_flood_their_owner(visitor, postman, alice):
    for _ in range(10):
        assert visitor().sign_in(alice, PASSWORD).status_code == 303
    assert len(postman.deliver()) == 3


def test_a_stopped_password_leaves_sessions_alone(app, visitor, alice):
    owner = visitor()
    owner.sign_in(alice, PASSWORD)
    fail(app, alice, STOPPED_AFTER)
    assert owner.is_signed_in


@pytest.mark.asvs("6.3.5")
def test_the_owner_is_told_after_twenty_failures_once_a_day(app, visitor, postman, alice):
    fail(app, alice, 18)
    visitor().sign_in(alice, WRONG)
    assert postman.deliver() == []
    visitor().sign_in(alice, WRONG)
    [message] = postman.deliver()
    assert message.recipients == [alice]
    assert "Wrong passwords in a row for your account: 20." in message.body
    visitor().sign_in(alice, WRONG)
    assert postman.deliver() == []
    with app.app_context():
        pass_time(86_401)
    visitor().sign_in(alice, WRONG)
    assert len(postman.deliver()) == 1


@pytest.mark.asvs("6.3.5", "16.3.1")
def test_the_owner_is_told_when_the_password_is_stopped(app, visitor, postman, events, alice):
    fail(app, alice, STOPPED_AFTER - 2)
    visitor().sign_in(alice, WRONG)
    postman.deliver()
    visitor().sign_in(alice, WRONG)
    [message] = postman.deliver()
    assert "100" in message.body
    assert events()[-1] == "password_stopped"


@pytest.mark.asvs("16.3.1")
def test_every_refusal_is_recorded_with_or_without_an_account(app, browser, events, alice):
    for _ in range(5):
        browser.sign_in(alice, WRONG)
    browser.sign_in("nobody@example.com", WRONG)
    assert events() == ["sign_in_refused"] * 4 + ["sign_in_limited", "sign_in_refused"]
    with app.app_context():
        *hers, nobodys = db.session.scalars(select(SecurityEvent).order_by(SecurityEvent.id))
        assert {event.user_id for event in hers} == {User.by_email(alice).id}
        assert nobodys.user_id is None


@pytest.mark.asvs("6.3.8")
def test_a_disabled_account_is_refused_in_the_same_words(app, browser, alice):
    refusal = browser.sign_in("nobody@example.com", PASSWORD).text.replace("nobody@", "alice@")
    with app.app_context():
        db.session.execute(User.__table__.update().values(disabled_at=db.func.current_timestamp()))
        db.session.commit()
    answer = Browser(app.test_client()).sign_in(alice, PASSWORD)
    assert answer.status_code == 422
    assert answer.text.count("\n") == refusal.count("\n")
    assert "That address and password do not match an account." in answer.text


@pytest.mark.asvs("6.3.5", "8.2.4")
def test_signing_in_from_a_new_browser_is_told_but_never_the_first_time(visitor, postman, alice):
    first, second = visitor(), visitor()
    first.sign_in(alice, PASSWORD)
    assert postman.deliver() == []
    second.sign_in(alice, PASSWORD)
    [message] = postman.deliver()
    assert "new to it" in message.body
    assert "network 10.0.0.2" in message.body
    for browser in (first, second):
        browser.sign_out()
        browser.sign_in(alice, PASSWORD)
    assert postman.deliver() == []


@pytest.mark.asvs("11.2.2")
def test_a_hash_of_lower_settings_is_brought_up_to_todays(app, browser, alice, monkeypatch):
    def kept():
        with app.app_context():
            return User.by_email(alice).password_hash

    assert "t=2," in kept()
    monkeypatch.setitem(app.config, "ARGON2_PASSES", 3)
    browser.sign_in(alice, WRONG)
    assert "t=2," in kept()
    browser.sign_in(alice, PASSWORD)
    assert "t=3," in kept()
    browser.sign_out()
    assert browser.sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("15.4.2")
def test_an_improved_hash_never_undoes_a_reset(app, alice):
    with app.app_context():
        stale = User.by_email(alice)
        db.session.expunge_all()
        assert User.by_email(alice).change_password("the hash that a reset has set")
        stale.upgrade_password("a better hash of the old password")
        db.session.commit()
        db.session.expunge_all()
        assert User.by_email(alice).password_hash == "the hash that a reset has set"


@pytest.mark.asvs("7.1.2")
def test_an_account_has_twenty_sessions_at_most_and_the_least_used_ends(visitor, alice):
    browsers = [visitor() for _ in range(21)]
    for browser in browsers:
        browser.sign_in(alice, PASSWORD)
    assert not browsers[0].is_signed_in
    assert all(browser.is_signed_in for browser in browsers[1:])


@pytest.mark.asvs("14.3.1", "16.3.1")
def test_signing_out_clears_what_the_browser_keeps(browser, events, alice):
    browser.sign_in(alice, PASSWORD)
    assert browser.sign_out().headers["Clear-Site-Data"] == '"cache", "storage"'
    assert events() == ["signed_in", "signed_out"]


def test_signing_in_while_the_password_is_reset_never_locks_the_two(app, visitor, alice):
    """PostgreSQL ends one of two transactions that wait for each other's rows: a 503 for somebody."""
    statuses = []

    def sign_in_again_and_again():
        for _ in range(12):
            statuses.append(visitor().sign_in(alice, PASSWORD).status_code)

    threads = [Thread(target=sign_in_again_and_again) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        with app.app_context():
            token = User.by_email(alice).get_reset_password_token()
        statuses.append(visitor().reset(f"/auth/reset_password/{token}", PASSWORD).status_code)
    for thread in threads:
        thread.join()
    assert set(statuses) <= {303, 410, 422}  # refused where the reset came while the password was checked


def test_parallel_sign_ins_keep_the_number_of_sessions(app, visitor, alice):
    def sign_in_again_and_again():
        for _ in range(5):
            visitor().sign_in(alice, PASSWORD)

    threads = [Thread(target=sign_in_again_and_again) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(UserSession)) == UserSession.MOST
