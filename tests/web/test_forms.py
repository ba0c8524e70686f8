"""What forms do in a browser: focus after an error, the Show button, paste, the address carried along."""

import pytest
from playwright.sync_api import expect

from tests.conftest import NEW_PASSWORD, PASSWORD


@pytest.fixture
def sign_in_page(person):
    person.open("/auth/login")
    return person.page


@pytest.fixture
def refused(anyone):
    """The sign-in page after nothing was typed."""
    anyone.open("/auth/login")
    assert anyone.press("Sign in").status == 422
    return anyone.page


def test_an_error_takes_the_focus_and_the_title_says_so(refused):
    summary = refused.get_by_role("alert")
    expect(summary).to_contain_text("There is a problem")
    expect(summary).to_be_focused()
    assert refused.title().startswith("Error: Sign in")


def test_the_summary_leads_to_the_field(refused):
    refused.set_viewport_size({"width": 320, "height": 256})
    refused.get_by_role("alert").get_by_role("link", name="Enter your password.").click()
    refused.keyboard.type(PASSWORD)
    field = refused.get_by_label("Password", exact=True)
    expect(field).to_be_in_viewport()
    expect(field).to_have_value(PASSWORD)


def test_the_summary_leads_to_the_label_too(sign_in_page):
    sign_in_page.set_viewport_size({"width": 320, "height": 256})
    with sign_in_page.expect_navigation():
        sign_in_page.get_by_role("button", name="Sign in", exact=True).click()
    sign_in_page.get_by_role("alert").get_by_role("link", name="Enter your password.").click()
    expect(sign_in_page.locator("label[for=password]")).to_be_in_viewport(ratio=0.9)


def test_what_was_wrong_is_said_beside_the_field(refused):
    for field, error in (("E-mail address", "Enter your e-mail address."), ("Password", "Enter your password.")):
        expect(refused.get_by_label(field, exact=True)).to_have_attribute("aria-invalid", "true")
        expect(refused.get_by_label(field, exact=True)).to_have_accessible_description(error)


def test_a_password_can_be_shown_and_hidden(sign_in_page):
    field, status = sign_in_page.get_by_label("Password", exact=True), sign_in_page.locator("main [role=status]")
    show = sign_in_page.get_by_role("button", name="Show password", exact=True)
    expect(show).to_have_text("Show")
    expect(show).to_have_attribute("type", "button")
    expect(show).to_have_attribute("aria-controls", field.get_attribute("id"))
    expect(status).to_be_empty()

    show.click()
    expect(field).to_have_attribute("type", "text")
    expect(status).to_have_text("Your password is visible.")

    hide = sign_in_page.get_by_role("button", name="Hide password", exact=True)
    expect(hide).to_have_text("Hide")
    hide.click()
    expect(field).to_have_attribute("type", "password")
    expect(status).to_have_text("Your password is hidden.")
    expect(show).to_be_visible()


def test_without_scripts_no_button_to_show_a_password_is_seen(open_browser, stage):
    page = open_browser(stage, java_script_enabled=False).page
    page.goto("/auth/login")
    assert page.locator("button.show").count() == 1
    expect(page.locator("button.show")).to_be_hidden()


def test_a_password_that_is_shown_is_hidden_before_it_is_sent(sign_in_page):
    """Else the browser would keep it among the texts that were typed."""
    sign_in_page.get_by_label("Password", exact=True).fill("shown")
    sign_in_page.get_by_role("button", name="Show password").click()
    sign_in_page.evaluate(
        "document.querySelector('main form').addEventListener('submit', event => {"
        "event.preventDefault(); document.title = document.getElementById('password').type })"
    )
    sign_in_page.get_by_role("button", name="Sign in", exact=True).click()
    expect(sign_in_page).to_have_title("password")


def test_a_password_that_was_shown_is_hidden_when_the_page_comes_back(sign_in_page):
    """From the back/forward cache, which Playwright turns off: the page is told as the browser would tell it."""
    field = sign_in_page.get_by_label("Password", exact=True)
    sign_in_page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    sign_in_page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(field).to_have_attribute("type", "password")


PASSWORD_PAGES = ["/auth/login", "{live[register]}", "{live[reset_password]}"]
MEMBERS_PAGES = ["/account/password", "/account/email", "/account/delete", "/auth/confirm"]


def test_a_password_can_be_pasted_into_every_field(open_browser, scenery):
    page = open_browser(scenery.stage, permissions=["clipboard-read", "clipboard-write"]).page
    pasted, long = [], "Ünïcode and spaces " * 10
    for path in [*PASSWORD_PAGES, *MEMBERS_PAGES]:
        if path in MEMBERS_PAGES:
            page.context.add_cookies(scenery.cookies["a member"])
        page.goto(path.format(**vars(scenery)))
        page.evaluate("text => navigator.clipboard.writeText(text)", long)
        for field in page.locator("input[type=password]").all():
            field.press("Control+V")
            pasted.append((path, field.input_value() == long))
    assert pasted == [(path, True) for path, _ in pasted]
    assert len(pasted) == 1 + 2 + 2 + 3 + 1 + 1 + 1


def test_the_address_typed_to_sign_in_stands_on_the_page_for_forgotten_passwords(person):
    person.open("/auth/login")
    person.type("E-mail address", "robin@example.com")
    person.follow("Forgotten your password?")
    expect(person.page.get_by_label("E-mail address", exact=True)).to_have_value("robin@example.com")


def test_so_does_that_of_a_refused_sign_in_without_scripts(open_browser, stage):
    stage.forget_limits()
    person = open_browser(stage, java_script_enabled=False)
    assert person.sign_in("robin@example.com", NEW_PASSWORD).status == 422
    person.follow("Forgotten your password?")
    expect(person.page.get_by_label("E-mail address", exact=True)).to_have_value("robin@example.com")


def test_what_was_typed_stays_but_for_passwords(anyone):
    assert anyone.sign_in("robin@example.com", PASSWORD).status == 422
    expect(anyone.page.get_by_label("E-mail address", exact=True)).to_have_value("robin@example.com")
    expect(anyone.page.get_by_label("Password", exact=True)).to_have_value("")
