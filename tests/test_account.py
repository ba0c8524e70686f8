"""The account pages: what a person may see and change, and what nobody else may."""

import pytest
from sqlalchemy import func, select

from app.auth import access
from app.auth.models import SecurityEvent, User, UserSession
from app.email import OutboxMessage
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in

PAGES = ["", "/activity", "/profile", "/password", "/email", "/sessions", "/delete"]


@pytest.fixture
def signed_in(browser, alice):
    browser.sign_in(alice, PASSWORD)
    return browser


@pytest.fixture
def user(app):
    """Reads an account afresh."""

    def read(email="alice@example.com"):
        with app.app_context():
            return User.by_email(email)

    return read


def test_every_page_needs_a_sign_in_but_those_named(app, client):
    for rule in app.url_map.iter_rules():
        if rule.endpoint in access.PUBLIC:
            continue
        url = rule.rule.replace("<session_id>", "x")
        answer = client.get(url) if "GET" in rule.methods else client.post(url)
        if "GET" in rule.methods:
            assert answer.status_code == 303, url
            assert answer.location.startswith("/auth/login?next="), url
        else:
            assert answer.status_code in (303, 400), url  # without a CSRF token it is not even asked for


def test_no_name_on_the_public_list_is_stale(app):
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert {name for name in access.PUBLIC if not name.startswith("dev.")} <= endpoints


def test_after_signing_in_one_is_where_one_wanted_to_be(browser, alice):
    browser.get("/account/activity?page=1")
    assert browser.submit(email=alice, password=PASSWORD).location == "/account/activity?page=1"


@pytest.mark.parametrize("page", PAGES)
def test_every_account_page_shows_itself(signed_in, page):
    assert signed_in.get(f"/account{page}").status_code == 200
    assert signed_in.page.headers["Cache-Control"] == "no-store"


def test_the_overview_tells_what_there_is_to_know(signed_in):
    text = signed_in.get("/account").text
    for fact in ("Alice", "alice@example.com", "Set on", "On 1 device.", "Signed in", "Something looks wrong?"):
        assert fact in text


@pytest.mark.asvs("6.2.2", "7.2.4", "7.4.3")
def test_the_password_is_changed_and_every_other_device_is_signed_out(signed_in, other_browser, postman, user, alice):
    other_browser.sign_in(alice, PASSWORD)
    postman.deliver()
    before = signed_in.client.get_cookie("session").value
    answer = signed_in.fill(
        "/account/password", current_password=PASSWORD, password=NEW_PASSWORD, password2=NEW_PASSWORD
    )
    assert answer.location == "/account"
    assert signed_in.is_signed_in
    assert not other_browser.is_signed_in
    [message] = postman.deliver()
    assert "Your password for Rekey was changed" in message.subject
    other_browser.client.set_cookie("session", before)
    assert not other_browser.is_signed_in
    assert other_browser.sign_in(alice, NEW_PASSWORD).status_code == 303


def test_a_password_change_keeps_what_was_said_about_remembering(browser, app, alice):
    browser.sign_in(alice, PASSWORD, remember="y")
    browser.fill("/account/password", current_password=PASSWORD, password=NEW_PASSWORD, password2=NEW_PASSWORD)
    with app.app_context():
        [kept] = db.session.scalars(select(UserSession))
        assert kept.remember


