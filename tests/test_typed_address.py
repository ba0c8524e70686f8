"""An address is typed once: the next form that asks for it has it filled in."""

from tests.conftest import NEW_PASSWORD, PASSWORD


def filled_in(browser, url):
    browser.get(url)
    return browser.form.fields["email"]


def test_who_fails_to_sign_in_need_not_type_the_address_again_to_reset(browser, alice):
    browser.sign_in(alice, "not the password")
    assert filled_in(browser, "/auth/reset_password_request") == alice


def test_an_unknown_address_is_kept_just_the_same(browser):
    browser.sign_in("nobody@example.com", "not the password")
    assert filled_in(browser, "/auth/reset_password_request") == "nobody@example.com"


def test_from_the_inbox_page_the_address_can_be_corrected(browser):
    browser.ask_for_reset("alcie@example.com")
    assert filled_in(browser, "/auth/reset_password_request") == "alcie@example.com"


def test_after_a_reset_sign_in_asks_for_the_password_alone(browser, reset_link, alice):
    browser.reset(reset_link, NEW_PASSWORD)
    assert browser.form.fields["email"] == alice


def test_after_registering_sign_in_asks_for_the_password_alone(browser, postman):
    browser.register("carol@example.com")
    browser.get(postman.link())
    browser.submit(name="Carol", password=PASSWORD, password2=PASSWORD)
    assert browser.form.fields["email"] == "carol@example.com"


def test_signing_in_and_out_forgets_it(browser, alice):
    browser.sign_in(alice, "not the password")
    browser.sign_in(alice, PASSWORD)
    browser.sign_out()
    assert browser.form.fields["email"] == ""


def test_it_is_a_start_and_not_an_answer(browser, alice, postman):
    browser.sign_in(alice, "not the password")
    assert browser.client.post("/auth/login", data=browser.form.fields | {"email": ""}).status_code == 422
