"""A form that was open for too long, or in a tab that another one has overtaken, is asked for again."""

import re

import pytest

from tests.conftest import NEW_PASSWORD, PASSWORD


def send_late(browser, url, **fields):
    """Send the form as from a page whose token is no longer good."""
    browser.page = browser.client.post(url, data={"csrf_token": "old", **fields})
    return browser.page


def test_a_late_form_comes_back_with_what_was_typed(browser, alice, postman):
    page = send_late(browser, "/auth/reset_password_request", email=alice)
    assert page.status_code == 400
    assert "Please send it again" in page.text
    assert browser.title.startswith("Error:")
    assert browser.form.fields["email"] == alice
    assert postman.deliver() == []


def test_sending_it_again_works(browser, alice, postman):
    page = send_late(browser, "/auth/reset_password_request", email=alice)
    fields = browser.form.fields
    assert browser.client.post(page.request.path, data=fields).status_code == 303
    assert postman.link()


def test_passwords_are_not_among_what_comes_back(browser, alice):
    page = send_late(browser, "/auth/login", email=alice, password=PASSWORD, remember="y")
    assert page.status_code == 400
    assert PASSWORD not in page.text
    assert browser.form.fields["email"] == alice
    assert "checked" in browser.form.inputs["remember"]
    assert not browser.is_signed_in


def test_a_late_new_password_changes_nothing_and_leaves_the_link_good(browser, other_browser, reset_link):
    browser.get(reset_link)
    page = send_late(browser, "/auth/reset_password", password=NEW_PASSWORD, password2=NEW_PASSWORD)
    assert page.status_code == 400
    assert NEW_PASSWORD not in page.text
    assert "alice@example.com" in page.text
    assert browser.reset(reset_link, NEW_PASSWORD).location == "/auth/login"


def test_a_late_account_form_keeps_the_name(browser, alice):
    browser.sign_in(alice, PASSWORD)
    page = send_late(browser, "/account/profile", name="Alicia", locale="", time_zone="")
    assert page.status_code == 400
    assert browser.form.fields["name"] == "Alicia"
    assert "Hello Alice" in browser.get("/").text


@pytest.mark.parametrize(
    "url",
    ["/auth/logout", "/account/sessions/end_others", "/account/email/cancel", "/auth/new_link", "/account/profile"],
)
def test_where_there_is_no_page_to_show_it_says_so_and_does_nothing(browser, url):
    page = send_late(browser, url)
    assert page.status_code == 400
    assert "Nothing was done" in page.text
    assert re.search(r'class="button" href="/[^"]*">Go on from here', page.text)


def test_a_late_sign_out_signs_nobody_out(browser, alice):
    browser.sign_in(alice, PASSWORD)
    assert send_late(browser, "/auth/logout").status_code == 400
    assert browser.is_signed_in


def test_whoever_has_signed_in_in_another_tab_is_led_on(browser, alice):
    browser.sign_in(alice, PASSWORD)
    page = send_late(browser, "/auth/login", email=alice, password=PASSWORD)
    assert page.status_code == 400
    assert "Please send it again" not in page.text
    assert 'class="button" href="/">Go on from here' in page.text


def test_whoever_has_signed_out_in_another_tab_is_led_to_sign_in_and_back(browser):
    page = send_late(browser, "/account/profile", name="Alicia", locale="", time_zone="")
    assert 'href="/auth/login?next=/account/profile"' in page.text


def test_where_the_link_is_gone_the_page_says_so(browser):
    page = send_late(browser, "/auth/reset_password", password=NEW_PASSWORD, password2=NEW_PASSWORD)
    assert page.status_code == 400
    assert "Please open the link in your mail" in page.text
    assert "Please send it again" not in page.text


def test_a_late_choice_of_language_leads_back_to_its_page(browser):
    page = send_late(browser, "/language", locale="pt_BR", next="/auth/register")
    assert 'class="button" href="/auth/register"' in page.text
    assert 'href="//evil.example"' not in send_late(browser, "/language", locale="pt_BR", next="//evil.example").text
