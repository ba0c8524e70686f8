"""What the operator sees of the outbox, and what it tells nobody."""

import json
import re
import smtplib

import pytest
from sqlalchemy import func, select, update

from app.auth.models import Registration, SecurityEvent, User, UserSession
from app.database import db_now
from app.email import OutboxMessage
from app.email.outbox import claim, deliver
from app.extensions import db
from tests.conftest import PASSWORD
from tests.test_outbox import Refusing


@pytest.fixture
def run(runner):
    """Runs `flask outbox …` and returns what it printed; a failure is one of the test."""

    def run(*args, status=0):
        result = runner.invoke(args=["outbox", *args])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result.output

    return run


@pytest.fixture
def ask(browser):
    """Asks for a reset; returns the reference that the page shows."""

    def ask(address):
        browser.ask_for_reset(address)
        return re.search(r'class="reference">([^<]+)<', browser.page.text).group(1)

    return ask


@pytest.fixture
def try_in_vain(app):
    """One try of everything due, against a server that answers so."""

    def try_in_vain(code, words):
        with app.app_context():
            for row in claim(100):
                deliver(row, Refusing(smtplib.SMTPRecipientsRefused({"x": (code, words)})))

    return try_in_vain


def test_status_counts_and_times(run, ask, postman, try_in_vain, alice):
    ask(alice)
    ask("nobody@example.com")
    before = json.loads(run("status", "--json"))
    assert (before["due"], before["waiting"], before["sent_last_hour"]) == (2, 0, 0)
    assert 0 <= before["oldest_due_seconds"] < 60
    postman.deliver()
    after = json.loads(run("status", "--json"))
    assert (after["due"], after["sent"], after["nobody"], after["sent_last_hour"]) == (0, 1, 1, 1)
    assert after["oldest_due_seconds"] == 0
    assert re.search(r"^sent last hour +1$", run("status"), re.MULTILINE)


def test_a_mail_is_traced_by_the_reference_its_reader_has(run, ask, try_in_vain, postman, app, alice):
    reference = ask(alice)
    try_in_vain(450, b"4.2.0 <alice@example.com>: greylisted")
    assert "not done yet: due" in run("trace", reference)
    run("retry", reference)
    postman.deliver()
    told = run("trace", reference.lower())
    assert f"{reference}  reset_password" in told
    assert "asked and queued" in told
    assert "SMTPRecipientsRefused: 450 4.2.0 greylisted" in told
    assert "sent: the mail server has taken it" in told


def test_mails_are_traced_by_the_address_as_anyone_spells_it(run, ask, postman, alice):
    first, second = ask(alice), ask("ALICE@example.com")
    ask("bob@example.com")
    postman.deliver()
    told = run("trace", "Alice@Example.com")
    assert [line[:9] for line in told.splitlines() if not line.startswith(" ")] == [first, second]


def test_an_address_is_found_after_the_key_has_changed(app, run, ask, alice, monkeypatch):
    ask(alice)
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [app.config["SECRET_KEY"]])
    monkeypatch.setitem(app.config, "SECRET_KEY", "another-another-another-another-another")
    assert "reset_password" in run("trace", alice)


@pytest.mark.asvs("14.2.6")
def test_nothing_the_operator_sees_holds_a_link_or_an_address(run, ask, postman, try_in_vain, alice):
    ask(alice)
    try_in_vain(550, b"5.1.1 <alice@example.com> unknown; see https://example.com/?to=alice%40example.com")
    ask(alice)
    [message] = postman.deliver()
    token = re.search(r"reset_password/(\S+)", message.body).group(1)
    for output in (run("trace", alice), run("list"), run("status"), run("status", "--json")):
        assert token not in output
        assert "alice" not in output.lower()


@pytest.mark.parametrize("unknown", ["nobody@example.com", "AAAA-AAAA", "A", "%", "________", ""])
def test_what_is_not_known_is_said_plainly(run, ask, alice, unknown):
    ask(alice)
    assert "No mail is known" in run("trace", unknown, status=1)


def test_the_list_is_filtered_by_state_kind_and_address(run, ask, postman, browser, alice):
    sent, nobody = ask(alice), ask("nobody@example.com")
    postman.deliver()
    due = ask(alice)
    browser.register("carol@example.com")

    def references(*args):
        return re.findall(r"^[A-Z2-7]{4}-[A-Z2-7]{4}", run("list", *args), re.MULTILINE)

    assert references("--state", "sent") == [sent]
    assert references("--state", "nobody") == [nobody]
    assert references("--address", alice) == [due, sent]
    assert len(references("--kind", "register")) == 1
    assert len(references()) == 4
    assert len(references("--most", "2")) == 2
    assert "None." in run("list", "--state", "failed")


