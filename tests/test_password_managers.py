"""What password managers build on: they keep ids and names, so these do not change between releases."""

import pytest

from tests.conftest import PASSWORD

USERNAME, PRESENT, NEW = "username", "current-password", "new-password"
SIGNED_OUT = {
    "/auth/login": {"email": USERNAME, "password": PRESENT},
    "/auth/register": {"email": "email"},
    "/auth/reset_password_request": {"email": USERNAME},
}
SIGNED_IN = {
    "/auth/confirm": {"current_password": PRESENT},
    "/account/delete": {"current_password": PRESENT},
    "/account/email": {"email": "email", "current_password": PRESENT},
    "/account/password": {"current_password": PRESENT, "password": NEW, "password2": NEW},
    "/account/profile": {"name": "name"},
}


def offered(browser):
    """The fields of the page that are offered for filling in, by name."""
    found = {name: field for name, field in browser.form.inputs.items() if field.get("autocomplete")}
    assert all(field["id"] == name for name, field in found.items())
    return {name: field["autocomplete"] for name, field in found.items()}


@pytest.mark.parametrize(("url", "fields"), SIGNED_OUT.items())
def test_fields_keep_their_names_for_those_signed_out(browser, url, fields):
    browser.get(url)
    assert offered(browser) == fields


@pytest.mark.parametrize(("url", "fields"), SIGNED_IN.items())
def test_fields_keep_their_names_for_those_signed_in(browser, alice, url, fields):
    browser.sign_in(alice, PASSWORD)
    browser.get(url)
    assert offered(browser) == fields


def test_fields_keep_their_names_behind_links(browser, reset_link):
    browser.get(reset_link)
    assert offered(browser) == {"password": NEW, "password2": NEW}


def test_the_last_page_of_registering_keeps_its_names(browser, postman):
    browser.register("carol@example.com")
    browser.get(postman.link())
    assert offered(browser) == {"name": "name", "password": NEW, "password2": NEW}


@pytest.mark.parametrize("url", ["reset", "/account/password", "/account/delete", "/auth/confirm"])
def test_the_account_is_in_a_field_of_its_own_so_that_the_right_entry_is_updated(browser, reset_link, alice, url):
    if url == "reset":
        browser.get(reset_link)
    else:
        browser.sign_in(alice, PASSWORD)
        browser.get(url)
    field = f'<input id="username" type="email" value="{alice}" autocomplete="username" hidden>'
    assert browser.page.text.count(field) == 1
    assert f'<strong class="address">{alice}</strong>' in browser.page.text


@pytest.mark.parametrize("length", [15, 20])
def test_generators_are_told_the_rule_that_is_in_force(app, browser, reset_link, monkeypatch, length):
    monkeypatch.setitem(app.config, "PASSWORD_MIN_LENGTH", length)
    browser.get(reset_link)
    assert browser.form.inputs["password"]["passwordrules"] == f"minlength: {length}; allowed: unicode;"
    assert f"At least {length} characters" in browser.page.text
