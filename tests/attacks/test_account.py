"""Attacks on an account from inside: by a stolen session, by its own owner's second browser, by a neighbour."""

import re

import pytest

from app.auth.models import UserSession
from tests.attacks import raw
from tests.attacks.site import NEW_PASSWORD, PASSWORD, fresh_address
from tests.servers import wait_for

CHANGE_LINK, UNDO_LINK = "/auth/change_email/", "/auth/undo_email_change/"


@pytest.fixture
def owner(local, alice):
    visitor = local.visitor()
    visitor.sign_in(alice, PASSWORD)
    return visitor


@pytest.fixture
def thief(local, owner):
    """Has copied the owner's cookies."""
    visitor = local.visitor()
    visitor.take_cookies_of(owner)
    return visitor


def change_password(visitor):
    fields = {"current_password": PASSWORD, "password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    return visitor.fill("/account/password", **fields).status_code


def ask_for_change(local, visitor, new):
    """The link in the new mailbox."""
    assert visitor.fill("/account/email", email=new, current_password=PASSWORD).status_code == 303
    return local.last_link(new, CHANGE_LINK)


@pytest.mark.asvs("7.2.4", "7.4.3")
def test_b54_a_password_change_signs_others_out_and_gives_this_browser_a_new_secret(local, owner, thief, alice):
    other = local.visitor()
    other.sign_in(alice, PASSWORD)
    assert thief.is_signed_in
    assert change_password(owner) == 303
    assert owner.is_signed_in
    assert not thief.is_signed_in
    assert not other.is_signed_in


@pytest.mark.asvs("7.4.3", "6.4.3")
def test_b11_a_link_mailed_before_a_password_change_is_dead(local, owner, alice):
    link = local.reset_link(alice)
    assert change_password(owner) == 303
    assert local.visitor().get(link).status_code == 410


@pytest.mark.asvs("6.4.3")
def test_b12_a_link_mailed_before_an_address_change_is_dead(local, owner, alice):
    link, new = local.reset_link(alice), fresh_address()
    owner.fill(ask_for_change(local, owner, new))
    assert local.visitor().get(link).status_code == 410


@pytest.mark.asvs("6.3.7")
def test_b97_an_address_change_is_told_at_once_proven_and_can_be_cancelled_by_a_reset(local, owner, alice):
    new = fresh_address()
    link = ask_for_change(local, owner, new)
    assert any("Nothing has changed yet." in mail.text for mail in local.mails_to(alice))
    visitor = local.visitor()
    visitor.reset(local.reset_link(alice), NEW_PASSWORD)
    assert visitor.get(link).status_code == 410


@pytest.mark.asvs("6.3.7", "7.4.3")
def test_b97_a_thief_who_changed_address_and_password_loses_the_account_to_the_old_mailbox(local, thief, alice):
    evil = fresh_address()
    thief.fill(ask_for_change(local, thief, evil))
    change_password(thief)
    thief.sign_in(evil, NEW_PASSWORD)
    owner = local.visitor()
    assert owner.fill(local.last_link(alice, UNDO_LINK)).status_code == 303
    assert not thief.is_signed_in
    assert thief.guess(evil, NEW_PASSWORD) == 422
    owner.reset(local.last_link(alice), "a third password of some length")
    assert owner.guess(alice, "a third password of some length") == 303


@pytest.mark.asvs("6.3.7")
def test_b52_an_undo_link_restores_its_address_and_nothing_else(local, owner, alice):
    new = fresh_address()
    owner.fill(ask_for_change(local, owner, new))
    link = local.last_link(alice, UNDO_LINK)
    token = link.rpartition("/")[2]
    for purpose in ("reset_password", "register", "not_me", "change_email"):
        assert local.visitor().get(f"/auth/{purpose}/{token}").status_code == 404


@pytest.mark.asvs("6.3.8")
def test_b24_changing_to_a_taken_address_looks_like_any_other(local, owner, bob):
    def answer(new):
        sent = owner.fill("/account/email", email=new, current_password=PASSWORD)
        page = re.sub(r'value="[^"]*"', "", owner.page.text).replace(new, "NEW")
        return sent.status_code, sent.location, page

    assert answer(bob) == answer(fresh_address())
    assert not [mail for mail in local.mails_to(bob) if CHANGE_LINK in mail.text]


@pytest.mark.asvs("6.3.1", "7.5.1")
def test_a_stolen_session_cannot_guess_the_password_faster_than_sign_in_could(thief):
    tries = [thief.fill("/account/delete", current_password="not the password").status_code for _ in range(7)]
    assert tries[:5] == [422] * 5
    assert set(tries[5:]) == {429}


@pytest.mark.asvs("8.2.2", "7.5.2")
def test_b10_nobody_ends_or_sees_a_neighbours_session(local, owner, bob):
    neighbour = local.visitor()
    neighbour.sign_in(bob, PASSWORD)
    for session in local.rows(UserSession.__table__.select()):
        if session.id in neighbour.get("/account/sessions").text:
            continue
        fields = {"csrf_token": neighbour.get("/account/profile") and neighbour.csrf_token}
        assert neighbour.client.post(f"/account/sessions/{session.id}/end", data=fields).status_code == 404
    assert owner.is_signed_in


@pytest.mark.asvs("8.2.1")
def test_account_pages_are_closed_to_whoever_is_not_signed_in(local):
    for page in ("", "/activity", "/profile", "/password", "/email", "/sessions", "/delete"):
        answer = raw.send(local.url, f"GET /account{page}")
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/auth/login")


@pytest.mark.asvs("8.3.2", "7.4.2")
def test_disabling_acts_on_the_next_request(local, owner, alice):
    assert owner.is_signed_in
    local.site.flask("users", "disable", alice)
    assert not owner.is_signed_in
    local.site.flask("users", "enable", alice)
    assert not owner.is_signed_in


@pytest.mark.asvs("7.4.2")
def test_b13_links_of_a_deleted_account_stay_dead_when_the_address_registers_anew(local, owner, alice):
    link = local.reset_link(alice)
    assert owner.fill("/account/delete", current_password=PASSWORD).status_code == 303
    wait_for(lambda: any("deleted" in mail.message["Subject"] for mail in local.mails_to(alice)), "the goodbye")
    visitor = local.visitor()
    visitor.fill(local.registration_link(alice), name="Alice", password=NEW_PASSWORD, password2=NEW_PASSWORD)
    assert visitor.guess(alice, NEW_PASSWORD) == 303
    assert local.visitor().get(link).status_code == 410
