"""Attacks by doing the same thing many times at one moment: of any number, as many win as may."""

import pytest
from sqlalchemy import func, select

from app.auth.models import User
from tests.attacks import raw
from tests.attacks.site import (
    PASSWORD,
    REGISTER,
    REGISTER_LINK,
    RESET,
    RESET_LINK,
    fresh_address,
    fresh_network,
)

MANY = 50


def accounts(local, email):
    [(count,)] = local.rows(select(func.count()).select_from(User).where(func.lower(User.email) == email.lower()))
    return count


@pytest.mark.asvs("2.3.3", "2.3.4", "15.4.2")
def test_b82_of_fifty_posts_with_one_link_one_wins(local, visitor, alice):
    visitor.get(f"{RESET_LINK}{local.reset_token(alice)}")
    passwords = [f"the password of post number {number}" for number in range(MANY)]
    form = visitor.form.fields
    posts = [
        raw.form_post(visitor, "/auth/reset_password", form | {"password": it, "password2": it}) for it in passwords
    ]
    statuses = [answer.status_code for answer in raw.volley(local.url, posts)]
    assert sorted(statuses) == [303] + [410] * (MANY - 1)

    winner = passwords[statuses.index(303)]
    assert local.visitor().guess(alice, winner) == 303
    assert local.visitor().guess(alice, passwords[statuses.index(410)]) == 422
    assert local.events(alice).count("password_reset") == 1
    notices = [mail for mail in local.mails_to(alice) if "changed" in mail.message["Subject"]]
    assert len(notices) == 1


@pytest.mark.asvs("2.3.4", "15.4.2")
def test_b84_of_fifty_posts_that_finish_one_registration_one_wins(local, visitor):
    email = fresh_address()
    visitor.get(local.registration_link(email))
    form = visitor.form.fields | {"password": PASSWORD, "password2": PASSWORD}
    posts = [raw.form_post(visitor, "/auth/register/finish", form | {"name": f"N{it}"}) for it in range(MANY)]
    assert sorted(answer.status_code for answer in raw.volley(local.url, posts)) == [303] + [410] * (MANY - 1)
    assert accounts(local, email) == 1
    assert visitor.guess(email, PASSWORD) == 303


@pytest.mark.asvs("2.3.4", "15.4.2")
def test_b84_two_links_to_register_one_address_make_one_account(local, visitor, other_visitor):
    email = fresh_address()
    links = [local.registration_link(email), local.registration_link(email)]
    posts = []
    for browser, link in zip((visitor, other_visitor), links, strict=True):
        browser.get(link)
        fields = browser.form.fields | {"name": "Zoe", "password": PASSWORD, "password2": PASSWORD}
        posts.append(raw.form_post(browser, "/auth/register/finish", fields))
    assert sorted(answer.status_code for answer in raw.volley(local.url, posts)) == [303, 410]
    assert accounts(local, email) == 1
    assert [local.visitor().get(link).status_code for link in links] == [410, 410]


@pytest.mark.asvs("2.3.4", "2.4.1")
def test_b73_another_spelling_of_a_taken_address_makes_no_second_account(local, visitor):
    taken = local.account(email=f"Victim{fresh_address()}")
    for typed in (taken.lower(), taken.upper()):
        visitor.register(typed)
    assert not [mail for mail in local.mails_to(taken, taken.lower(), taken.upper()) if REGISTER_LINK in mail.text]
    assert accounts(local, taken) == 1


@pytest.mark.asvs("2.3.4", "15.4.2")
def test_b73_two_spellings_of_one_address_finished_at_once_make_one_account(local, visitor, other_visitor):
    email = f"victim{fresh_address()}"
    posts = []
    for browser, spelling in ((visitor, email), (other_visitor, email.replace("victim", "Victim"))):
        browser.get(local.registration_link(spelling))
        fields = browser.form.fields | {"name": "Zoe", "password": PASSWORD, "password2": PASSWORD}
        posts.append(raw.form_post(browser, "/auth/register/finish", fields))
    assert sorted(answer.status_code for answer in raw.volley(local.url, posts)) == [303, 410]
    assert accounts(local, email) == 1


@pytest.mark.asvs("2.4.1", "6.3.1", "15.4.1")
@pytest.mark.parametrize("path", [RESET, REGISTER])
def test_b86_of_fifty_requests_in_two_processes_three_mails_leave_and_one_waits(local, attacker, alice, path):
    attacker.get(path)
    fields = {"email": alice, "csrf_token": attacker.csrf_token}
    networks = [fresh_network() for _ in range(MANY)]
    answers = raw.volley(local.url, raw.from_everywhere(attacker, path, fields, networks))
    assert {answer.status_code for answer in answers} == {303}
    assert len(local.mails_to(alice)) == 3
    assert len(local.waiting(alice)) == 1


@pytest.mark.asvs("2.4.1", "6.3.1", "15.4.1")
def test_b86_of_fifty_requests_from_one_network_thirty_are_taken(local, attacker):
    attacker.get(RESET)
    posts = [
        raw.form_post(attacker, RESET, {"email": fresh_address(), "csrf_token": attacker.csrf_token})
        for _ in range(MANY)
    ]
    statuses = sorted(answer.status_code for answer in raw.volley(local.url, posts))
    assert statuses == [303] * 30 + [429] * 20


@pytest.mark.asvs("6.3.1", "15.4.1")
def test_b86_parallel_guesses_do_not_outrun_the_count(local, attacker, alice):
    """Of twenty at one moment five are looked at; one right password among the rest opens nothing."""
    attacker.get("/auth/login")
    token = attacker.csrf_token
    posts = [
        raw.form_post(attacker, "/auth/login", {"email": alice, "password": f"guess number {it}", "csrf_token": token})
        for it in range(20)
    ]
    statuses = sorted(answer.status_code for answer in raw.volley(local.url, posts))
    assert statuses[0] == 422
    assert statuses.count(422) <= 7  # a pause of 1 s, then of 2, may end while a busy machine still works on them
    assert statuses[-1] == 429