def test_retry_needs_to_be_told_what(run):
    assert "Name a reference, or say --all." in run("retry", status=2)
    assert "No mail with that reference waits" in run("retry", "AAAA-AAAA", status=1)


def test_all_that_waits_can_be_tried_at_once(run, ask, try_in_vain, alice):
    for _ in range(3):
        ask(alice)
    try_in_vain(450, b"busy")
    assert run("retry", "--all") == "3 due now.\n"
    assert json.loads(run("status", "--json"))["due"] == 3


def test_what_a_worker_has_in_hand_is_left_to_it(app, run, ask, alice):
    reference = ask(alice)
    with app.app_context():
        assert len(claim(10)) == 1
    assert run("retry", "--all") == "0 due now.\n"
    assert "waits" in run("retry", reference, status=1)
    assert json.loads(run("status", "--json"))["in_hand"] == 1
    assert "a worker has it in hand" in run("trace", reference)


def test_drain_leaves_what_falls_due_meanwhile(app, run, ask, alice, monkeypatch):
    for _ in range(3):
        ask(alice)
    monkeypatch.setattr("app.email.outbox.FIRST_RETRY_SECONDS", 0)
    monkeypatch.setattr("app.email.worker.Connection", lambda: Refusing(TimeoutError()))
    assert run("drain") == "3 handled, 0 waiting for a later try.\n"
    assert json.loads(run("status", "--json"))["due"] == 3


def test_without_delivery_the_commands_say_where_links_come_from(app, run, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_DELIVERY", "off")
    for command in ("drain", "work"):
        assert "flask users reset-link" in run(command, status=1)


def test_a_server_that_is_away_is_named_and_nothing_is_lost(app, run, ask, alice, monkeypatch):
    ask(alice)
    monkeypatch.setattr(app.extensions["mail"], "suppress", False)
    monkeypatch.setitem(app.config, "MAIL_PORT", 1)
    assert "Nothing listens on port 1 of 127.0.0.1." in run("drain", status=1)
    assert json.loads(run("status", "--json"))["due"] == 1


def age_everything(days):
    for table, columns in {
        OutboxMessage: ("created_at", "done_at"),
        Registration: ("created_at",),
        SecurityEvent: ("created_at",),
        UserSession: ("created_at", "last_used_at"),
    }.items():
        db.session.execute(update(table).values({name: db_now(-86_400 * days) for name in columns}))
    db.session.commit()


@pytest.mark.asvs("14.2.7", "14.2.4")
@pytest.mark.parametrize(
    ("days", "left"),
    [
        (1.5, {"mails": 2, "registrations": 1, "events": 2, "sessions": 0}),
        (2.5, {"mails": 2, "registrations": 0, "events": 2, "sessions": 0}),
        (31, {"mails": 0, "registrations": 0, "events": 2, "sessions": 0}),
        (366, {"mails": 0, "registrations": 0, "events": 0, "sessions": 0}),
    ],
)
def test_what_is_done_with_is_deleted_in_its_time(app, run, browser, postman, alice, days, left):
    browser.ask_for_reset(alice)
    browser.register("carol@example.com")
    postman.deliver()
    browser.sign_in(alice, PASSWORD)
    with app.app_context():
        age_everything(days)
        run("purge")
        tables = {
            "mails": OutboxMessage,
            "registrations": Registration,
            "events": SecurityEvent,
            "sessions": UserSession,
        }
        assert {
            name: db.session.scalar(select(func.count()).select_from(table)) for name, table in tables.items()
        } == left
        assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_what_still_waits_is_never_deleted(app, run, browser, alice):
    browser.ask_for_reset(alice)
    with app.app_context():
        db.session.execute(update(OutboxMessage).values(created_at=db_now(-86_400 * 1000)))
        db.session.commit()
        run("purge")
        assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 1


def test_a_session_that_is_remembered_outlives_one_that_is_not(app, run, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(alice, PASSWORD, remember="y")
    with app.app_context():
        age_everything(13)
        run("purge")
        assert db.session.scalars(select(UserSession.remember)).all() == [True]
