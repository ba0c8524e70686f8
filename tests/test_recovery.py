"""The main job: a forgotten password is recovered by mail."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from app.auth import recover
from app.auth.models import SecurityEvent, User, UserSession
from app.auth.passwords import hash_password
from app.auth.sign_in import authenticate
from app.email import OutboxMessage
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in

NOBODY = {"device": "", "network": ""}


@pytest.mark.asvs("6.4.3", "7.6.2")
def test_a_forgotten_password_is_recovered_by_mail(browser, postman, alice):
    browser.get("/auth/login")
    assert 'href="/auth/reset_password_request"' in browser.page.text

    assert browser.ask_for_reset(alice).location == "/auth/check_your_inbox"
    link = postman.link()
    assert browser.reset(link, NEW_PASSWORD).location == "/auth/login"
    assert "Your password has been changed" in browser.page.text

    assert not browser.is_signed_in
    assert browser.sign_in(alice, PASSWORD).status_code == 422
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303
    assert browser.is_signed_in


@pytest.mark.asvs("6.3.8")
def test_known_and_unknown_addresses_get_the_same_answer(app, client, alice):
    def ask(address):
        browser = Browser(app.test_client())
        answer = browser.ask_for_reset(address)
        page = re.sub(r'(name="csrf_token" value=)"[^"]+"', r"\1", browser.page.text.replace(address, "ADDRESS"))
        reference = page.partition('class="reference">')[2].partition("<")[0]
        return answer.status_code, answer.location, sorted(answer.headers.keys()), page.replace(reference, "REFERENCE")

    assert ask(alice) == ask("nobody@example.com")


def test_an_unknown_address_gets_no_mail(app, browser, postman):
    browser.ask_for_reset("nobody@example.com")
    assert postman.deliver() == []
    with app.app_context():
        assert db.session.scalar(select(OutboxMessage.outcome)) == "nobody"


def test_a_disabled_account_gets_no_mail(app, browser, postman, alice):
    with app.app_context():
        db.session.execute(update(User).values(disabled_at=func.current_timestamp()))
        db.session.commit()
    browser.ask_for_reset(alice)
    assert postman.deliver() == []


@pytest.mark.asvs("1.5.3")
def test_the_mail_goes_to_the_stored_spelling_of_the_address(browser, postman, add_user):
    add_user("Carol@Example.com")
    browser.ask_for_reset("cAROL@example.COM")
    [message] = postman.deliver()
    assert message.recipients == ["Carol@Example.com"]


def test_spaces_around_the_address_are_forgiven(browser, postman, alice):
    browser.ask_for_reset(f"  {alice} ")
    assert postman.link()


@pytest.mark.asvs("14.2.1")
def test_the_link_leaves_the_address_bar(client, reset_link):
    answer = client.get(reset_link)
    assert (answer.status_code, answer.location) == (303, "/auth/reset_password")


def test_the_page_names_the_account(browser, reset_link, alice):
    browser.get(reset_link)
    assert f'value="{alice}" autocomplete="username"' in browser.page.text


@pytest.mark.asvs("3.5.3")
def test_opening_a_link_uses_nothing_up(app, reset_link, browser):
    scanner = app.test_client()
    for _ in range(20):
        scanner.get(reset_link, follow_redirects=True)
        scanner.head(reset_link, headers={"Purpose": "prefetch"})
    assert browser.reset(reset_link, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.5.1")
def test_a_link_works_once(browser, other_browser, reset_link, alice):
    browser.reset(reset_link, NEW_PASSWORD)
    page = other_browser.get(reset_link)
    assert page.status_code == 410
    assert other_browser.heading == "This link is no longer good"
    assert 'href="/auth/reset_password_request"' in page.text


def test_a_used_link_is_refused_before_it_is_opened(client, browser, reset_link):
    browser.reset(reset_link, NEW_PASSWORD)
    assert client.get(reset_link).status_code == 410


@pytest.mark.asvs("8.3.2")
def test_a_disabled_account_cannot_be_given_a_password(app, alice):
    with app.app_context():
        user = User.by_email(alice)
        db.session.execute(update(User).values(disabled_at=func.current_timestamp()))
        assert not user.change_password("a hash")


def test_a_form_opened_before_the_link_was_used_is_refused(browser, other_browser, reset_link, alice):
    other_browser.get(reset_link)
    browser.reset(reset_link, NEW_PASSWORD)
    assert (
        other_browser.submit(password="something else entirely", password2="something else entirely").status_code == 410
    )
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("2.3.4", "15.4.2")
def test_of_fifty_parallel_posts_one_wins(app, browser, postman, reset_link, alice):
    def form_of(number):
        rival = Browser(app.test_client())
        rival.get(reset_link)
        return rival, f"password of browser number {number}"

    def post(rival, password):
        return rival.submit(password=password, password2=password).status_code, password

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda arguments: post(*arguments), [form_of(number) for number in range(50)]))

    winners = [password for status, password in results if status == 303]
    assert len(winners) == 1
    assert {status for status, _ in results} == {303, 410}
    assert browser.sign_in(alice, winners[0]).status_code == 303
    assert [message.subject for message in postman.deliver()] == ["Your password for Rekey was changed"]


def test_no_transaction_is_open_while_the_password_is_hashed(browser, reset_link, monkeypatch):
    def hash_slowly(password):
        assert not db.session().in_transaction()
        return hash_password(password)

    monkeypatch.setattr(recover, "hash_password", hash_slowly)
    assert browser.reset(reset_link, NEW_PASSWORD).status_code == 303


def test_two_links_are_both_good_until_one_is_used(browser, other_browser, postman, alice):
    browser.ask_for_reset(alice)
    first = postman.link()
    browser.ask_for_reset(alice)
    second = postman.link()

    assert browser.get(second).status_code == 200
    assert other_browser.reset(first, NEW_PASSWORD).status_code == 303
    assert browser.get(second).status_code == 410


@pytest.mark.asvs("2.2.3", "8.2.2")
def test_two_tabs_with_two_links_never_change_the_wrong_account(browser, postman, alice, bob):
    browser.ask_for_reset(alice)
    link_of_alice = postman.link()
    browser.ask_for_reset(bob)
    link_of_bob = postman.link()

    tab_of_alice = browser.get(link_of_alice)
    browser.get(link_of_bob)
    browser.page = tab_of_alice
    assert browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 422
    assert "You have opened another link since" in browser.page.text
    assert bob in browser.page.text
    assert browser.sign_in(bob, PASSWORD).status_code == 303


@pytest.mark.asvs("6.5.1")
def test_a_link_dies_with_any_password_change(app, browser, reset_link, alice):
    with app.app_context():
        User.by_email(alice).change_password("another hash")
        db.session.commit()
    assert browser.get(reset_link).status_code == 410


@pytest.mark.asvs("7.4.3")
def test_a_reset_ends_every_session(app, browser, reset_link, alice):
    devices = [Browser(app.test_client()) for _ in range(3)]
    for device in devices:
        device.sign_in(alice, PASSWORD)
    browser.reset(reset_link, NEW_PASSWORD)
    assert [device.is_signed_in for device in devices] == [False, False, False]


@pytest.mark.asvs("7.4.3", "15.4.2")
def test_a_sign_in_that_raced_a_reset_does_not_survive_it(app, browser, reset_link, alice):
    with app.test_request_context():
        user = authenticate(alice, PASSWORD)  # the old password is verified ...
    browser.reset(reset_link, NEW_PASSWORD)
    with app.app_context():
        token = UserSession.start(user, NOBODY, remember=False)  # ... and the session begins after the reset
        db.session.commit()
        assert UserSession.find(token) is None


def test_a_link_works_for_somebody_signed_in(browser, reset_link, alice):
    browser.sign_in(alice, PASSWORD)
    browser.reset(reset_link, NEW_PASSWORD)
    assert not browser.is_signed_in
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("8.2.2")
def test_the_link_wins_over_another_account_that_is_signed_in(browser, other_browser, reset_link, alice, bob):
    browser.sign_in(bob, PASSWORD)
    cookie = browser.client.get_cookie("session").value
    browser.get(reset_link)
    assert "You are signed in as bob@example.com" in browser.page.text
    assert browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 303

    other_browser.client.set_cookie("session", cookie)
    assert not other_browser.is_signed_in
    assert other_browser.sign_in(bob, PASSWORD).status_code == 303


@pytest.mark.asvs("2.2.3")
def test_a_refused_password_does_not_use_the_link_up(browser, reset_link):
    assert browser.reset(reset_link, "short").status_code == 422
    assert "Use at least 15 characters" in browser.page.text
    assert browser.submit(password=NEW_PASSWORD, password2="not the same at all").status_code == 422
    assert "The two passwords differ." in browser.page.text
    assert browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("9.2.1", "6.5.5")
@pytest.mark.parametrize(("seconds", "status"), [(3599, 200), (3600, 410), (3601, 410)])
def test_a_link_lives_an_hour_to_the_second(clock, browser, reset_link, seconds, status):
    clock.shift(seconds)
    assert browser.get(reset_link).status_code == status


def test_an_expired_link_says_so(clock, browser, reset_link):
    clock.shift(3600)
    browser.get(reset_link)
    assert browser.heading == "This link has expired"
    assert 'href="/auth/reset_password_request"' in browser.page.text


@pytest.mark.parametrize(("seconds", "status"), [(899, 303), (900, 410)])
def test_a_link_opened_in_time_may_be_finished_within_fifteen_minutes(clock, browser, reset_link, seconds, status):
    clock.shift(3599)
    browser.get(reset_link)
    clock.shift(seconds)
    assert browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == status


def test_the_page_about_the_inbox_without_a_request_leads_to_one(client):
    answer = client.get("/auth/check_your_inbox")
    assert (answer.status_code, answer.location) == (303, "/auth/reset_password_request")


@pytest.mark.parametrize("password", ["alice@example.com", "Alice Alice Alice Alice"])
def test_a_password_made_of_name_or_address_is_refused(browser, reset_link, password):
    assert browser.reset(reset_link, password).status_code == 422


def test_the_form_without_a_link_explains_itself(browser, client):
    assert browser.get("/auth/reset_password").status_code == 404
    assert browser.heading == "Please open the link in your mail"


@pytest.mark.asvs("2.3.1")
def test_a_password_cannot_be_set_without_a_link(app, browser, alice):
    browser.get("/auth/reset_password_request")
    token = browser.form.fields["csrf_token"]
    answer = browser.client.post(
        "/auth/reset_password", data={"csrf_token": token, "password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    )
    assert answer.status_code == 404
    assert browser.sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("6.3.7")
def test_the_owner_is_told_of_the_change(browser, postman, reset_link, alice):
    browser.reset(reset_link, NEW_PASSWORD)
    [notice] = postman.deliver()
    assert notice.subject == "Your password for Rekey was changed"
    assert notice.recipients == [alice]
    assert "Firefox (Linux), network 127.0.0.1" in notice.body
    assert link_in(notice) == "http://localhost/auth/reset_password_request"


@pytest.mark.asvs("6.3.7")
def test_a_thief_who_changes_the_address_is_not_the_one_to_be_told(app, browser, postman, reset_link, alice):
    browser.reset(reset_link, NEW_PASSWORD)
    with app.app_context():
        db.session.execute(update(User).values(email="thief@example.com", email_key="thief@example.com"))
        db.session.commit()
    [notice] = postman.deliver()
    assert notice.recipients == [alice]


@pytest.mark.asvs("16.3.1")
def test_asking_and_resetting_are_recorded(app, browser, reset_link):
    browser.reset(reset_link, NEW_PASSWORD)
    with app.app_context():
        assert db.session.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)).all() == [
            "reset_asked",
            "password_reset",
        ]


def test_a_link_never_takes_its_host_from_the_request(app, client, postman, alice):
    for header in ({"Host": "127.0.0.1:666"}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}):
        browser = Browser(app.test_client())
        browser.get("/auth/reset_password_request")
        form = {"email": alice, "csrf_token": browser.form.fields["csrf_token"]}
        cookie = f"session={browser.client.get_cookie('session').value}"
        visitor = app.test_client(use_cookies=False)
        answer = visitor.post("/auth/reset_password_request", data=form, headers={"Cookie": cookie} | header)
        assert answer.status_code == 303
        [message] = postman.deliver()
        assert "evil" not in message.as_bytes().decode()
        assert "666" not in message.body


@pytest.mark.asvs("6.5.2", "11.7.2")
def test_no_link_or_token_is_at_rest(app, browser, postman, alice):
    browser.ask_for_reset(alice)
    link = postman.link()
    with app.app_context():
        row = db.session.scalars(select(OutboxMessage)).one()
        assert row.args == {}
        assert alice not in str(vars(row))
        assert link.rpartition("/")[2] not in str(vars(row))


def test_someone_without_a_password_gets_one_by_reset(app, browser, postman, alice):
    with app.app_context():
        db.session.execute(update(User).values(password_hash=None))
        db.session.commit()
    assert browser.sign_in(alice, PASSWORD).status_code == 422
    browser.ask_for_reset(alice)
    browser.reset(postman.link(), NEW_PASSWORD)
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303
