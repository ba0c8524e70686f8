"""Mails that anybody may ask for: limited for each address and network, refused to no owner."""

import pytest
from sqlalchemy import func, select

from app.auth import device
from app.email import OutboxMessage
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in
from tests.time_passing import pass_time

HOUR = 3600


@pytest.fixture
def visitor(app):
    """Makes a browser of nobody we know, in a network of its own."""

    def visit(network="192.0.2.1"):
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = network
        return Browser(client)

    return visit


@pytest.fixture
def rows(app):
    def count(*conditions):
        with app.app_context():
            return db.session.scalar(select(func.count()).select_from(OutboxMessage).where(*conditions))

    return count


def later(app, seconds):
    with app.app_context():
        pass_time(seconds)


@pytest.mark.asvs("2.3.2", "2.4.1")
def test_three_mails_leave_and_the_fourth_waits_for_its_turn(app, browser, postman, alice):
    for _ in range(10):
        assert browser.ask_for_reset(alice).status_code == 303
        assert browser.heading == "Check your inbox"
    assert len(postman.deliver()) == 3
    later(app, HOUR - 60)
    assert postman.deliver() == []
    later(app, 120)
    assert len(postman.deliver()) == 1


def test_the_page_is_the_same_for_a_mail_that_waits(browser, alice):
    answers = [browser.ask_for_reset(alice) for _ in range(6)]
    assert len({(answer.status_code, answer.location, answer.text) for answer in answers}) == 1


def test_requests_meanwhile_are_served_by_the_mail_that_waits(browser, rows, alice):
    for _ in range(10):
        browser.ask_for_reset(alice)
    assert rows() == 4


@pytest.mark.asvs("6.3.8")
def test_addresses_are_limited_alike_whether_there_is_an_account_or_not(browser, rows):
    for _ in range(10):
        browser.ask_for_reset("nobody@example.com")
    assert rows() == 4


def test_another_spelling_is_the_same_address(browser, rows, alice):
    for _ in range(5):
        browser.ask_for_reset(alice)
        browser.ask_for_reset("Alice@EXAMPLE.com")
    assert rows() == 4


@pytest.mark.asvs("2.3.2", "2.4.1")
def test_a_day_of_asking_sends_no_more_than_twenty_seven_mails(app, visitor, postman, alice):
    sent = 0
    for n in range(24 * 2):
        for m in range(3):
            visitor(f"198.51.{n}.{m}").ask_for_reset(alice)
        sent += len(postman.deliver())
        later(app, HOUR / 2)
    assert 25 <= sent <= 27


def test_an_owner_under_fire_waits_an_hour_at_most(app, visitor, postman, alice):
    for n in range(40):
        visitor(f"198.51.100.{n}").ask_for_reset(alice)
    postman.deliver()
    owner = visitor()
    owner.ask_for_reset(alice)
    later(app, HOUR + 1)
    [message] = postman.deliver()
    assert owner.reset(link_in(message), NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("8.2.4")
def test_a_known_browser_gets_its_link_at_once(app, visitor, postman, alice):
    owner = visitor()
    owner.sign_in(alice, PASSWORD)
    owner.sign_out()
    for n in range(40):
        visitor(f"198.51.100.{n}").ask_for_reset(alice)
    assert len(postman.deliver()) == 3
    owner.ask_for_reset(alice)
    [message] = postman.deliver()
    assert owner.reset(link_in(message), NEW_PASSWORD).status_code == 303


def test_a_known_browser_is_limited_too(browser, rows, alice):
    browser.sign_in(alice, PASSWORD)
    for _ in range(10):
        browser.ask_for_reset(alice)
    assert rows(OutboxMessage.kind == "reset_password") == 4


def test_a_browser_is_known_for_its_own_address_only(browser, rows, alice, bob):
    browser.sign_in(alice, PASSWORD)
    for _ in range(35):
        answer = browser.ask_for_reset(bob)
    assert answer.status_code == 429


@pytest.mark.asvs("9.1.1")
@pytest.mark.parametrize("cookie", ["0" * 32, "x", ".".join(["a" * 32] * 1000), "\u00e9", ""])
def test_a_made_up_device_cookie_is_worth_nothing(app, alice, cookie):
    with app.test_request_context(headers={"Cookie": f"device={cookie}"}):
        assert not device.knows_address(alice)


def test_a_device_cookie_made_under_a_former_key_counts(app, browser, alice, monkeypatch):
    browser.sign_in(alice, PASSWORD)
    value = browser.client.get_cookie("device").value
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [app.config["SECRET_KEY"]])
    monkeypatch.setitem(app.config, "SECRET_KEY", "another key of at least 32 characters")
    with app.test_request_context(headers={"Cookie": f"device={value}"}):
        assert device.knows_address(alice)
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [])
    with app.test_request_context(headers={"Cookie": f"device={value}"}):
        assert not device.knows_address(alice)


def digests(cookie):
    return [digest for digest in cookie.value.split(".") if digest]


@pytest.mark.asvs("3.3.4", "14.3.3")
def test_a_device_cookie_says_nothing_and_is_kept_from_scripts(browser, alice):
    browser.sign_in(alice, PASSWORD)
    cookie = browser.client.get_cookie("device")
    assert "alice" not in cookie.value
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    assert cookie.max_age == 365 * 86_400
    assert [len(digest) for digest in digests(cookie)] == [32, 32]


