"""What an account's page, form and password may and may not do."""

import pytest
from flask_migrate import upgrade
from sqlalchemy import select

from app import create_app
from app.auth import tokens
from app.auth.models import User
from app.extensions import db
from config import Testing
from tests.conftest import PASSWORD


def reset_link_of(app, email):
    """Without the mail."""
    with app.app_context():
        return f"/auth/reset_password/{tokens.issue('reset_password', User.by_email(email).security_stamp)}"


@pytest.mark.asvs("15.3.1", "14.2.6")
def test_no_page_shows_what_else_the_site_knows_of_an_account(browser, app, alice):
    with app.app_context():
        user = User.by_email(alice)
        hidden = [user.password_hash, user.security_stamp]
    browser.sign_in(alice, PASSWORD)
    browser.get(reset_link_of(app, alice))
    pages = [
        browser.page.text,
        *(browser.get(path).text for path in ("/", "/auth/login", "/auth/register", "/nothing")),
    ]
    assert not [text for text in hidden for page in pages if text in page]


@pytest.mark.asvs("14.2.6")
def test_a_dead_link_tells_nothing_about_the_account_it_was_for(browser, app, alice):
    link = reset_link_of(app, alice)
    with app.app_context():
        assert User.by_email(alice).void_links()
        db.session.commit()
    assert browser.get(link).status_code == 410
    assert alice not in browser.page.text
    assert "Alice" not in browser.page.text


@pytest.mark.asvs("6.2.6", "6.2.7")
@pytest.mark.parametrize("path", ["/auth/login", "/auth/reset_password"])
def test_a_password_is_masked_can_be_pasted_and_is_never_sent_back(browser, app, alice, path):
    browser.get(reset_link_of(app, alice))
    browser.fill(path, email="nobody", password="typed once", password2="typed twice")
    fields = {name: field for name, field in browser.form.inputs.items() if "password" in name}
    assert fields
    for field in fields.values():
        assert field["type"] == "password"
        assert field["autocomplete"] in ("current-password", "new-password")
        assert not field.get("value")
        assert not {"onpaste", "oncopy", "readonly", "maxlength"} & {name for name, value in field.items() if value}
    assert "typed once" not in browser.page.text


@pytest.mark.asvs("6.4.2", "15.3.3")
def test_no_form_asks_for_more_than_it_needs(browser, app, alice):
    asked = {"csrf_token", "link", "email", "password", "password2", "remember", "submit"}
    browser.get(reset_link_of(app, alice))
    for path in ["/auth/login", "/auth/register", "/auth/reset_password_request", "/auth/reset_password"]:
        browser.get(path)
        assert set(browser.form.inputs) <= asked


@pytest.mark.asvs("15.3.3", "8.2.3")
def test_fields_that_no_form_has_change_nothing(browser, app, alice, bob):
    def columns(email):
        with app.app_context():
            user = User.by_email(email)
            return {column: getattr(user, column) for column in ("id", "email", "name", "created_at", "disabled_at")}

    before, others = columns(alice), columns(bob)
    browser.get(reset_link_of(app, alice))
    extra = {"id": "1", "user_id": "2", "email": bob, "name": "Mallory", "disabled_at": "now", "created_at": "now"}
    new = "an entirely new phrase"
    assert (
        browser.submit(password=new, password2=new, security_stamp="x", password_hash="x", **extra).status_code == 303
    )
    assert (columns(alice), columns(bob)) == (before, others)
    assert browser.sign_in(alice, new).status_code == 303


@pytest.mark.asvs("6.2.10")
def test_a_password_does_not_grow_old(clock, browser, alice):
    clock.shift(10 * 365 * 86_400)
    assert browser.sign_in(alice, PASSWORD).status_code == 303
    assert "Hello Alice" in browser.page.text


LISTED = {
    "passwordpassword": "tried first",
    "aaaaaaaaaaaaaaaaaaaa": "too little is left",
    "alice example com": "too little is left",
}


@pytest.mark.asvs("6.2.4", "6.2.11", "6.2.12")
@pytest.mark.parametrize("password", LISTED)
def test_a_listed_password_is_refused_with_the_reason_when_it_is_reset(browser, reset_link, password):
    assert browser.reset(reset_link, password).status_code == 422
    assert LISTED[password] in browser.page.text


@pytest.mark.asvs("6.2.4", "6.2.11", "6.2.12")
@pytest.mark.parametrize("password", LISTED)
def test_a_listed_password_is_refused_with_the_reason_when_an_account_is_made(browser, postman, password):
    browser.register("alice@example.com")
    browser.get(postman.link())
    assert browser.submit(name="Alice", password=password, password2=password).status_code == 422
    assert LISTED[password] in browser.page.text


@pytest.mark.asvs("6.3.2")
def test_a_new_database_holds_no_account(make_database):
    settings = {"DATABASE_URL": make_database("empty")}
    app = create_app(type("Fresh", (Testing,), settings))
    with app.app_context():
        upgrade()
        rows = [row for table in db.metadata.sorted_tables for row in db.session.execute(select(table))]
        db.session.rollback()
        db.engine.dispose()
    assert rows == []
