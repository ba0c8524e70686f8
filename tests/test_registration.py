"""An account is created once its address is proven, and not before."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.auth.models import User
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD

CAROL = "carol@example.com"
CHOICE = {"name": "Carol", "password": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def link(browser, postman):
    browser.register(CAROL)
    return postman.link()


def count_users(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(User))


def test_a_person_registers_by_proving_an_address(browser, postman):
    assert browser.register(CAROL).location == "/auth/check_your_inbox"
    assert browser.get(postman.link()).status_code == 200
    assert browser.page.request.path == "/auth/register/finish"
    assert browser.submit(**CHOICE).location == "/auth/login"
    assert "Your account is ready" in browser.page.text

    assert not browser.is_signed_in
    browser.sign_in(CAROL, PASSWORD)
    assert "Hello Carol" in browser.page.text


@pytest.mark.asvs("2.3.1", "6.4.1")
def test_there_is_no_account_before_the_link_is_followed(app, browser, postman):
    browser.register(CAROL)
    postman.deliver()
    assert count_users(app) == 0


@pytest.mark.asvs("6.3.8")
def test_a_taken_address_gets_the_same_answer_and_another_mail(app, browser, postman, alice):
    def ask(address):
        browser = Browser(app.test_client())
        answer = browser.register(address)
        page = re.sub(r'(name="csrf_token" value=)"[^"]+"', r"\1", browser.page.text.replace(address, "ADDRESS"))
        reference = page.partition('class="reference">')[2].partition("<")[0]
        return answer.status_code, answer.location, sorted(answer.headers.keys()), page.replace(reference, "REFERENCE")

    assert ask(alice) == ask(CAROL)
    subjects = {message.recipients[0]: message.subject for message in postman.deliver()}
    assert subjects == {
        alice: "You have an account at Rekey already",
        CAROL: "Finish your account at Rekey",
    }


@pytest.mark.asvs("3.5.3")
def test_opening_the_link_creates_nothing(app, client, link):
    client.get(link, follow_redirects=True)
    client.head(link)
    assert count_users(app) == 0


@pytest.mark.asvs("6.4.1", "6.5.1")
def test_a_link_makes_one_account(browser, other_browser, link):
    browser.fill(link, **CHOICE)
    page = other_browser.get(link)
    assert page.status_code == 410
    assert "You have an account and forgot the password?" in page.text


@pytest.mark.asvs("2.3.4", "15.4.2")
def test_of_many_parallel_posts_one_makes_the_account(app, link):
    def form():
        rival = Browser(app.test_client())
        rival.get(link)
        return rival

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda rival: rival.submit(**CHOICE).status_code, [form() for _ in range(20)]))
    assert statuses.count(303) == 1
    assert set(statuses) == {303, 410}
    assert count_users(app) == 1


def test_two_links_for_one_address_make_one_account(app, browser, other_browser, postman, link):
    browser.register("CAROL@example.com")
    second = postman.link()
    other_browser.get(second)
    assert browser.fill(link, **CHOICE).status_code == 303
    assert other_browser.submit(**CHOICE).status_code == 410
    assert count_users(app) == 1


def test_the_link_is_dead_once_the_operator_made_the_account(browser, add_user, link):
    browser.get(link)
    add_user(CAROL)
    assert browser.submit(**CHOICE).status_code == 410


@pytest.mark.asvs("2.2.2")
def test_a_refused_form_keeps_what_was_typed_but_passwords(browser, link):
    answer = browser.fill(link, name="Carol", password=PASSWORD, password2=NEW_PASSWORD)
    assert answer.status_code == 422
    assert browser.title.startswith("Error: ")
    assert browser.form.fields["name"] == "Carol"
    assert browser.form.fields["password"] == browser.form.fields["password2"] == ""


@pytest.mark.asvs("1.3.3", "2.2.1")
@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "Car\tol", "Car\u202eol"])
def test_a_name_that_is_none_is_refused(app, browser, link, name):
    assert browser.fill(link, **CHOICE | {"name": name}).status_code == 422
    assert count_users(app) == 0


@pytest.mark.asvs("6.4.1", "9.2.1")
@pytest.mark.parametrize(("seconds", "status"), [(86_399, 200), (86_400, 410)])
def test_the_link_lives_a_day(clock, browser, link, seconds, status):
    clock.shift(seconds)
    assert browser.get(link).status_code == status


def test_a_retried_mail_opens_the_same_registration(app, browser, postman):
    """The composer runs once for every try; the second must not invalidate or double the first."""
    from app.auth.emails import register
    from app.auth.models import Registration
    from app.email import OutboxMessage

    browser.register(CAROL)
    with app.app_context():
        row = db.session.scalars(select(OutboxMessage)).one()
        first, second = register(row).context["link"], register(row).context["link"]
        db.session.commit()
        assert first.split(".")[0] == second.split(".")[0]
        assert db.session.scalar(select(func.count()).select_from(Registration)) == 1
