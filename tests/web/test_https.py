"""Over HTTPS, where cookies, referrers and the checks of forms are as in production."""

import pytest
from playwright.sync_api import expect

from tests.conftest import NEW_PASSWORD, PASSWORD


@pytest.fixture
def secure_person(open_browser, secure_stage):
    secure_stage.forget_limits()
    return open_browser(secure_stage, ignore_https_errors=True)


def test_the_whole_journey_keeps_its_secrets(secure_person, secure_stage):
    """The mailed link is clicked on a page of another site, as in a web mail."""
    person, account = secure_person, secure_stage.add_account()
    requests, answers = [], []
    person.context.on("request", lambda request: requests.append(request))
    person.context.on("response", lambda answer: answers.append(answer))

    person.ask_for_reset(account)
    link = secure_stage.mailbox.link(account, "/auth/reset_password/")
    person.page.goto("about:blank")
    person.page.set_content(f'<a href="{link}">Choose a new password</a>')
    person.follow("Choose a new password")
    person.sees("Choose a new password")
    assert person.page.url == f"{secure_stage.url}/auth/reset_password"
    person.choose_password(NEW_PASSWORD)
    person.sees("Sign in")
    assert person.page.evaluate("document.referrer") == f"{secure_stage.url}/"
    person.sign_in(account, NEW_PASSWORD)
    expect(person.page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()

    assert {request.all_headers().get("referer") for request in requests} <= {None, f"{secure_stage.url}/"}
    posts = [request for request in requests if request.method == "POST"]
    assert [post.all_headers()["origin"] for post in posts] == [secure_stage.url] * 3  # the address, the password, both
    assert [post.response().status for post in posts] == [303] * 3
    assert all(answer.all_headers()["strict-transport-security"].startswith("max-age=31536000") for answer in answers)


def test_cookies_belong_to_this_host_and_no_script_reads_them(secure_person, secure_stage):
    secure_person.sign_in(secure_stage.add_account(), PASSWORD)
    cookies = {cookie["name"]: cookie for cookie in secure_person.context.cookies()}
    assert cookies.keys() == {"__Host-session", "__Host-device"}
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
        assert (cookie["domain"], cookie["path"]) == ("127.0.0.1", "/")
    assert secure_person.page.evaluate("document.cookie") == ""


def test_a_form_of_another_site_is_refused(secure_person, secure_stage):
    secure_person.sign_in(secure_stage.add_account(), PASSWORD)
    secure_person.page.goto("about:blank")
    form = f"<form method=post action={secure_stage.url}/auth/logout><button>Win a prize</button></form>"
    secure_person.page.set_content(form)
    assert secure_person.press("Win a prize").status == 403
    assert secure_person.is_signed_in
