"""Hostile and broken input: a 4xx page in the product's own design, nothing lost, nothing a 500."""

import io
import time

import pytest
from sqlalchemy import func, select

from app.email import OutboxMessage
from app.extensions import db
from tests.conftest import NEW_PASSWORD

ADDRESS_FORMS = ["/auth/reset_password_request", "/auth/register"]

BAD_ADDRESSES = [
    "",
    "   ",
    "alice",
    "alice@",
    "@example.com",
    "alice@example",
    "alice@example..com",
    "alice@example.com, eve@evil.example",
    "<alice@example.com>eve@evil.example",
    '"alice@example.com"@evil.example',
    "eve@evil.example(c)@example.com",
    "=?utf-8?q?eve=40evil.example=3e?=@example.com",
    "alice@example.com\nBcc: eve@evil.example",
    "alice@example.com\r\n\r\nhello",
    "alice@[127.0.0.1]",
    "al\u0131ce@example.com",
    "alic\u00e9@example.com",
    "a" * 65 + "@example.com",
    "a" * 60 + "@" + ".".join(["b" * 60] * 4) + ".com",
    "a" * 20_000 + "@example.com",
]


@pytest.fixture
def promised(app):
    """How many mails have been promised."""

    def count():
        with app.app_context():
            return db.session.scalar(select(func.count()).select_from(OutboxMessage))

    return count


def is_ours(answer):
    return "<main" in answer.text and "style.css" in answer.text


@pytest.mark.asvs("1.3.3", "1.3.11", "2.2.1", "2.2.2")
@pytest.mark.parametrize("url", ADDRESS_FORMS)
@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_and_shown_again(browser, promised, url, address):
    answer = browser.fill(url, email=address)
    assert answer.status_code == 422
    assert is_ours(answer)
    assert browser.title.startswith("Error: ")
    assert 'aria-invalid="true"' in answer.text
    assert promised() == 0


