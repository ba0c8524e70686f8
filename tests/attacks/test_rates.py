"""Attacks by quantity: mail bombs, guessing, and keeping the owner out by using up what is theirs.

A day goes by in a second: every moment in the limiter and in open promises is moved back.
"""

from datetime import timedelta

import pytest

from app.database import utcnow
from tests.attacks import raw
from tests.attacks.conftest import BARE
from tests.attacks.sight import seen
from tests.attacks.site import (
    INBOX,
    NEW_PASSWORD,
    PASSWORD,
    REGISTER,
    RESET,
    RESET_LINK,
    SIGN_IN,
    fresh_address,
    fresh_network,
)

HOUR = 3600


def flood(local, attacker, path, email, posts):
    """Send the form for one address from as many networks; what was answered."""
    attacker.get(path)
    fields = {"email": email, "csrf_token": attacker.csrf_token}
    networks = [fresh_network() for _ in range(posts)]
    return raw.volley(local.url, raw.from_everywhere(attacker, path, fields, networks))


@pytest.mark.asvs("2.4.1", "2.3.2", "6.1.1")
def test_b87_a_day_of_flooding_sends_27_mails_and_no_owner_waits_over_an_hour(local, attacker, alice):
    for hour in range(24):
        answers = flood(local, attacker, RESET if hour % 2 else REGISTER, alice, 6)
        assert {(answer.status_code, answer.location) for answer in answers} == {(303, INBOX)}
        assert len(local.mails_to(alice)) == 3 + hour
        [(_, due_at)] = local.waiting(alice)
        assert utcnow() < due_at <= utcnow() + timedelta(seconds=HOUR + 2)
        local.pass_time(HOUR)
    assert len(local.mails_to(alice)) == 27