def test_a_device_cookie_is_made_under_the_present_key(app, browser, alice, monkeypatch):
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", ["a former key of at least 32 characters"])
    browser.sign_in(alice, PASSWORD)
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [])
    with app.test_request_context(headers={"Cookie": f"device={browser.client.get_cookie('device').value}"}):
        assert device.knows_address(alice)


def test_signing_in_again_adds_nothing_to_the_device_cookie(browser, alice):
    for _ in range(2):
        browser.sign_in(alice, PASSWORD)
        browser.sign_out()
    assert len(digests(browser.client.get_cookie("device"))) == 2


def test_a_browser_that_many_have_used_forgets_the_first_of_them(app, browser, add_user):
    people = [add_user(f"user{n}@example.com") for n in range(11)]  # an address and an account each, 20 in all
    for person in people:
        browser.sign_in(person, PASSWORD)
        browser.sign_out()
    cookie = browser.client.get_cookie("device")
    assert len(digests(cookie)) == 20
    with app.test_request_context(headers={"Cookie": f"device={cookie.value}"}):
        assert [device.knows_address(person) for person in people] == [False] + [True] * 10


@pytest.mark.parametrize(("padding", "known"), [(19, True), (20, False)])
def test_of_an_overlong_device_cookie_the_first_twenty_digests_are_read(app, browser, alice, padding, known):
    browser.sign_in(alice, PASSWORD)
    of_address, _ = digests(browser.client.get_cookie("device"))
    value = ".".join(["0" * 32] * padding + [of_address])
    with app.test_request_context(headers={"Cookie": f"device={value}"}):
        assert device.knows_address(alice) is known


def test_registering_and_resetting_share_one_limit(browser, rows, alice):
    for _ in range(5):
        browser.ask_for_reset(alice)
        browser.register(alice)
    assert rows() == 4


def test_a_stranger_who_asks_for_resets_cannot_keep_anybody_from_registering(app, browser, postman):
    for _ in range(5):
        browser.ask_for_reset("carol@example.com")
    browser.register("carol@example.com")
    assert postman.deliver() == []
    later(app, HOUR + 1)
    assert "/auth/register/" in postman.link()


def test_a_stranger_who_registers_an_address_cannot_keep_its_owner_from_a_reset(app, browser, postman, alice):
    for _ in range(5):
        browser.register(alice)
    postman.deliver()
    browser.ask_for_reset(alice)
    later(app, HOUR + 1)
    assert browser.reset(postman.link(), NEW_PASSWORD).status_code == 303


def test_a_stranger_who_asks_for_a_reset_does_not_change_a_registration_that_waits(app, browser, postman):
    for _ in range(5):
        browser.register("carol@example.com")
    postman.deliver()
    browser.ask_for_reset("carol@example.com")
    later(app, HOUR + 1)
    assert "/auth/register/" in postman.link()


def test_a_waiting_mail_keeps_its_six_hours(app, browser, postman, alice):
    for _ in range(4):
        browser.ask_for_reset(alice)
    assert len(postman.deliver()) == 3
    later(app, 6.5 * HOUR)  # the worker was away
    assert len(postman.deliver()) == 1


@pytest.mark.asvs("2.4.1")
def test_a_network_that_asks_for_many_addresses_is_refused(visitor, rows):
    browser = visitor()
    statuses = [browser.ask_for_reset(f"user{n}@example.com").status_code for n in range(31)]
    assert statuses == [303] * 30 + [429]
    assert browser.page.headers["Retry-After"].isdigit()
    assert "Please wait a little" in browser.page.text
    assert rows() == 30
    assert browser.register("carol@example.com").status_code == 429
    assert visitor("192.0.2.2").ask_for_reset("carol@example.com").status_code == 303


def test_a_known_browser_is_not_refused_for_what_its_network_asked_for(visitor, alice):
    owner, stranger = visitor(), visitor()
    owner.sign_in(alice, PASSWORD)
    for n in range(31):
        stranger.ask_for_reset(f"user{n}@example.com")
    assert owner.ask_for_reset(alice).status_code == 303


def test_addresses_in_one_ipv6_network_share_its_limit(visitor):
    statuses = [visitor(f"2001:db8::{n:x}").ask_for_reset(f"user{n}@example.com").status_code for n in range(31)]
    assert statuses == [303] * 30 + [429]


def test_what_is_refused_leaves_nothing_behind(visitor, rows):
    browser = visitor()
    for n in range(35):
        browser.ask_for_reset(f"user{n}@example.com")
    visitor("192.0.2.2").ask_for_reset("user34@example.com")
    assert rows() == 31


def test_the_mail_that_waits_names_the_last_who_asked(app, visitor, postman, alice):
    stranger = visitor("203.0.113.66")
    for _ in range(4):
        stranger.ask_for_reset(alice)
    visitor("192.0.2.7").ask_for_reset(alice)
    postman.deliver()
    later(app, HOUR + 1)
    [message] = postman.deliver()
    assert "network 192.0.2.7" in message.body
