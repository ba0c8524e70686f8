"""What every page has in common."""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from werkzeug.exceptions import TooManyRequests

from app import create_app
from app.errors import _when
from app.extensions import db
from config import Testing
from tests.conftest import NEW_PASSWORD

PUBLIC_PAGES = [
    "/",
    "/auth/login",
    "/auth/register",
    "/auth/reset_password_request",
    "/auth/reset_password",
    "/nothing",
]


@pytest.mark.asvs("3.2.3", "3.5.7")
@pytest.mark.parametrize("url", PUBLIC_PAGES)
def test_a_page_is_one_document_with_one_heading(client, url):
    page = client.get(url).text
    assert page.startswith("<!doctype html>")
    assert '<html lang="en" dir="ltr">' in page
    assert page.count("<h1") == page.count("<main") == 1
    assert re.search(r"<title>[^<]+ \u2013 Rekey</title>", page)
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", page, re.DOTALL)
    assert [
        (bool(re.fullmatch(r' src="/static/rekey\.js\?v=[0-9a-f]{12}" type="module"', how)), what)
        for how, what in scripts
    ] == [(True, "")]
    assert "style=" not in page


@pytest.mark.asvs("3.4.3", "3.4.4", "3.4.5", "3.4.6", "14.3.2")
@pytest.mark.parametrize("url", PUBLIC_PAGES)
def test_a_page_is_never_stored_framed_or_scripted(client, url):
    headers = client.get(url).headers
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin"


@pytest.mark.asvs("14.2.5")
def test_static_files_are_kept_for_a_year_under_a_hash(client):
    url = re.search(r'href="(/static/style\.css\?v=[0-9a-f]{12})"', client.get("/").text).group(1)
    with client.get(url) as answer:
        assert "Vary" not in answer.headers
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("url", ["/static/style.css", "/static/style.css?v=000000000000"])
def test_what_a_hash_does_not_vouch_for_is_asked_for_again(client, url):
    with client.get(url) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"


def test_a_static_file_that_is_not_there_is_a_page_like_others(client):
    answer = client.get("/static/none.css?v=1")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_style_sheet_is_short(root):
    assert len((root / "app/static/style.css").read_text().splitlines()) < 300


@pytest.mark.asvs("6.2.7")
def test_password_managers_are_told_what_is_what(browser, reset_link):
    browser.get("/auth/login")
    assert browser.form.inputs["email"]["autocomplete"] == "username"
    assert browser.form.inputs["password"]["autocomplete"] == "current-password"
    browser.get(reset_link)
    for name in ("password", "password2"):
        assert browser.form.inputs[name]["autocomplete"] == "new-password"
        assert not {"maxlength", "minlength", "value"} & {
            key for key, value in browser.form.inputs[name].items() if value
        }


def test_an_error_is_said_at_the_top_and_beside_its_field(browser, reset_link):
    browser.reset(reset_link, "short")
    page = browser.page.text
    assert browser.title.startswith("Error: ")
    assert 'role="alert"' in page
    assert '<a href="#password">' in page
    described = browser.form.inputs["password"]["aria-describedby"].split()
    assert described == ["password-hint", "password-error"]
    assert all(f'id="{name}"' in page for name in described)
    assert browser.form.inputs["password"]["aria-invalid"] == "true"


def test_the_rule_is_shown_before_typing(browser, reset_link):
    assert "At least 15 characters" in browser.get(reset_link).text


