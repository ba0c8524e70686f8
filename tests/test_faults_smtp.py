"""Mail servers in trouble, before a real site and a real worker: every promised mail is accounted for.

The pauses between tries are shortened; nothing else is.
"""

import pytest
from sqlalchemy import update

from app.auth.models import User
from app.database import db_now
from app.email import OutboxMessage
from app.extensions import db
from tests.hurried import QUICK, site_with_worker
from tests.promises import Promises, read_rows, row_id
from tests.servers import wait_for
from tests.smtp_script import ScriptedSmtp, hang_up, ramble, say_nothing, take_and_hang_up

REPLIES = {
    "421": "421 4.3.2 shutting down",
    "450": "450 4.2.1 mailbox busy",
    "451": "451 4.3.0 local error",
    "550": "550 5.1.1 not here",
    "552": "552 5.2.2 mailbox full",
    "535": "535 5.7.8 wrong password",
}
# For what takes its time and has nothing to do with the database.
ONE_DATABASE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
FOR_NOW = [REPLIES[code] for code in ("421", "450", "451")]
FOR_GOOD = [REPLIES[code] for code in ("550", "552", "535")]


@pytest.fixture(scope="module")
def mail_server():
    with ScriptedSmtp() as server:
        yield server


@pytest.fixture(scope="module")
def running(session_app, mail_server, tmp_path_factory):
    """gunicorn and a worker that logs in to the mail server."""
    login = {"MAIL_USERNAME": "rekey", "MAIL_PASSWORD": "a password for the mail server"}
    pauses = {"LEASE_SECONDS": 2, "RENEW_SECONDS": 0.2, "SEND_SECONDS": 2.5}
    with site_with_worker(session_app, tmp_path_factory.mktemp("site"), mail_server, login, **pauses) as site:
        yield site


@pytest.fixture
def smtp(app, running, mail_server):
    """The mail server with an empty script and no mails, and with no connection kept from the last test."""
    mail_server.stop()
    mail_server.script, mail_server.byte_seconds = {}, 0
    for seen in (mail_server.mails, mail_server.shown, mail_server.steps):
        seen.clear()
    mail_server.start()
    return mail_server


@pytest.fixture
def promises(app, running):
    return Promises(app, running.url)


@pytest.fixture
def row(app):
    """Reads the one row of the test."""

    def read():
        [row] = read_rows(app)
        return row

    return read


def wait_until_all_done(app):
    return wait_for(lambda: (rows := read_rows(app)) and all(row.done_at for row in rows) and rows, "every row's end")


def words_of(row):
    """What each try of a row came to, without the name of the exception."""
    return [words.partition(": ")[2] or words for _, words in row.tries]


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "AUTH", "MAIL"])
def test_a_mail_outlives_any_refusal_before_its_recipient_was_named(smtp, promises, alice, row, step):
    replies = [reply for reply in REPLIES.values() for _ in range(2 if step == "EHLO" else 1)]  # EHLO, then HELO
    smtp.script[step] = replies
    assert promises.ask(alice) == 303
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert words_of(row()) == [*REPLIES.values(), "250 2.0.0 taken"]
    promises.check(smtp.mails)


@pytest.mark.parametrize("step", ["RCPT", "DATA", "DOT"])
def test_a_mail_refused_for_now_is_sent_later_under_the_same_message_id(smtp, promises, alice, row, step):
    smtp.script[step] = list(FOR_NOW)
    assert promises.ask(alice) == 303
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert words_of(row()) == [*FOR_NOW, "250 2.0.0 taken"]
    assert {row_id(mail) for mail in smtp.shown} == {row().message_id}
    promises.check(smtp.mails)


@pytest.mark.parametrize("step", ["DATA", "DOT"])
def test_mails_refused_for_good_fail_alone_and_at_once(app, smtp, promises, alice, step):
    smtp.script[step] = list(FOR_GOOD)
    for _ in range(len(FOR_GOOD) + 1):
        assert promises.ask(alice) == 303
    rows = wait_until_all_done(app)
    assert sorted(row.outcome for row in rows) == ["failed", "failed", "failed", "sent"]
    assert sorted(words for row in rows for words in words_of(row)) == ["250 2.0.0 taken", *sorted(FOR_GOOD)]
    promises.check(smtp.mails)