@pytest.mark.asvs("1.1.1", "1.3.3", "2.2.1")
@pytest.mark.parametrize("url", [*ADDRESS_FORMS, "/auth/login"])
@pytest.mark.parametrize("raw", [b"alice\x00@example.com", b"alice\xff@example.com", b"alice\xed\xa0\x80@example.com"])
def test_nul_and_broken_utf8_are_refused(browser, promised, url, raw):
    browser.get(url)
    token = browser.form.fields["csrf_token"].encode()
    body = b"csrf_token=" + token + b"&password=long%20enough%20password&email=" + raw
    answer = browser.client.post(url, data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400
    assert is_ours(answer)
    assert promised() == 0


@pytest.mark.asvs("1.3.3", "2.2.1")
@pytest.mark.parametrize("field", ["password", "password2", "name", "link", "csrf_token", "submit"])
def test_nul_is_refused_in_every_field(browser, reset_link, field):
    browser.get(reset_link)
    fields = {"password": NEW_PASSWORD, "password2": NEW_PASSWORD} | {field: "nul\0nul"}
    assert browser.submit(**fields).status_code == 400


@pytest.mark.asvs("3.5.2", "15.3.5")
@pytest.mark.parametrize(
    "body", ['{"email": "a@example.com"}', '["a@example.com", "b@example.com"]', "true", '"\\ud800"', ""]
)
def test_a_json_body_is_refused(browser, promised, body):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    answer = browser.client.post(
        "/auth/reset_password_request", data=body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code in (400, 415)
    assert is_ours(answer)
    assert promised() == 0


@pytest.mark.asvs("15.3.7")
def test_a_repeated_field_is_refused(browser, promised):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    answer = browser.client.post(
        "/auth/reset_password_request",
        data={"csrf_token": token, "email": ["alice@example.com", "eve@evil.example"]},
    )
    assert answer.status_code == 400
    assert promised() == 0


@pytest.mark.asvs("15.2.2")
def test_a_password_of_a_megabyte_is_too_much(browser, reset_link, alice):
    browser.get(reset_link)
    answer = browser.submit(password="x" * 1_000_000, password2="x" * 1_000_000)
    assert answer.status_code == 413
    assert is_ours(answer)
    assert browser.reset(reset_link, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.2.1", "6.2.9")
@pytest.mark.parametrize(("length", "status"), [(14, 422), (15, 303), (1024, 303), (1025, 422)])
def test_passwords_of_fifteen_to_1024_characters_are_taken(browser, reset_link, length, status):
    assert browser.reset(reset_link, ("thud glimpse of mauve " * 50)[:length]).status_code == status


HEAVY = "a" + "\u0300\u0316" * 5_000  # normalizing it takes time that grows with the cube of its length


@pytest.mark.asvs("1.2.9", "1.3.12")
@pytest.mark.parametrize("url", [*ADDRESS_FORMS, "/auth/login"])
def test_a_heavy_address_or_password_costs_no_time(browser, promised, url):
    began = time.process_time()
    assert browser.fill(url, email=HEAVY, password="x").status_code == 422
    assert browser.fill(url, email="x", password=HEAVY).status_code == 422
    assert time.process_time() - began < 0.5
    assert promised() == 0


@pytest.mark.asvs("9.1.1", "11.2.5", "6.6.3")
@pytest.mark.parametrize("purpose", ["reset_password", "register"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "x",
        lambda token: token[:-1],
        lambda token: token[1:],
        lambda token: token.partition(".")[2],
        lambda token: "." + token,
        lambda token: token + "=",
        lambda token: token + "!!",
        lambda token: token + "%C3%A9",
        lambda token: token[:-1] + chr(ord(token[-1]) ^ 1),
        lambda token: token.swapcase(),
        lambda token: token * 2,
        lambda token: "A" * 100_000,
        lambda token: "%00",
        lambda token: "%ff",
        lambda token: "..",
    ],
)
def test_a_forged_cut_or_respelled_link_opens_nothing(client, reset_link, purpose, spoil):
    token = reset_link.rpartition("/")[2]
    answer = client.get(f"/auth/{purpose}/{spoil(token)}")
    assert answer.status_code == 404
    assert is_ours(answer)


@pytest.mark.asvs("9.2.2")
def test_a_link_of_one_purpose_is_none_of_another(client, reset_link):
    token = reset_link.rpartition("/")[2]
    assert client.get(f"/auth/register/{token}").status_code == 404


@pytest.mark.asvs("3.5.1")
def test_a_form_without_a_csrf_token_asks_to_be_sent_again(client, promised):
    answer = client.post("/auth/reset_password_request", data={"email": "alice@example.com"})
    assert answer.status_code == 400
    assert "Please send it again" in answer.text
    assert promised() == 0


@pytest.mark.asvs("3.5.1")
def test_a_csrf_token_of_another_browser_is_refused(browser, client, promised):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    answer = client.post("/auth/reset_password_request", data={"email": "alice@example.com", "csrf_token": token})
    assert answer.status_code == 400
    assert promised() == 0


def test_a_form_left_open_for_a_day_still_works(clock, browser, promised):
    browser.get("/auth/reset_password_request")
    clock.shift(86_400)
    assert browser.submit(email="alice@example.com").status_code == 303
    assert promised() == 1


@pytest.mark.asvs("14.2.5", "13.4.7")
@pytest.mark.parametrize("path", ["/nothing/here", "/auth/%00", "/%ff%fe", "/static/../config.py", "/static/none.css"])
def test_unknown_addresses_get_our_page(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert is_ours(answer)


@pytest.mark.asvs("4.1.4")
@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_refused(client, method):
    answer = getattr(client, method)("/auth/login")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert is_ours(answer)


@pytest.mark.parametrize("agent", ["", "<script>alert(1)</script>" * 400, "Mozilla/5.0 (" + "x" * 5000])
def test_no_user_agent_breaks_a_mail(browser, postman, alice, agent):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    browser.client.post(
        "/auth/reset_password_request", data={"csrf_token": token, "email": alice}, headers={"User-Agent": agent}
    )
    [message] = postman.deliver()
    assert "<script>" not in message.html


@pytest.mark.asvs("1.2.1", "1.3.3")
@pytest.mark.parametrize(
    "agent",
    [
        "http://evil.example/reset/1 CFNetwork/902 Darwin/17",
        "[URGENT: call 555-1234]Bot/1",
        "Evil example com/1 CFNetwork/9",
    ],
)
def test_nothing_of_a_made_up_user_agent_reaches_a_mail(browser, postman, alice, agent):
    browser.get("/auth/reset_password_request")
    form = {"csrf_token": browser.form.fields["csrf_token"], "email": alice}
    browser.client.post("/auth/reset_password_request", data=form, headers={"User-Agent": agent})
    [message] = postman.deliver()
    for text in (message.body, message.html):
        assert "vil" not in text
        assert "URGENT" not in text


@pytest.mark.asvs("15.3.5")
@pytest.mark.parametrize("field", ["email", "password", "csrf_token", "anything"])
def test_a_file_in_place_of_a_field_is_refused(browser, field):
    browser.get("/auth/login")
    data = browser.form.fields | {field: (io.BytesIO(b"alice@example.com"), "a.txt")}
    assert browser.client.post("/auth/login", data=data).status_code == 400


def test_nul_in_the_name_of_a_field_is_refused(browser):
    browser.get("/auth/login")
    assert browser.submit(**{"em\0ail": "x"}).status_code == 400


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    "cookie", ["remember_token=a|\u00e9", "remember_token=1|2", "session=\u00e9", "session=....", "=;;="]
)
@pytest.mark.parametrize("path", ["/", "/auth/login"])
def test_no_cookie_breaks_a_page(client, path, cookie):
    assert client.get(path, headers={"Cookie": cookie}).status_code == 200


@pytest.mark.parametrize("host", ["..", "a" * 300, "a..b"])
def test_a_host_that_is_none_gets_our_page(client, host):
    answer = client.get("/auth/login", headers={"Host": host})
    assert answer.status_code == 400
    assert is_ours(answer)


@pytest.mark.asvs("3.7.2")
def test_no_redirect_names_the_host_of_the_request(client):
    answer = client.get("/auth//login", headers={"Host": "127.0.0.1"})
    assert (answer.status_code, answer.location) == (404, None)


@pytest.mark.parametrize("path", ["/", "/auth/login", "/auth/nothing", "/static/style.css"])
def test_another_host_than_ours_is_refused(client, path):
    answer = client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert is_ours(answer)
    assert "evil" not in answer.text


def test_a_probe_may_name_the_machine_by_any_address(client):
    assert client.get("/healthz", headers={"Host": "10.1.2.3:8000"}).status_code == 200


@pytest.mark.asvs("1.3.3", "2.2.1", "4.2.4")
@pytest.mark.parametrize("control", ["\0", "\x07", "\x1b[31m", "\x7f"])
def test_controls_are_refused_in_query_header_and_cookie(app, control):
    client = app.test_client(use_cookies=False)
    raw = control.encode().decode("latin-1")
    assert client.get("/auth/login", query_string={"x": control}).status_code == 400
    assert client.get("/auth/login", query_string={control: "x"}).status_code == 400
    assert client.get("/auth/login", environ_overrides={"HTTP_X_NOTE": raw}).status_code == 400
    assert client.get("/auth/login", environ_overrides={"HTTP_COOKIE": f"session={raw}"}).status_code == 400


@pytest.mark.asvs("1.1.1", "2.2.1")
@pytest.mark.parametrize("raw", ["%ff", "%ed%a0%80", "%c0%ae"])
def test_broken_utf8_is_refused_in_a_query(client, raw):
    assert client.get(f"/auth/login?x={raw}").status_code == 400


@pytest.mark.parametrize("path", ["/static/%00", "/static/%ff", "/auth/login%00", "/%1b", "/auth/not_me/%00"])
def test_no_page_has_a_control_in_its_path(client, path):
    assert client.get(path).status_code == 404


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("headers", FOREIGN)
def test_a_form_sent_by_another_site_is_refused(browser, promised, headers):
    browser.get("/auth/reset_password_request")
    form = browser.form.fields | {"email": "alice@example.com"}
    answer = browser.client.post("/auth/reset_password_request", data=form, headers=headers)
    assert answer.status_code == 403
    assert is_ours(answer)
    assert promised() == 0


@pytest.mark.parametrize("headers", [{"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_a_form_of_this_site_passes(browser, headers):
    browser.get("/auth/reset_password_request")
    form = browser.form.fields | {"email": "alice@example.com"}
    assert browser.client.post("/auth/reset_password_request", data=form, headers=headers).status_code == 303
