"""Attacks that an owner hears of, and what a thief can read in what they are told."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from app.database import utcnow
from tests.attacks.site import (
    NEW_PASSWORD,
    NOT_ME_LINK,
    PASSWORD,
    RESET,
    RESET_LINK,
    fresh_address,
)

SIGNS_NOBODY_IN = {RESET, "/auth/login", "/auth/register", "/account", "/account/sessions", "/account/password"}


@pytest.mark.asvs("6.3.7", "6.3.5")
def test_b52_a_notice_holds_nothing_that_signs_in(local, visitor, alice):
    link = local.reset_link(alice)
    visitor.reset(link, NEW_PASSWORD)
    visitor.sign_in(alice, NEW_PASSWORD)
    local.visitor().sign_in(alice, NEW_PASSWORD)
    notices = [mail for mail in local.mails_to(alice) if RESET_LINK not in mail.text]
    assert len(notices) >= 2
    secrets = {link.rpartition("/")[2], NEW_PASSWORD, PASSWORD, *visitor.cookies.values()}
    for notice in notices:
        assert {urlsplit(link).path for link in notice.links} <= SIGNS_NOBODY_IN
        assert not [secret for secret in secrets if secret in notice.text + notice.html]


@pytest.mark.asvs("6.3.7")
def test_b52_a_changed_password_is_told_to_the_owner_with_time_device_and_network(local, alice):
    visitor = local.visitor("203.0.113.77")
    visitor.reset(local.reset_link(alice), NEW_PASSWORD)
    notice = local.mails_to(alice)[-1]
    assert "changed" in notice.message["Subject"]
    assert "Firefox (Linux), network 203.0.113.77" in notice.text
    hours = [f"{time.hour % 12 or 12}:\\d\\d {time:%p}" for time in (utcnow(), utcnow() - timedelta(minutes=5))]
    assert re.search(f", ({'|'.join(hours)}) UTC", notice.text)


@pytest.mark.asvs("6.3.5")
def test_b52_a_sign_in_from_a_new_browser_is_told_but_not_the_first_and_not_twice(local):
    alice = fresh_address()
    home, thief = local.visitor(), local.visitor("203.0.113.66")
    fields = {"name": "Alice", "password": PASSWORD, "password2": PASSWORD}
    home.fill(local.registration_link(alice), **fields)

    for _ in range(2):
        assert home.guess(alice, PASSWORD) == 303
        home.sign_out()
    assert len(local.mails_to(alice)) == 1  # the link to register

    assert thief.guess(alice, PASSWORD) == 303
    [_, notice] = local.mails_to(alice)
    assert "network 203.0.113.66" in notice.text
    thief.sign_out()
    assert thief.guess(alice, PASSWORD) == 303
    assert home.guess(alice, PASSWORD) == 303
    assert len(local.mails_to(alice)) == 2


@pytest.mark.asvs("6.3.5")
def test_b52_the_reset_mail_tells_who_asked_and_has_a_way_to_object(local, alice):
    local.visitor("203.0.113.55").ask_for_reset(alice)
    [mail] = local.mails_to(alice)
    assert "Firefox (Linux), network 203.0.113.55" in mail.text
    assert "UTC" in mail.text
    assert mail.link_to(RESET_LINK) != mail.link_to(NOT_ME_LINK)