def test_a_recipient_refused_for_good_fails_alone_unless_it_is_us_that_is_refused(app, smtp, promises, alice):
    smtp.script["RCPT"] = list(FOR_GOOD)
    for _ in range(3):
        assert promises.ask(alice) == 303
    rows = wait_until_all_done(app)
    assert sorted(row.outcome for row in rows) == ["failed", "failed", "sent"]
    [sent] = [row for row in rows if row.outcome == "sent"]
    assert words_of(sent) in (["535 5.7.8 wrong password", "250 2.0.0 taken"], ["250 2.0.0 taken"])
    promises.check(smtp.mails)


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY"])
def test_a_connection_dropped_before_the_final_dot_costs_a_try(smtp, promises, alice, row, step):
    smtp.script[step] = [hang_up]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert [row_id(mail) for mail in smtp.mails] == [row().message_id]
    assert row().attempts == 2
    promises.check(smtp.mails)


def test_a_connection_dropped_after_the_final_dot_sends_the_same_mail_again(smtp, promises, alice, row):
    """Nobody can tell whether it was taken: two copies, which mail programs take for one, are better than none."""
    smtp.script["DOT"] = [take_and_hang_up]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert [row_id(mail) for mail in smtp.mails] == [row().message_id] * 2
    promises.check(smtp.mails)


@pytest.mark.asvs("13.2.6", "16.5.2")
@ONE_DATABASE
@pytest.mark.parametrize("step", ["EHLO", "DATA"])
def test_a_half_open_connection_is_given_up_and_another_one_opened(smtp, promises, alice, row, step):
    smtp.script[step] = [say_nothing]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert "timed out" in row().tries[0][1]
    promises.check(smtp.mails)


@ONE_DATABASE
def test_a_kept_connection_that_went_dead_does_not_cost_the_next_mail(app, smtp, promises, alice):
    promises.ask(alice)
    wait_until_all_done(app)
    smtp.script["MAIL"] = [say_nothing]
    promises.ask(alice)
    wait_for(lambda: len(smtp.mails) == 2, "the second mail")
    wait_until_all_done(app)
    promises.check(smtp.mails)


def test_a_slow_server_is_waited_for_while_the_lease_is_renewed(running, smtp, promises, alice, row):
    """Some 200 bytes; at one byte a second such a mail takes three minutes, and three leases."""
    smtp.byte_seconds = 0.015
    with running.start_worker(**QUICK, LEASE_SECONDS=1.5, RENEW_SECONDS=0.1):  # watches for a lease that ends
        assert promises.ask(alice) == 303
        wait_for(lambda: row().outcome == "sent", "the mail to leave")
    assert (len(smtp.mails), row().attempts) == (1, 1)
    assert (row().done_at - row().created_at).total_seconds() > 1.5
    promises.check(smtp.mails)


@pytest.mark.asvs("13.2.6", "15.4.3")
@ONE_DATABASE
@pytest.mark.parametrize("step", ["CONNECT", "DOT"])
def test_a_server_that_never_ends_its_answer_is_hung_up_on_and_the_mail_kept(smtp, promises, alice, row, step):
    smtp.script[step] = [ramble]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().tries, "the end of patience", 10)
    wait_for(lambda: row().outcome == "sent", "the mail to leave")
    promises.check(smtp.mails)


def test_a_mail_that_waits_out_its_use_is_expired_and_not_sent(app, smtp, promises, alice, row):
    smtp.script["MAIL"] = REPLIES["451"]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().last_error, "the first try to be over")
    change(app, update(OutboxMessage).values(expires_at=db_now()))
    wait_for(lambda: row().outcome == "expired", "the mail to be given up")
    assert smtp.mails == []
    promises.check(smtp.mails)


def change(app, statement):
    with app.app_context():
        db.session.execute(statement)
        db.session.commit()


@pytest.mark.asvs("8.3.3")
@pytest.mark.parametrize(
    "meanwhile",
    [
        update(User).values(disabled_at=db_now()),
        update(User).values(email="alice@elsewhere.example", email_key="alice@elsewhere.example"),
        User.__table__.delete(),
    ],
    ids=["disabled", "moved", "deleted"],
)
def test_an_account_that_is_gone_when_its_mail_could_leave_is_nobody(app, smtp, promises, alice, row, meanwhile):
    smtp.script["MAIL"] = REPLIES["451"]
    assert promises.ask(alice) == 303
    wait_for(lambda: row().last_error, "the first try to be over")
    change(app, meanwhile)
    smtp.script.clear()
    wait_for(lambda: row().outcome == "nobody", "the mail to be given up")
    assert smtp.mails == []
    promises.check(smtp.mails)
