"""What people do with browsers: several tabs and devices, the back button, reload."""

from playwright.sync_api import expect

from tests.conftest import NEW_PASSWORD, PASSWORD


def test_the_back_button_shows_nothing_of_the_account_after_sign_out(anyone, account):
    anyone.sign_in(account, PASSWORD)
    for page in ("/account", "/account/sessions", "/account/profile"):
        anyone.open(page)
    anyone.press("Sign out")
    for _ in range(4):
        anyone.page.go_back()
        assert account not in anyone.page.content()
        expect(anyone.page.get_by_role("button", name="Sign out", exact=True)).to_be_hidden()


def test_a_sign_in_form_works_that_was_open_while_another_tab_signed_in(person, account):
    person.open("/auth/login")
    other = person.tab()
    other.sign_in(account, PASSWORD)
    person.type("E-mail address", account)
    person.type("Password", PASSWORD)
    press_late(person, "Sign in")
    person.reads("You are signed in as")


def press_late(person, button):
    """What another tab has outdated is refused, says so, and leads on at a click."""
    assert person.press(button).status == 400
    person.page.get_by_role("link", name="Go on from here").click()


def test_a_form_of_an_account_does_nothing_when_another_tab_has_signed_out(person, account):
    person.sign_in(account, PASSWORD)
    person.open("/account/profile")
    other = person.tab()
    other.open("/")
    other.press("Sign out")
    person.type("Your name", "Somebody Else")
    press_late(person, "Save")
    assert account not in person.page.content()
    assert not other.is_signed_in


def test_a_tab_left_open_by_one_account_changes_nothing_of_another(person, stage, account):
    other_account = stage.add_account(name="Kim")
    person.sign_in(account, PASSWORD)
    person.open("/account/profile")
    other = person.tab()
    other.open("/")
    other.press("Sign out")
    other.sign_in(other_account, PASSWORD)
    person.type("Your name", "Robin again")
    assert person.press("Save").status == 400
    person.reads("Please send it again")
    other.open("/")
    other.sees("Hello Kim")


def test_both_tabs_can_sign_out(person, account):
    person.sign_in(account, PASSWORD)
    other = person.tab()
    other.open("/account")
    person.press("Sign out")
    press_late(other, "Sign out")
    assert not other.is_signed_in


def test_a_link_works_in_a_browser_other_than_the_one_that_asked(person, open_browser, stage, account):
    person.ask_for_reset(account)
    link = stage.mailbox.link(account, "/auth/reset_password/")
    other = open_browser(stage)
    other.open(link)
    other.choose_password(NEW_PASSWORD)
    other.sees("Sign in")
    assert person.open(link).status == 410
    person.sees("This link is no longer good")


def test_a_link_wins_over_somebody_else_who_is_signed_in(person, stage, account):
    somebody_else = stage.add_account()
    person.ask_for_reset(account)
    person.sign_in(somebody_else, PASSWORD)
    person.open(stage.mailbox.link(account, "/auth/reset_password/"))
    person.reads(f"You are signed in as {somebody_else}. This link belongs to another account")
    expect(person.page.get_by_role("main").get_by_text(account, exact=True)).to_be_visible()
    person.choose_password(NEW_PASSWORD)
    person.sees("Sign in")
    assert not person.is_signed_in
    assert person.sign_in(somebody_else, PASSWORD).status == 200


def test_a_page_loaded_again_after_success_does_nothing_twice(person, stage, account):
    person.ask_for_reset(account)
    link = stage.mailbox.link(account, "/auth/reset_password/")
    assert person.page.reload().request.method == "GET"
    person.sees("Check your inbox")
    person.open(link)
    person.choose_password(NEW_PASSWORD)
    assert person.page.reload().request.method == "GET"
    person.sees("Sign in")
    person.sign_in(account, NEW_PASSWORD)
    assert person.page.reload().request.method == "GET"
    assert person.is_signed_in
    assert len([mail for mail in stage.mailbox.sink.mails if mail.recipients == [account]]) == 2  # link and notice