@pytest.mark.asvs("6.1.1", "2.4.1")
def test_b87_a_waiting_request_ends_with_a_link_that_works(local, attacker, visitor, alice):
    flood(local, attacker, RESET, alice, 10)
    before = local.mails_to(alice)
    visitor.ask_for_reset(alice)
    assert len(local.mails_to(alice)) == len(before) == 3
    local.pass_time(HOUR)
    link = local.last_link(alice)
    assert len(local.mails_to(alice)) == 4
    assert visitor.reset(link, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.1.1", "2.4.1")
def test_b87_who_floods_the_form_to_register_does_not_starve_the_one_to_reset(local, attacker, visitor, alice):
    flood(local, attacker, REGISTER, alice, 10)
    visitor.ask_for_reset(alice)
    local.settle()
    local.pass_time(HOUR)
    assert visitor.reset(local.last_link(alice), NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.1.1", "2.4.1")
def test_b87_a_browser_that_has_signed_in_before_gets_its_link_at_once(local, attacker, visitor, alice):
    visitor.sign_in(alice, PASSWORD)
    visitor.sign_out()
    flood(local, attacker, RESET, alice, 20)
    before = len(local.mails_to(alice))
    visitor.ask_for_reset(alice)
    assert len(local.mails_to(alice)) == before + 1
    assert visitor.reset(local.last_link(alice), NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.1.1", "9.1.1")
def test_b87_nobody_has_that_allowance_with_a_cookie_for_another_address(local, attacker, alice, bob):
    attacker.sign_in(bob, PASSWORD)
    flood(local, local.visitor(), RESET, alice, 5)
    before = len(local.mails_to(alice))
    attacker.ask_for_reset(alice)
    assert len(local.mails_to(alice)) == before


@pytest.mark.asvs("2.4.1", "6.3.1")
def test_b89_a_network_may_ask_for_thirty_addresses_and_then_for_one_a_minute(local, attacker):
    attacker.get(RESET)
    answers = []
    for _ in range(35):
        fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
        answers.append(attacker.client.post(RESET, data=fields))
    assert [answer.status_code for answer in answers] == [303] * 30 + [429] * 5
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers[30:])
    assert local.visitor().ask_for_reset(fresh_address()).status_code == 303

    local.pass_time(60)
    fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
    assert attacker.client.post(REGISTER, data=fields).status_code == 303
    assert attacker.client.post(RESET, data=fields).status_code == 429


@pytest.mark.asvs("2.4.1", "6.3.1")
def test_b89_all_addresses_of_an_ipv6_subscriber_are_one_network(local, attacker):
    attacker.get(RESET)
    fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
    prefix = f"2001:db8:{fresh_network().split('.')[3]}:{fresh_network().split('.')[3]}"
    own = raw.from_everywhere(attacker, RESET, fields, [f"{prefix}:{it:x}::{it:x}" for it in range(40)])
    answers = raw.volley(local.url, own)
    assert sorted(answer.status_code for answer in answers) == [303] * 30 + [429] * 10
    neighbour = local.visitor("2001:db8:ffff:1::1")
    assert neighbour.ask_for_reset(fresh_address()).status_code == 303


@pytest.mark.asvs("4.1.3", "15.3.4")
def test_b89_what_a_visitor_writes_into_x_forwarded_for_does_not_count(local, attacker):
    real = fresh_network()
    attacker.get(RESET)
    fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
    spoofed = [f"{fresh_network()}, {fresh_network()}, {real}" for _ in range(35)]
    answers = raw.volley(local.url, raw.from_everywhere(attacker, RESET, fields, spoofed))
    assert sorted(answer.status_code for answer in answers) == [303] * 30 + [429] * 5


@pytest.mark.asvs("4.1.3")
def test_b89_a_port_that_the_proxy_adds_makes_no_new_network(local, attacker):
    """As some proxies write it: 198.51.100.7:50123 or [2001:db8::7]:50123."""
    real = fresh_network()
    attacker.get(RESET)
    fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
    ports = [f"{real}:{port}" for port in range(50_000, 50_035)]
    answers = raw.volley(local.url, raw.from_everywhere(attacker, RESET, fields, ports))
    assert sorted(answer.status_code for answer in answers) == [303] * 30 + [429] * 5


@pytest.mark.asvs("4.1.3", "15.3.4")
def test_b89_without_a_proxy_the_whole_header_does_not_count(local, start_site):
    site = start_site(**BARE)
    attacker = site.visitor()
    attacker.get(RESET)
    fields = {"email": fresh_address(), "csrf_token": attacker.csrf_token}
    posts = raw.from_everywhere(attacker, RESET, fields, [fresh_network() for _ in range(40)])
    statuses = [answer.status_code for answer in raw.volley(site.url, posts)]
    local.pass_time(HOUR)  # that network is also that of other tests
    assert set(statuses) == {303, 429}
    assert statuses.count(303) <= 30


@pytest.mark.asvs("6.3.1", "2.4.1")
def test_b89_one_password_tried_on_many_accounts_is_stopped_by_the_network(local, attacker):
    attacker.get(SIGN_IN)
    token = attacker.csrf_token
    posts = [
        raw.form_post(attacker, SIGN_IN, {"email": fresh_address(), "password": PASSWORD, "csrf_token": token})
        for _ in range(40)
    ]
    answers = raw.volley(local.url, posts)
    assert sorted(answer.status_code for answer in answers) == [422] * 30 + [429] * 10
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    assert attacker.ask_for_reset(fresh_address()).status_code == 303  # the way back is not blocked by it


@pytest.mark.asvs("6.3.1")
def test_b90_after_five_failures_a_network_waits_and_nobody_else_does(local, attacker, visitor, alice):
    assert visitor.guess(alice, PASSWORD) == 303
    visitor.sign_out()
    assert [attacker.guess(alice) for _ in range(5)] == [422] * 5
    for _ in range(10):  # a busy machine may take longer than the first pauses
        status = attacker.guess(alice)
        if status == 429:
            break
    assert status == 429
    assert attacker.guess(alice, PASSWORD) == 429  # before the password is looked at
    assert int(attacker.page.headers["Retry-After"]) >= 1

    assert visitor.guess(alice, PASSWORD) == 303
    neighbour = local.visitor(attacker.client.headers["X-Forwarded-For"])
    neighbour.take_cookies_of(visitor)
    neighbour.sign_out()
    assert neighbour.guess(alice, PASSWORD) == 303  # the owner behind the same address, in a browser that is known

    local.pass_time(HOUR)
    assert attacker.guess(alice, PASSWORD) == 303


def guess_from_everywhere(local, attacker, email, guesses):
    """So many wrong passwords, each from another network: no pause slows them down."""
    attacker.get(SIGN_IN)
    fields = {"email": email, "password": "not the password at all", "csrf_token": attacker.csrf_token}
    networks = [fresh_network() for _ in range(guesses)]
    answers = raw.volley(local.url, raw.from_everywhere(attacker, SIGN_IN, fields, networks))
    return [answer.status_code for answer in answers]


@pytest.mark.asvs("6.3.1", "6.1.1", "6.3.5", "16.3.1")
def test_b90_a_hundred_failures_in_a_row_stop_the_password_until_a_mailed_link_sets_a_new_one(local, attacker, alice):
    assert set(guess_from_everywhere(local, attacker, alice, 50)) == {422}
    assert set(guess_from_everywhere(local, attacker, alice, 49)) == {422}
    assert "password_stopped" not in local.events(alice)
    assert set(guess_from_everywhere(local, attacker, alice, 1)) == {422}
    assert "password_stopped" in local.events(alice)
    notices = local.mails_to(alice)  # of twenty failures in a row, and of the hundredth
    assert len(notices) == 2
    assert not [notice for notice in notices if RESET_LINK in notice.text]

    assert seen(local.visitor(), RESET, email=alice) == seen(local.visitor(), RESET, email=fresh_address())
    owner = local.visitor()
    assert owner.guess(alice, PASSWORD) == 422
    assert not owner.is_signed_in
    owner.reset(local.reset_link(alice), NEW_PASSWORD)
    assert owner.guess(alice, NEW_PASSWORD) == 303
    assert local.visitor().guess(alice, PASSWORD) == 422


@pytest.mark.asvs("6.3.5", "6.3.1")
def test_b90_twenty_failures_in_a_row_are_told_once_and_a_success_ends_the_row(local, attacker, visitor, alice):
    guess_from_everywhere(local, attacker, alice, 19)
    assert visitor.guess(alice, PASSWORD) == 303
    guess_from_everywhere(local, attacker, alice, 19)
    assert local.mails_to(alice) == []
    guess_from_everywhere(local, attacker, alice, 5)
    assert len(local.mails_to(alice)) == 1


@pytest.mark.asvs("2.4.1")
def test_b91_the_form_to_register_is_no_spam_gun(local, attacker):
    stranger = fresh_address()
    assert {answer.status_code for answer in flood(local, attacker, REGISTER, stranger, 20)} == {303}
    mails = local.mails_to(stranger)
    assert len(mails) == 3
    assert {mail.message["Subject"] for mail in mails} == {mails[0].message["Subject"]}
    assert not [mail for mail in mails if "198." in mail.text or "Firefox" in mail.text]


@pytest.mark.asvs("2.4.1")
def test_b91_both_forms_and_all_spellings_share_one_allowance(local, alice):
    for path, spelling in ((RESET, alice), (REGISTER, alice.upper()), (RESET, alice.title()), (REGISTER, alice)):
        assert local.visitor().fill(path, email=spelling).status_code == 303
    assert len(local.mails_to(alice)) == 3
    assert len(local.waiting(alice)) == 1


@pytest.mark.asvs("2.4.1")
def test_the_limits_can_be_turned_off_for_a_load_test(local, start_site, alice):
    site = start_site(RATELIMIT_ENABLED=0, TRUSTED_PROXIES=1)
    visitor = site.visitor()
    assert {visitor.ask_for_reset(alice).status_code for _ in range(6)} == {303}
    assert len(local.mails_to(alice)) == 6
