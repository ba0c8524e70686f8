"""MAIL_DELIVERY=off: nothing is mailed, and whoever runs the site hands the links out."""

import json
import re

import pytest
from sqlalchemy import func, select, update

from app.database import db_now
from app.email import OutboxMessage
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD

CLAIM = re.compile(r"on its way|check your inbox|we send|was mailed|spam|mail brings|in your mail\b", re.IGNORECASE)


@pytest.fixture(autouse=True)
def off(app, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_DELIVERY", "off")
    monkeypatch.setitem(app.config, "SUPPORT_EMAIL", "help@example.com")


@pytest.fixture
def run(runner):
    def run(*args, status=0):
        result = runner.invoke(args=list(args))
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def waiting(run):
    return lambda: json.loads(run("users", "waiting", "--json").stdout)["waiting"]


@pytest.fixture
def rows(app):
    def rows():
        with app.app_context():
            return db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()

    return rows


def test_somebody_without_mail_gets_back_in(browser, run, waiting, rows, alice):
    browser.get("/auth/reset_password_request")
    assert "help@example.com" in browser.page.text
    assert browser.submit(email="Alice@example.com").location == "/auth/check_your_inbox"
    assert browser.heading == "Your request is on the list"
    assert "mailto:help@example.com" in browser.page.text
    reference = re.search(r'class="reference">([^<]+)<', browser.page.text).group(1)

    [person] = waiting()
    assert (person["email"], person["account"], person["reference"]) == ("Alice@example.com", "active", reference)
    assert person["device"] == "Firefox (Linux)"
    result = run("users", "reset-link", alice)
    assert "off the list" in result.stderr
    assert waiting() == []
    [row] = rows()
    assert (row.outcome, row.args) == ("answered", {})
    assert browser.reset(result.stdout.strip(), NEW_PASSWORD).status_code == 303
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


def test_without_an_address_of_support_whoever_runs_the_site_is_to_be_asked(app, browser, monkeypatch):
    monkeypatch.setitem(app.config, "SUPPORT_EMAIL", "")
    for path in ("/auth/reset_password_request", "/auth/register"):
        assert "Ask whoever runs this site" in browser.get(path).text
    browser.ask_for_reset("alice@example.com")
    assert "Ask whoever runs this site" in browser.page.text


def test_no_page_tells_who_has_an_account(browser, other_browser, alice):
    pages = []
    for visitor, email in ((browser, alice), (other_browser, "nobody@example.com")):
        visitor.ask_for_reset(email)
        page = re.sub(r'class="reference">[^<]+<', "", visitor.page.text).replace(email, "")
        pages.append(re.sub(r'value="[^"]+"', "", page))
    assert pages[0] == pages[1]


def test_no_page_claims_that_a_mail_leaves(browser, other_browser, alice):
    for path in ("/", "/auth/login", "/auth/register", "/auth/reset_password_request", "/auth/reset_password"):
        assert not CLAIM.search(browser.get(path).text), path
    browser.ask_for_reset(alice)
    assert not CLAIM.search(browser.page.text)
    other_browser.sign_in(alice, PASSWORD)
    for path in ("/", "/account", "/account/email", "/account/password", "/account/delete"):
        assert not CLAIM.search(other_browser.get(path).text), path


def test_an_expired_link_leads_to_the_list(browser, run, clock, alice):
    link = run("users", "reset-link", alice).stdout.strip()
    clock.shift(3700)
    assert browser.get(link).status_code == 410
    assert not CLAIM.search(browser.page.text)
    assert "/auth/reset_password_request" in browser.page.text


def test_accounts_are_made_by_the_operator_and_registering_says_so(browser, rows):
    page = browser.get("/auth/register")
    assert "Accounts on this site are created by whoever runs it." in page.text
    assert browser.form.fields == {}
    browser.get("/auth/reset_password_request")
    fields = browser.form.fields | {"email": "carol@example.com"}
    assert browser.client.post("/auth/register", data=fields).status_code == 422
    assert rows() == []


def test_an_address_stays_because_a_new_one_cannot_be_proven(browser, rows, alice):
    browser.sign_in(alice, PASSWORD)
    browser.get("/account/profile")
    fields = browser.form.fields | {"email": "eve@example.com", "current_password": PASSWORD}
    assert "the present one stays" in browser.get("/account/email").text
    assert browser.client.post("/account/email", data=fields).status_code == 422
    assert rows() == []


def test_notices_that_nobody_would_read_are_not_kept(browser, other_browser, rows, alice):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(alice, PASSWORD)
    fields = {"current_password": PASSWORD, "password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert browser.fill("/account/password", **fields).status_code == 303
    assert rows() == []


def test_everybody_is_listed_once_the_last_to_ask_first(browser, run, waiting, alice, bob):
    for email in (alice, bob, "nobody@example.com", "ALICE@example.com"):
        browser.ask_for_reset(email)
    assert [(person["email"], person["account"]) for person in waiting()] == [
        ("ALICE@example.com", "active"),
        ("nobody@example.com", "none"),
        (bob, "active"),
    ]
    run("users", "disable", bob)
    assert re.search(r"^bob@example.com +account: disabled", run("users", "waiting").stdout, re.MULTILINE)
    run("users", "reset-link", alice)  # both of her requests
    assert len(waiting()) == 2
    assert "no active account" in run("users", "reset-link", bob, status=1).output


def test_nobody_waiting_is_said(run):
    assert run("users", "waiting").stderr == "Nobody.\n"


def test_requests_leave_the_list_after_six_hours_and_are_purged(app, browser, run, waiting, rows, alice):
    browser.ask_for_reset(alice)
    with app.app_context():
        db.session.execute(update(OutboxMessage).values(expires_at=db_now(-1)))
        db.session.commit()
    assert waiting() == []
    run("outbox", "purge")
    assert rows() == []


def test_the_operator_sees_the_request_in_the_outbox_too(browser, run, alice):
    browser.ask_for_reset(alice)
    assert "reset_password" in run("outbox", "list", "--state", "due").stdout
    run("users", "reset-link", alice)
    assert json.loads(run("outbox", "status", "--json").stdout)["answered"] == 1
    assert "answered: the operator has printed a link" in run("outbox", "trace", alice).stdout
    assert run("outbox", "status", "--check").stdout == "MAIL_DELIVERY is off: no mail is to leave.\n"


def test_where_mail_leaves_a_link_from_the_operator_keeps_no_promise_back(
    app, browser, run, postman, monkeypatch, alice
):
    monkeypatch.setitem(app.config, "MAIL_DELIVERY", "worker")
    browser.ask_for_reset(alice)
    assert run("users", "reset-link", alice).stderr == ""
    assert len(postman.deliver()) == 1
    with app.app_context():
        assert db.session.scalar(select(func.count()).where(OutboxMessage.outcome == "sent")) == 1
