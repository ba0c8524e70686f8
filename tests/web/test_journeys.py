"""The journeys people make, with scripts and without, by mouse and by keyboard, on any screen."""

import pytest
from playwright.sync_api import expect

from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.web.looks import fits
from tests.web.people import KeyboardPerson


def get_back_in(person, mailbox, address):
    """The main journey: from a forgotten password to being signed in with a new one."""
    person.open("/")
    person.follow("Sign in")
    person.follow("Forgotten your password?")
    person.type("E-mail address", address)
    person.press("Send the link")
    person.sees("Check your inbox")
    person.open(mailbox.link(address, "/auth/reset_password/"))
    person.sees("Choose a new password")
    person.reads(address)
    person.choose_password(NEW_PASSWORD)
    person.sees("Sign in")
    person.type("E-mail address", address)
    person.type("Password", NEW_PASSWORD)
    person.press("Sign in")
    expect(person.page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()


def test_somebody_who_forgot_the_password_gets_back_in(anyone, stage, account):
    get_back_in(anyone, stage.mailbox, account)


def test_the_keyboard_alone_is_enough(open_browser, stage, account):
    stage.forget_limits()
    get_back_in(open_browser(stage, kind=KeyboardPerson), stage.mailbox, account)


SCREENS = {
    "a small phone": {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True},
    "a small phone at night": {"viewport": {"width": 320, "height": 568}, "color_scheme": "dark"},
    "a desktop at 400 %": {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4},
}


@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
def test_nothing_is_cut_off_on_the_way(open_browser, stage, account, screen):
    stage.forget_limits()
    person = open_browser(stage, **screen)
    problems = []
    person.look = lambda page: problems.extend(f"{page.title()}: {problem}" for problem in fits(page))
    get_back_in(person, stage.mailbox, account)
    assert problems == []


def test_a_stranger_becomes_a_user(anyone, stage):
    address = stage.new_address()
    anyone.open("/")
    anyone.follow("Create one")
    anyone.type("E-mail address", address)
    anyone.press("Send the link")
    anyone.sees("Check your inbox")
    anyone.open(stage.mailbox.link(address, "/auth/register/"))
    anyone.sees("Finish your account")
    assert anyone.page.url == f"{stage.url}/auth/register/finish"
    anyone.type("Your name", "Zoë")
    anyone.choose_password(PASSWORD, "Create account")
    anyone.sees("Sign in")
    anyone.sign_in(address, PASSWORD)
    anyone.sees("Hello Zoë")


def test_somebody_changes_the_password(anyone, account):
    anyone.sign_in(account, PASSWORD)
    anyone.open("/account")
    anyone.follow("Change password")
    anyone.type("Your present password", PASSWORD)
    anyone.choose_password(NEW_PASSWORD, "Change password")
    anyone.sees("Your account")
    anyone.press("Sign out")
    anyone.sees("Sign in")
    assert anyone.sign_in(account, PASSWORD).status == 422
    anyone.sign_in(account, NEW_PASSWORD)
    assert anyone.is_signed_in


def test_somebody_changes_the_address_and_the_old_mailbox_takes_it_back(anyone, stage, account):
    new = stage.new_address()
    anyone.sign_in(account, PASSWORD)
    anyone.open("/account")
    anyone.follow("Change address")
    anyone.type("New e-mail address", new)
    anyone.type("Your present password", PASSWORD)
    anyone.press("Send the link")
    anyone.reads(f"Waiting for {new} to be proven.")
    anyone.open(stage.mailbox.link(new, "/auth/change_email/"))
    anyone.sees("Use this address?")
    anyone.press("Use the new address")
    anyone.reads(f"{new} is now the address of your account.")

    anyone.open(stage.mailbox.link(account, "/auth/undo_email_change/"))
    anyone.sees("Take your address back?")
    anyone.press("Take it back")
    anyone.sees("Check your inbox")
    anyone.open(stage.mailbox.link(account, "/auth/reset_password/"))
    anyone.choose_password(NEW_PASSWORD)
    anyone.sign_in(account, NEW_PASSWORD)
    assert anyone.is_signed_in


def test_somebody_signs_out_the_other_devices(anyone, open_browser, stage, account):
    other = open_browser(stage)
    other.sign_in(account, PASSWORD)
    anyone.sign_in(account, PASSWORD)
    anyone.open("/account")
    anyone.follow("See devices")
    anyone.press("Sign out all other devices")
    anyone.reads("Every other device is signed out.")
    other.open("/account")
    other.sees("Sign in")
    assert anyone.is_signed_in


def test_somebody_deletes_the_account(anyone, account):
    anyone.sign_in(account, PASSWORD)
    anyone.open("/account")
    anyone.follow("Delete this account")
    anyone.type("Your present password", PASSWORD)
    anyone.press("Delete my account")
    anyone.reads("Your account is deleted.")
    assert anyone.sign_in(account, PASSWORD).status == 422


def test_somebody_with_an_old_mail_gets_a_new_one(anyone, stage, account):
    anyone.ask_for_reset(account)
    anyone.open(stage.expired(stage.mailbox.link(account, "/auth/reset_password/")))
    anyone.sees("This link has expired")
    anyone.press("Send a new link")
    anyone.sees("Check your inbox")
    anyone.open(stage.mailbox.link(account, "/auth/reset_password/"))
    anyone.sees("Choose a new password")


def test_somebody_who_did_not_ask_kills_the_links(anyone, stage, account):
    anyone.ask_for_reset(account)
    mail = stage.mailbox.links(account, "/auth/reset_password/")
    anyone.open(mail.link_to("/auth/not_me/"))
    anyone.sees("Was this not you?")
    anyone.press("It was not me")
    anyone.sees("Sign in")
    assert anyone.open(mail.link_to("/auth/reset_password/")).status == 410
    anyone.sees("This link is no longer good")


def test_a_language_once_chosen_stays(anyone, stage):
    anyone.open("/auth/login")
    anyone.press("Português (Brasil)")
    expect(anyone.page.locator("html")).to_have_attribute("lang", "pt-BR")
    assert anyone.page.url == f"{stage.url}/auth/login"
    anyone.open("/auth/register")
    expect(anyone.page.locator("html")).to_have_attribute("lang", "pt-BR")
