"""Another address for an account: proven by the new mailbox, told to the old one, which may take it back."""

from threading import Thread

import pytest
from sqlalchemy import update

from app import limits
from app.auth.models import EmailChange, User
from app.database import utcnow
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in
from tests.time_passing import pass_time

NEW = "alice@new.example"
DAY = 86_400


@pytest.fixture
def signed_in(browser, alice):
    browser.sign_in(alice, PASSWORD)
    return browser


@pytest.fixture
def ask(postman):
    """Asks for a change; the mails it caused, by the address they went to."""

    def ask(browser, new=NEW, password=PASSWORD):
        assert browser.fill("/account/email", email=new, current_password=password).status_code == 303
        return by_address(postman.deliver())

    return ask


@pytest.fixture
def undo_link(signed_in, ask, postman, alice):
    """The link in the old mailbox after the change was finished."""
    signed_in.fill(link_in(ask(signed_in)[NEW]))
    return link_in(by_address(postman.deliver())[alice], "undo_email_change/")


@pytest.fixture
def address(app):
    def read():
        with app.app_context():
            [user] = db.session.query(User).filter(User.name == "Alice")
            return user.email

    return read


def submitted_at_once(browsers):
    """The statuses of the forms that these browsers have open, sent in parallel."""
    statuses = []
    threads = [Thread(target=lambda b=browser: statuses.append(b.submit().status_code)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def by_address(messages):
    return {message.recipients[0]: message for message in messages}


def test_the_new_mailbox_proves_the_address(signed_in, ask, postman, address, alice):
    mails = ask(signed_in)
    assert set(mails) == {alice, NEW}
    assert "Nothing has changed yet." in mails[alice].body
    assert address() == alice
    signed_in.get(link_in(mails[NEW]))
    assert alice in signed_in.page.text
    assert NEW in signed_in.page.text
    assert address() == alice
    assert signed_in.submit().location == "/account"
    assert address() == NEW
    told = by_address(postman.deliver())
    assert set(told) == {alice, NEW}
    assert "undo_email_change" in told[alice].body
    assert "undo_email_change" not in told[NEW].body
    assert signed_in.is_signed_in
    signed_in.sign_out()
    assert signed_in.sign_in(alice, PASSWORD).status_code == 422
    assert signed_in.sign_in(NEW, PASSWORD).status_code == 303


def test_the_link_works_in_a_browser_that_is_not_signed_in(signed_in, other_browser, ask, address):
    other_browser.fill(link_in(ask(signed_in)[NEW]))
    assert address() == NEW
    assert not other_browser.is_signed_in
    assert signed_in.is_signed_in


def test_the_link_signs_out_somebody_else(signed_in, other_browser, ask, address, bob):
    other_browser.sign_in(bob, PASSWORD)
    other_browser.get(link_in(ask(signed_in)[NEW]))
    assert "You are signed in as bob@example.com" in other_browser.page.text
    other_browser.submit()
    assert address() == NEW
    assert not other_browser.is_signed_in


@pytest.mark.asvs("7.5.1")
def test_the_password_is_needed(signed_in, postman, address, alice):
    assert signed_in.fill("/account/email", email=NEW, current_password="wrong wrong wrong").status_code == 422
    assert postman.deliver() == []
    assert signed_in.fill("/account/email", email=alice.upper(), current_password=PASSWORD).status_code == 422
    assert "That is your address already." in signed_in.page.text


def test_a_taken_address_gets_the_same_answer_and_no_mail(signed_in, app, ask, address, alice, bob):
    free = signed_in.fill("/account/email", email=NEW, current_password=PASSWORD)
    free_page = signed_in.page.text
    taken = signed_in.fill("/account/email", email=bob, current_password=PASSWORD)
    assert (free.status_code, free.location) == (taken.status_code, taken.location)
    assert free_page.count("\n") == signed_in.page.text.count("\n")
    assert set(ask(signed_in, bob)) == {alice}


def test_an_address_taken_meanwhile_is_refused_on_a_page(signed_in, ask, add_user, address, alice):
    link = link_in(ask(signed_in)[NEW])
    add_user(NEW, "Mallory")
    signed_in.get(link)
    assert signed_in.submit().status_code == 410
    assert address() == alice


def test_a_link_works_once(signed_in, other_browser, ask, address):
    link = link_in(ask(signed_in)[NEW])
    signed_in.fill(link)
    assert other_browser.get(link).status_code == 410


def test_of_many_parallel_posts_one_changes_it(app, signed_in, ask, postman):
    link = link_in(ask(signed_in)[NEW])
    browsers = [Browser(app.test_client()) for _ in range(10)]
    for browser in browsers:
        browser.get(link)
    assert sorted(submitted_at_once(browsers)) == [303] + [410] * 9
    assert len(postman.deliver()) == 2


def test_a_link_lives_an_hour(clock, signed_in, ask):
    link = link_in(ask(signed_in)[NEW])
    clock.shift(3599)
    assert signed_in.get(link).status_code == 200
    clock.shift(1)
    assert signed_in.get(link).status_code == 410


@pytest.mark.parametrize("killer", ["a reset", "a new password", "not me", "a cancellation", "another change"])
def test_what_kills_a_pending_change(signed_in, other_browser, ask, postman, address, alice, killer):
    mails = ask(signed_in)
    if killer == "a reset":
        other_browser.ask_for_reset(alice)
        other_browser.reset(postman.link(), NEW_PASSWORD)
    elif killer == "a new password":
        new = {"password": NEW_PASSWORD, "password2": NEW_PASSWORD}
        signed_in.fill("/account/password", current_password=PASSWORD, **new)
    elif killer == "not me":
        other_browser.fill(link_in(mails[alice], "not_me/"))
    elif killer == "a cancellation":
        token = signed_in.get("/account/email").text.split('name="csrf_token" value="')[1].partition('"')[0]
        signed_in.client.post("/account/email/cancel", data={"csrf_token": token})
    else:
        ask(signed_in, "alice@third.example")
    assert other_browser.get(link_in(mails[NEW])).status_code == 410
    assert address() == alice


def test_two_changes_racing_end_with_the_address_whose_link_was_used(app, signed_in, ask, address, alice):
    thief = Browser(app.test_client())
    thief.sign_in(alice, PASSWORD)
    thiefs = link_in(ask(thief, "thief@evil.example")["thief@evil.example"])
    owners = link_in(ask(signed_in)[NEW])
    assert signed_in.get(owners).status_code == 200
    assert thief.get(thiefs).status_code == 410
    signed_in.fill(owners)
    assert address() == NEW


def test_reset_links_mailed_before_the_change_are_dead(signed_in, other_browser, ask, postman, alice):
    other_browser.ask_for_reset(alice)
    reset_link = postman.link()
    signed_in.fill(link_in(ask(signed_in)[NEW]))
    assert other_browser.get(reset_link).status_code == 410


def test_the_old_mailbox_takes_the_account_back(signed_in, other_browser, postman, undo_link, address, alice):
    postman.deliver()
    other_browser.get(undo_link)
    assert address() == NEW
    assert other_browser.submit().location == "/auth/check_your_inbox"
    assert address() == alice
    assert not signed_in.is_signed_in
    reset_link = link_in(by_address(postman.deliver())[alice])
    assert other_browser.reset(reset_link, NEW_PASSWORD).status_code == 303
    assert other_browser.sign_in(alice, NEW_PASSWORD).status_code == 303


def test_undoing_outlives_a_password_change_by_a_thief(signed_in, other_browser, undo_link, address, alice):
    new = {"password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    signed_in.fill("/account/password", current_password=PASSWORD, **new)
    assert other_browser.fill(undo_link).status_code == 303
    assert address() == alice


def test_undoing_voids_later_changes_and_their_undo_links(
    app, signed_in, other_browser, ask, postman, undo_link, address, alice
):
    third = "thief@evil.example"
    signed_in.fill(link_in(ask(signed_in, third)[third]))
    thiefs_undo = link_in(by_address(postman.deliver())[NEW], "undo_email_change/")
    assert address() == third
    pending = link_in(ask(signed_in, "more@evil.example")["more@evil.example"])
    other_browser.fill(undo_link)
    assert address() == alice
    for link in (thiefs_undo, pending, undo_link):
        assert Browser(app.test_client()).get(link).status_code == 410


def test_after_an_undo_no_password_opens_the_account_until_a_link_sets_one(
    signed_in, other_browser, undo_link, postman, alice
):
    new = {"password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    signed_in.fill("/account/password", current_password=PASSWORD, **new)  # a thief's
    postman.deliver()
    other_browser.fill(undo_link)
    for password in (PASSWORD, NEW_PASSWORD):
        assert signed_in.sign_in(alice, password).status_code == 422
    [reset] = [message for message in postman.deliver() if "reset_password/" in message.body]
    other_browser.reset(link_in(reset), PASSWORD)
    assert other_browser.sign_in(alice, PASSWORD).status_code == 303


def test_an_undo_is_told_to_the_address_it_displaces(other_browser, undo_link, postman):
    postman.deliver()
    other_browser.fill(undo_link)
    assert "took it back" in by_address(postman.deliver())[NEW].body


def test_going_back_by_an_ordinary_change_leaves_no_way_to_the_address_in_between(
    app, signed_in, ask, postman, undo_link, address, alice
):
    signed_in.fill(link_in(ask(signed_in, alice)[alice]))
    assert address() == alice
    assert "undo_email_change" not in "".join(message.body for message in postman.deliver())
    assert Browser(app.test_client()).get(undo_link).status_code == 410
    with app.app_context():
        assert {change.undone_at is not None for change in db.session.query(EmailChange)} == {True}


def test_the_former_address_is_told_when_the_account_is_deleted(signed_in, undo_link, postman, alice):
    signed_in.fill("/account/delete", current_password=PASSWORD)
    assert {message.recipients[0] for message in postman.deliver() if "deleted" in message.subject} == {alice, NEW}


def test_notices_of_a_change_go_to_nobody_once_the_account_is_disabled(app, signed_in, ask, postman):
    link = link_in(ask(signed_in)[NEW])
    signed_in.fill(link)
    with app.app_context():
        db.session.execute(update(User).values(disabled_at=utcnow()))
        db.session.commit()
    assert postman.deliver() == []


def test_a_limit_does_not_make_a_right_password_a_wrong_one(signed_in, app):
    statuses = [signed_in.fill("/account/email", email=NEW, current_password=PASSWORD).status_code for _ in range(9)]
    assert statuses == [303] * 3 + [429] * 6
    assert signed_in.fill("/account/email", email="x@else.example", current_password=PASSWORD).status_code == 303


def test_an_account_cannot_be_used_to_write_to_many_strangers(signed_in):
    statuses = [
        signed_in.fill("/account/email", email=f"n{n}@else.example", current_password=PASSWORD).status_code
        for n in range(8)
    ]
    assert statuses == [303] * 5 + [429] * 3


def test_the_reset_after_an_undo_is_not_held_back_by_a_complaint(app, signed_in, other_browser, ask, postman, alice):
    mails = ask(signed_in)
    signed_in.fill(link_in(mails[NEW]))
    undo = link_in(by_address(postman.deliver())[alice], "undo_email_change/")
    with app.app_context():
        limits.mark(limits.COMPLAINT, alice)
        limits.allows(limits.MAILS_SLOW, alice)
        db.session.commit()
    other_browser.fill(undo)
    assert any("reset_password/" in message.body for message in postman.deliver())


def test_a_later_undo_restores_the_address_it_was_mailed_to(signed_in, ask, postman, undo_link, address):
    third = "alice@third.example"
    signed_in.fill(link_in(ask(signed_in, third)[third]))
    signed_in.fill(link_in(by_address(postman.deliver())[NEW], "undo_email_change/"))
    assert address() == NEW


def test_an_undo_link_works_once_even_in_parallel(app, undo_link, postman):
    browsers = [Browser(app.test_client()) for _ in range(8)]
    for browser in browsers:
        browser.get(undo_link)
    assert sorted(submitted_at_once(browsers)) == [303] + [410] * 7
    assert len([message for message in postman.deliver() if "reset_password/" in message.body]) == 1


def test_it_can_be_undone_for_seven_days_from_the_change(app, browser, undo_link):
    def changed(days):
        with app.app_context():
            db.session.execute(update(EmailChange).values(used_at=utcnow() - days))
            db.session.commit()

    changed(EmailChange.UNDO * 0.999)
    assert browser.get(undo_link).status_code == 200
    changed(EmailChange.UNDO * 1.001)
    assert browser.get(undo_link).status_code == 410


def test_the_old_address_stays_reserved_while_it_can_be_undone(
    app, other_browser, ask, postman, undo_link, add_user, alice
):
    other_browser.register(alice)
    [message] = postman.deliver()
    assert "still" in message.body
    assert "/auth/register/" not in message.body.replace("/auth/register\n", "")
    add_user("mallory@evil.example", "Mallory")
    other_browser.sign_in("mallory@evil.example", PASSWORD)
    assert set(ask(other_browser, alice)) == {"mallory@evil.example"}
    with app.app_context():
        pass_time(DAY)  # for the rate of mails
        db.session.execute(update(EmailChange).values(used_at=utcnow() - EmailChange.UNDO))
        db.session.commit()
    other_browser.sign_out()
    other_browser.register(alice)
    assert "/auth/register/" in postman.link()


def test_the_owner_may_go_back_to_a_reserved_address(signed_in, ask, undo_link, address, alice):
    signed_in.fill(link_in(ask(signed_in, alice)[alice]))
    assert address() == alice


def test_a_deleted_account_leaves_no_link(signed_in, other_browser, undo_link):
    signed_in.fill("/account/delete", current_password=PASSWORD)
    assert other_browser.get(undo_link).status_code == 410


def test_a_disabled_account_is_not_taken_back(app, browser, undo_link):
    with app.app_context():
        db.session.execute(update(User).values(disabled_at=utcnow()))
        db.session.commit()
    assert browser.get(undo_link).status_code == 410


def test_the_waiting_change_is_shown_and_can_be_dropped(signed_in, ask):
    ask(signed_in)
    assert f"Waiting for {NEW} to be proven." in signed_in.get("/account/email").text
    assert f"Waiting for {NEW} to be proven." in signed_in.get("/account").text


def test_no_address_is_flooded_by_changes(app, alice):
    statuses = []
    browser = Browser(app.test_client())
    browser.sign_in(alice, PASSWORD)
    for _ in range(5):
        statuses.append(browser.fill("/account/email", email=NEW, current_password=PASSWORD).status_code)
    assert statuses == [303] * 3 + [429] * 2
