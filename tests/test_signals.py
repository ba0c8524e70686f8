"""The signals of account events: sent after the commit, once, with what a receiver needs and nothing secret."""

import pytest
from sqlalchemy import func, select

from app import signals
from app.auth.events import WORDS
from app.auth.models import User
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD


@pytest.fixture
def heard(app):
    """The names of the signals that were sent, in order, with their facts."""
    sent = []
    receivers = []
    for signal in {*signals.OF_KIND.values(), signals.mail_sent, signals.mail_failed, signals.limit_reached}:

        def receive(sender, name=signal.name, **facts):
            assert sender is app
            sent.append((name, facts))

        signal.connect(receive)
        receivers.append((signal, receive))
    yield sent
    for signal, receive in receivers:
        signal.disconnect(receive)


def names(heard):
    return [name for name, _ in heard]


def test_the_way_of_an_account_is_heard(browser, postman, heard):
    browser.register("zoe@example.com")
    browser.fill(postman.link(), name="Zoe", password=PASSWORD, password2=PASSWORD)
    browser.sign_in("zoe@example.com", "a wrong password of some length")
    browser.sign_in("zoe@example.com", PASSWORD)
    browser.fill("/account/password", current_password=PASSWORD, password=NEW_PASSWORD, password2=NEW_PASSWORD)
    browser.fill("/account/delete", current_password=NEW_PASSWORD)
    wanted = ["registration_asked", "mail_sent", "registered", "sign_in_failed", "signed_in", "password_changed"]
    assert names(heard) == [*wanted, "account_deleted"]
    assert len({facts["user_id"] for name, facts in heard if "user_id" in facts}) == 1
    assert "zoe@example.com" not in str(heard)


def test_a_reset_is_heard_by_whoever_asks_and_when_it_is_done(browser, postman, heard, alice):
    browser.ask_for_reset(alice)
    browser.ask_for_reset("nobody@example.com")
    browser.reset(postman.link(), NEW_PASSWORD)
    assert names(heard) == ["reset_asked", "reset_asked", "mail_sent", "password_reset"]
    assert heard[0][1]["client"] == {"network": "127.0.0.1", "device": "Firefox (Linux)"}


def test_every_event_of_an_account_has_its_signal():
    """But those that lead nowhere: a change that was dropped; and what the worker writes of a mail that has left."""
    assert WORDS.keys() - signals.OF_KIND.keys() == {"email_change_cancelled", "reset_asked"}


def test_a_receiver_finds_what_happened_in_the_database(app, browser, postman):
    found = []

    def count(sender, user_id, **facts):
        with db.engine.connect() as other_connection:
            found.append(other_connection.scalar(select(func.count()).where(User.id == user_id)))
        found.append(db.session.get(User, user_id).name)

    with signals.registered.connected_to(count):
        browser.register("zoe@example.com")
        browser.fill(postman.link(), name="Zoe", password=PASSWORD, password2=PASSWORD)
    assert found == [1, "Zoe"]


def test_what_is_rolled_back_is_not_heard(app, heard, alice):
    with app.app_context():
        user = User.by_email(alice)
        user.record("password_changed", {"network": "", "device": ""})
        db.session.rollback()
        db.session.commit()
    assert heard == []


def test_a_receiver_that_fails_harms_neither_the_page_nor_other_receivers(browser, heard, alice, caplog):
    def fail(sender, **facts):
        raise RuntimeError("a fault of theirs")

    with signals.signed_in.connected_to(fail):
        assert browser.sign_in(alice, PASSWORD).status_code == 303
    assert browser.is_signed_in
    assert names(heard) == ["signed_in"]
    assert "a receiver of the signal signed_in failed" in caplog.text
