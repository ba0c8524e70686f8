""" "I did not ask for this": what the second link in the mail of a reset does, and what it cannot be made to do."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.auth.models import User
from app.database import utcnow
from tests.attacks import raw
from tests.attacks.site import NEW_PASSWORD, NOT_ME_LINK, PASSWORD, RESET, RESET_LINK
from tests.attacks.tokens import mint


@pytest.fixture
def links(local, alice):
    """The link to reset and the one to object, out of one mail."""
    local.visitor("203.0.113.44").ask_for_reset(alice)
    [mail] = local.mails_to(alice)
    return mail.link_to(RESET_LINK), mail.link_to(NOT_ME_LINK)


@pytest.mark.asvs("6.3.5", "6.5.1")
def test_an_objection_kills_every_open_link_and_keeps_sessions(local, visitor, attacker, alice, links):
    visitor.sign_in(alice, PASSWORD)
    attacker.get(links[0])
    second = f"{RESET_LINK}{local.reset_token(alice)}"
    assert visitor.fill(links[1]).status_code == 303

    assert attacker.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 410
    assert attacker.get(links[0]).status_code == 410
    assert attacker.get(second).status_code == 410
    assert visitor.is_signed_in
    assert local.visitor().guess(alice, PASSWORD) == 303
    assert "not_me" in local.events(alice)


@pytest.mark.asvs("3.5.3")
def test_opening_the_link_objects_to_nothing(local, visitor, links):
    for method in ("HEAD", "GET", "GET"):
        assert raw.send(local.url, f"{method} {links[1].removeprefix(local.url)}").status_code == 303
    local.visitor().get(links[1])
    assert visitor.reset(links[0], NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.5.1", "7.6.2")
def test_an_objection_is_made_once_and_signs_nobody_in(local, visitor, attacker, links):
    attacker.get(links[1])
    visitor.fill(links[1])
    assert not visitor.is_signed_in
    assert attacker.submit().status_code == 410
    assert attacker.get(links[1]).status_code == 410


@pytest.mark.asvs("2.3.1")
def test_without_the_link_nobody_objects(local, attacker, alice, links):
    attacker.get(RESET)
    answer = attacker.client.post("/auth/not_me", data={"csrf_token": attacker.csrf_token, "email": alice})
    assert answer.status_code == 404
    assert attacker.get("/auth/not_me").status_code == 404
    assert attacker.get(links[0]).status_code == 200


@pytest.mark.asvs("9.2.1", "9.2.2")
def test_the_link_lives_a_day(local, visitor, alice):
    [(stamp,)] = local.rows(select(User.security_stamp).where(User.email == alice))
    day = 86_400
    assert visitor.get(NOT_ME_LINK + mint("not_me", stamp, age=day - 60, life=day)).status_code == 200
    assert visitor.get(NOT_ME_LINK + mint("not_me", stamp, age=day, life=day)).status_code == 410


@pytest.mark.asvs("6.3.5")
def test_an_objection_after_the_link_was_used_leads_to_recovery(local, visitor, attacker, alice, links):
    attacker.reset(links[0], NEW_PASSWORD)
    page = visitor.get(links[1])
    assert page.status_code < 500
    assert f'href="{RESET}"' in page.text
    assert visitor.reset(local.reset_link(alice), PASSWORD).status_code == 303
    assert attacker.guess(alice, NEW_PASSWORD) == 422
    assert visitor.guess(alice, PASSWORD) == 303


@pytest.mark.asvs("2.4.1", "6.1.1")
def test_after_an_objection_one_mail_in_four_hours_leaves_for_a_day(local, visitor, alice, links):
    visitor.fill(links[1])
    before = len(local.mails_to(alice))
    for _ in range(5):
        local.visitor().ask_for_reset(alice)
    assert len(local.mails_to(alice)) == before + 1
    due = [due_at - utcnow() for _, due_at in local.waiting(alice)]
    assert timedelta(minutes=59) < min(due) <= max(due) <= timedelta(hours=4, seconds=2)

    for _ in range(23):
        local.pass_time(3600)
        local.settle()
        local.visitor().ask_for_reset(alice)
    assert len(local.mails_to(alice)) == before + 6
    local.pass_time(24 * 3600)
    sent = len(local.mails_to(alice))
    for _ in range(3):
        local.visitor().ask_for_reset(alice)
    assert len(local.mails_to(alice)) == sent + 3


@pytest.mark.asvs("6.1.1")
def test_whoever_objects_can_still_recover(local, visitor, alice, links):
    visitor.fill(links[1])
    local.visitor().ask_for_reset(alice)
    local.settle()
    local.pass_time(4 * 3600)
    assert visitor.reset(local.last_link(alice), NEW_PASSWORD).status_code == 303
    assert visitor.guess(alice, NEW_PASSWORD) == 303