@pytest.mark.asvs("16.5.1", "16.5.4")
def test_a_failure_is_our_page_and_needs_no_database(app, client, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setitem(app.view_functions, "main.home", fail)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "a fault of ours" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.asvs("16.5.2")
def test_an_outage_of_the_database_is_a_503_that_says_when_to_come_back(app, browser, monkeypatch):
    browser.get("/auth/reset_password_request")

    def away(*args, **kwargs):
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    monkeypatch.setattr("app.auth.promises.enqueue", away)
    answer = browser.submit(email="alice@example.com")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "was not carried out" in answer.text


@pytest.mark.asvs("16.5.2")
def test_an_outage_looks_the_same_to_somebody_signed_in(browser, alice, monkeypatch):
    browser.sign_in(alice, "correct horse battery staple")

    def away(token):
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    monkeypatch.setattr("app.auth.sign_in.UserSession.find", away)
    for url in ("/", "/nothing"):
        answer = browser.get(url)
        assert answer.status_code == 503
        assert "style.css" in answer.text


@pytest.mark.asvs("16.2.5", "16.3.4", "14.2.1")
def test_the_log_of_a_failure_holds_no_link(app, client, reset_link, monkeypatch, caplog):
    def fail(stamp):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("app.auth.recover.User.by_stamp", fail)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    assert client.get(reset_link).status_code == 500
    assert "Exception on /auth/reset_password/<token> [GET]" in caplog.text
    assert reset_link.rpartition("/")[2] not in caplog.text


@pytest.mark.asvs("16.2.5")
def test_an_error_of_the_database_holds_no_parameters(app, alice):
    with app.app_context(), pytest.raises(DBAPIError) as error:
        db.session.execute(text("SELECT :secret FROM nowhere"), {"secret": "hunter2"})
    assert "hunter2" not in str(error.value)


@pytest.mark.asvs("7.4.4")
def test_a_signed_in_page_has_a_sign_out_button(browser, alice):
    browser.sign_in(alice, "correct horse battery staple")
    assert 'action="/auth/logout"' in browser.page.text
    assert NEW_PASSWORD not in browser.page.text


def test_health_needs_nothing(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("cut_off", [True, False])
def test_a_site_below_a_path_links_to_itself_whatever_its_proxy_passes_on(cut_off):
    app = create_app(type("Below", (Testing,), {"BASE_URL": "http://localhost/sub"}))
    client = app.test_client()
    path = "" if cut_off else "/sub"
    page = client.get(f"{path}/auth/login", headers={"X-Forwarded-Prefix": "//evil.example"})
    assert page.status_code == 200
    assert 'href="/sub/static/style.css' in page.text
    assert "evil" not in page.text
    assert client.get(f"{path}/auth/check_your_inbox").location == "/sub/auth/reset_password_request"
    with client.get(f"{path}/static/style.css") as stylesheet:
        assert stylesheet.status_code == 200


def test_errors_are_listed_in_the_order_of_the_fields(browser, alice, postman):
    """On every page with several of them."""
    browser.register("carol@example.com")
    browser.get(postman.link())
    browser.submit(name="", password="", password2="")
    in_order(browser.page.text)
    browser.sign_in(alice, "correct horse battery staple")
    for url in ("/account/email", "/account/password"):
        browser.fill(url)
        in_order(browser.page.text)


def in_order(page):
    listed = re.findall(r'<li><a href="#(\w+)">', page)
    assert len(listed) >= 2
    assert listed == [name for name in re.findall(r'<label for="(\w+)"', page) if name in listed]


def test_a_wait_is_never_said_to_be_shorter_than_it_is(app):
    said = {}
    with app.test_request_context():
        for seconds in (1, 59, 61, 89, 3600, 5000):
            said[seconds] = _when(TooManyRequests(retry_after=seconds))
    assert said == {
        1: "in 1 second",
        59: "in 59 seconds",
        61: "in 2 minutes",
        89: "in 2 minutes",
        3600: "in 1 hour",
        5000: "in 84 minutes",
    }


def test_help_is_a_link_also_where_the_setting_has_a_name(monkeypatch):
    app = create_app(type("Named", (Testing,), {"SUPPORT_EMAIL": "Help Desk <help@example.com>"}))
    assert 'href="mailto:help@example.com"' in app.test_client().get("/").text
    assert "Contact: mailto:help@example.com\n" in app.test_client().get("/.well-known/security.txt").text
