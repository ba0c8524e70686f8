"""MAIL_HOURLY_BUDGET: above it mail waits, and is told of; nothing is refused or lost."""

from smtplib import SMTPResponseException

import pytest
from sqlalchemy import func, select

from app.auth.models import Registration
from app.email import OutboxMessage
from app.email.outbox import claim, deliver
from app.email.smtp import Connection, UnreachableError
from app.extensions import db, mail
from tests.test_outbox import Refusing
from tests.time_passing import pass_time


@pytest.fixture
def budget(app, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_HOURLY_BUDGET", 5)


@pytest.fixture
def drain(runner):
    """Runs `flask outbox drain`; how many mails left, and what it printed."""

    def run():
        with mail.record_messages() as sent:
            result = runner.invoke(args=["outbox", "drain"])
        assert result.exit_code == 0
        return len(sent), result.stdout

    return run


def waiting(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(OutboxMessage).where(OutboxMessage.done_at.is_(None)))


def ask_for(browser, count):
    for n in range(count):
        assert browser.register(f"user{n}@example.com").status_code == 303


@pytest.mark.asvs("2.3.2", "2.4.1")
def test_above_it_mail_waits_for_the_next_hour(app, browser, budget, drain, caplog):
    ask_for(browser, 12)
    assert drain() == (
        5,
        "5 handled, 0 waiting for a later try.\nThe rest waits: MAIL_HOURLY_BUDGET is spent for this hour.\n",
    )
    assert "MAIL_HOURLY_BUDGET is spent" in caplog.text
    assert drain()[0] == 0
    assert waiting(app) == 7
    for left in (5, 2):
        with app.app_context():
            pass_time(3601)
        assert drain()[0] == left
    assert waiting(app) == 0


def test_waiting_costs_a_mail_none_of_its_tries(app, browser, budget, drain):
    ask_for(browser, 7)
    for _ in range(4):
        drain()
    with app.app_context():
        assert set(db.session.scalars(select(OutboxMessage.attempts).where(OutboxMessage.done_at.is_(None)))) == {0}


def test_what_nobody_gets_is_not_counted(browser, budget, drain):
    for n in range(10):
        browser.ask_for_reset(f"nobody{n}@example.com")
    ask_for(browser, 5)
    assert drain()[0] == 5


def test_a_mail_that_found_no_server_is_not_counted(app, browser, budget, drain):
    ask_for(browser, 6)
    with app.app_context():
        for _ in range(3):
            [row] = claim()
            with pytest.raises(UnreachableError):
                deliver(row, Refusing(UnreachableError()))
    assert drain()[0] == 5


def test_what_a_mail_that_has_to_wait_would_have_recorded_is_not(app, browser, budget, drain):
    ask_for(browser, 6)
    drain()
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(Registration)) == 5


def test_without_one_all_leaves(browser, drain):
    ask_for(browser, 12)
    assert drain()[0] == 12


def test_a_mail_that_the_server_refuses_costs_none_of_it(app, browser, budget, runner):
    ask_for(browser, 5)
    with app.app_context():
        for _ in range(5):
            for row in claim(10):
                deliver(row, Busy())
            pass_time(600)
    assert waiting(app) == 5
    with mail.record_messages() as sent:
        runner.invoke(args=["outbox", "drain"])
    assert len(sent) == 5


def test_a_flood_of_registrations_delays_no_reset(browser, budget, drain, alice):
    ask_for(browser, 25)
    browser.ask_for_reset(alice)
    with mail.record_messages() as sent:
        drain()
    assert sent[0].recipients == [alice]


class Busy(Connection):
    def send(self, message, envelope_from=None):
        raise SMTPResponseException(451, b"4.3.0 come back later")