@pytest.mark.asvs("6.2.3", "6.2.4", "2.2.3")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"current_password": "wrong wrong wrong"}, "That is not the password of this account."),
        ({"current_password": ""}, "Enter your present password."),
        ({"password": PASSWORD, "password2": PASSWORD}, "That is your present password."),
        ({"password": "short", "password2": "short"}, "Use at least 15 characters."),
        ({"password2": "something else entirely"}, "The two passwords differ."),
        ({"password": "alice@example.com 2026", "password2": "alice@example.com 2026"}, "too little is left"),
    ],
)
def test_a_refused_password_change_says_why_and_changes_nothing(signed_in, user, fields, words):
    before = user().password_hash
    good = {"current_password": PASSWORD, "password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    answer = signed_in.fill("/account/password", **good | fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert PASSWORD not in answer.text
    assert user().password_hash == before


@pytest.mark.asvs("6.3.1")
def test_guessing_the_present_password_slows_down_as_at_sign_in(signed_in):
    statuses = [signed_in.fill("/account/delete", current_password="wrong wrong wrong").status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


def test_a_reset_link_mailed_before_the_change_is_dead(signed_in, other_browser, postman, alice):
    other_browser.ask_for_reset(alice)
    link = postman.link()
    signed_in.fill("/account/password", current_password=PASSWORD, password=NEW_PASSWORD, password2=NEW_PASSWORD)
    assert other_browser.get(link).status_code == 410


def test_of_two_changes_at_once_the_second_finds_itself_signed_out(signed_in, other_browser, alice):
    other_browser.sign_in(alice, PASSWORD)
    other_browser.get("/account/password")
    signed_in.fill("/account/password", current_password=PASSWORD, password=NEW_PASSWORD, password2=NEW_PASSWORD)
    answer = other_browser.submit(current_password=PASSWORD, password="third " * 5, password2="third " * 5)
    assert answer.status_code == 303
    assert answer.location.startswith("/auth/login")


def test_password_managers_find_the_account_beside_the_passwords(signed_in):
    text = signed_in.get("/account/password").text
    assert 'autocomplete="username"' in text
    assert 'autocomplete="current-password"' in text
    assert text.count('autocomplete="new-password"') == 2
    answer = signed_in.client.get("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (303, "/account/password")


def test_name_and_time_zone_are_changed_and_used(signed_in, user):
    answer = signed_in.fill("/account/profile", name="Alicia Ω", locale="en", time_zone="Asia/Taipei")
    assert answer.status_code == 303
    found = user()
    assert (found.name, found.locale, found.time_zone) == ("Alicia Ω", "en", "Asia/Taipei")
    assert "GMT+08:00" in signed_in.get("/account").text
    assert "Alicia Ω" in signed_in.page.text


def test_mails_follow_the_readers_time_zone(signed_in, postman, alice):
    signed_in.fill("/account/profile", name="Alice", locale="", time_zone="America/Sao_Paulo")
    signed_in.ask_for_reset(alice)
    [message] = postman.deliver()
    assert "-03" in message.body


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Visit evil.example"},
        {"name": "a@b"},
        {"name": "http://x"},
        {"name": "x" * 65},
        {"name": "Al\u202eice"},
        {"locale": "xx"},
        {"locale": "../../etc"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../../etc/passwd"},
    ],
)
def test_hostile_names_languages_and_zones_are_refused(signed_in, user, fields):
    good = {"name": "Alice", "locale": "", "time_zone": ""}
    assert signed_in.fill("/account/profile", **good | fields).status_code == 422
    assert (user().name, user().locale, user().time_zone) == ("Alice", None, None)


@pytest.mark.parametrize("field", ["email", "id", "security_stamp", "password_hash", "disabled_at"])
def test_no_field_beyond_the_form_is_written(signed_in, user, field):
    before = getattr(user(), field)
    signed_in.get("/account/profile")
    signed_in.submit(name="Alice", locale="", time_zone="", **{field: "1"})
    assert getattr(user(), field) == before


def test_activity_is_in_plain_words_and_paged(app, signed_in, user):
    with app.app_context():
        for _ in range(45):
            SecurityEvent.add(user().id, "sign_in_refused", {"device": "Firefox (Linux)", "network": "192.0.2.1"})
        db.session.commit()
    text = signed_in.get("/account/activity").text
    assert text.count("Wrong password") == 20
    assert "page=2" in text
    assert "page=0" not in text
    text = signed_in.get("/account/activity?page=3").text
    assert "Signed in" in text
    assert "page=4" not in text


@pytest.mark.parametrize("page", ["0", "-1", "99999999999999999999"])
def test_a_page_that_is_none_is_not_found(signed_in, page):
    assert signed_in.get(f"/account/activity?page={page}").status_code == 404


@pytest.mark.asvs("8.2.2")
def test_nobody_sees_another_ones_activity(signed_in, other_browser, bob, alice):
    other_browser.sign_in(bob, PASSWORD)
    assert "203.0.113.5" not in other_browser.get("/account/activity").text
    assert other_browser.page.text.count("Signed in") == 1


def test_an_account_is_deleted_with_all_that_hangs_on_it(app, signed_in, other_browser, postman, alice):
    other_browser.sign_in(alice, PASSWORD)
    signed_in.ask_for_reset(alice)
    postman.deliver()
    answer = signed_in.fill("/account/delete", current_password=PASSWORD)
    assert answer.location == "/"
    assert "deleted" in signed_in.page.text
    [message] = postman.deliver()
    assert (message.recipients, message.subject) == ([alice], "Your Rekey account is deleted")
    assert not other_browser.is_signed_in
    assert signed_in.sign_in(alice, PASSWORD).status_code == 422
    with app.app_context():
        for table in (User, UserSession):
            assert db.session.scalar(select(func.count()).select_from(table)) == 0
        assert {row.args == {} for row in db.session.scalars(select(OutboxMessage))} == {True}


@pytest.mark.asvs("7.5.3")
def test_a_wrong_password_deletes_nothing(signed_in, user):
    assert signed_in.fill("/account/delete", current_password="wrong wrong wrong").status_code == 422
    assert user()


def test_a_deleted_address_registers_anew_and_its_old_links_stay_dead(signed_in, other_browser, postman, alice):
    other_browser.ask_for_reset(alice)
    [message] = postman.deliver()
    reset_link, not_me_link = link_in(message, "reset_password/"), link_in(message, "not_me/")
    signed_in.fill("/account/delete", current_password=PASSWORD)
    postman.deliver()
    other_browser.register(alice)
    other_browser.fill(postman.link(), name="Alice", password=NEW_PASSWORD, password2=NEW_PASSWORD)
    assert other_browser.sign_in(alice, NEW_PASSWORD).status_code == 303
    for link in (reset_link, not_me_link):
        assert other_browser.get(link).status_code == 410


def test_a_registration_link_from_before_the_account_stays_dead_after_its_end(browser, other_browser, postman):
    carol = "carol@example.com"
    browser.register(carol)
    old = postman.link()
    other_browser.register(carol)
    other_browser.fill(postman.link(), name="Carol", password=PASSWORD, password2=PASSWORD)
    other_browser.sign_in(carol, PASSWORD)
    other_browser.fill("/account/delete", current_password=PASSWORD)
    assert browser.get(old).status_code == 410


def test_a_session_that_ended_meanwhile_changes_nothing(signed_in, other_browser, user, alice):
    for page in ("/account/profile", "/account/password", "/account/email", "/account/delete"):
        signed_in.get(page)
        with signed_in.client.application.app_context():
            db.session.execute(UserSession.__table__.delete())
            db.session.commit()
        answer = signed_in.submit(
            name="Eve", current_password=PASSWORD, email="eve@evil.example", locale="", time_zone=""
        )
        assert answer.status_code == 303
        assert answer.location.startswith("/auth/login")
        signed_in.sign_in(alice, PASSWORD)
    assert user().name == "Alice"


@pytest.mark.parametrize("page", ["/account/delete", "/account/password", "/account/email"])
def test_a_session_that_ends_while_the_password_is_checked_changes_nothing(app, signed_in, monkeypatch, user, page):
    before = user().password_hash

    def slow(*args):
        with app.app_context():
            db.session.execute(UserSession.__table__.delete())
            db.session.commit()
        return True

    signed_in.get(page)
    monkeypatch.setattr("app.auth.sign_in.verify_password", slow)
    fields = {
        "current_password": PASSWORD,
        "password": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
        "email": "e@evil.example",
    }
    answer = signed_in.submit(**fields)
    assert answer.status_code == 303
    assert answer.location.startswith("/auth/login")
    assert user().password_hash == before


def test_an_account_deleted_while_its_password_is_checked_leads_to_sign_in(app, signed_in, monkeypatch):
    def slow(*args):
        with app.app_context():
            db.session.execute(User.__table__.delete())
            db.session.commit()
        return True

    signed_in.get("/account/email")
    monkeypatch.setattr("app.auth.sign_in.verify_password", slow)
    assert signed_in.submit(current_password=PASSWORD, email="e@evil.example").status_code in (303, 422)
