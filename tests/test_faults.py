"""Processes that die, many at once, and a backlog: every promise is kept or visibly given up."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import JSON, String, cast, event, insert, literal, select, update

from app.auth.models import User
from app.database import db_now
from app.email import OutboxMessage, enqueue
from app.email.outbox import LEASE_SECONDS, claim
from app.extensions import db
from tests.hurried import QUICK
from tests.promises import Promises, read_rows, row_id
from tests.servers import Site, wait_for
from tests.smtp_script import HangUpError, ScriptedSmtp

CLIENT = {"device": "Firefox on Linux", "network": "192.0.2.0/24"}
BACKLOG = 100_000


@pytest.fixture(scope="module")
def web(session_app, tmp_path_factory):
    """gunicorn, which only promises; nobody harms it."""
    settings = {"DATABASE_URL": session_app.config["DATABASE_URL"], "MAIL_DELIVERY": "worker", "RATELIMIT_ENABLED": 0}
    with Site(tmp_path_factory.mktemp("web"), **settings) as site:
        site.start()
        yield site


@pytest.fixture
def smtp():
    with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
def site(app, web, smtp, tmp_path):
    """What runs beside `web`: nothing yet."""
    with Site(tmp_path, **web.settings | {"MAIL_PORT": smtp.port}) as site:
        yield site


@pytest.fixture
def promises(app, web):
    return Promises(app, web.url)


@pytest.fixture
def rows(app):
    return partial(read_rows, app)


@pytest.fixture
def let_a_minute_pass(app):
    """Ends every lease, as waiting would."""

    def move():
        with app.app_context():
            still_open = OutboxMessage.done_at.is_(None)
            db.session.execute(update(OutboxMessage).where(still_open).values(due_at=db_now(-LEASE_SECONDS)))
            db.session.commit()

    return move


def all_done(rows):
    wait_for(lambda: all(row.done_at for row in rows()), "every row's end", 60)


def test_a_worker_killed_before_it_claims_leaves_the_mail_to_the_next(site, smtp, promises, alice, rows):
    worker = site.start_worker()
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert promises.ask(alice) == 303
    worker.kill()

    site.start_worker()
    all_done(rows)
    assert rows()[0].attempts == 1
    assert len(smtp.mails) == 1
    promises.check(smtp.mails)


def test_a_worker_killed_after_the_claim_is_relieved_when_its_lease_ends(
    site, smtp, promises, alice, rows, let_a_minute_pass
):
    def kill_the_sender(dialogue):
        site.programs[0].kill()
        raise HangUpError

    smtp.script["CONNECT"] = [kill_the_sender]
    assert promises.ask(alice) == 303
    assert site.start_worker_unseen().wait() == -signal.SIGKILL
    [row] = rows()
    assert (row.attempts, row.done_at) == (1, None)

    let_a_minute_pass()
    site.start_worker()
    all_done(rows)
    assert len(smtp.mails) == 1
    promises.check(smtp.mails)


def test_a_worker_killed_when_the_250_was_on_its_way_means_the_same_mail_twice(
    site, smtp, promises, alice, rows, let_a_minute_pass
):
    """The one window in which a mail is doubled. Both copies have one Message-ID, and one link."""

    def take_and_kill(dialogue):
        worker = site.programs[0]
        os.kill(worker.process.pid, signal.SIGSTOP)  # it shall not read the answer
        dialogue.take()
        dialogue.say("250 2.0.0 taken")
        worker.kill()
        raise HangUpError

    smtp.script["DOT"] = [take_and_kill]
    assert promises.ask(alice) == 303
    assert site.start_worker_unseen().wait() == -signal.SIGKILL
    [row] = rows()
    assert row.done_at is None

    let_a_minute_pass()
    site.start_worker()
    all_done(rows)
    assert [row_id(mail) for mail in smtp.mails] == [row.message_id] * 2
    promises.check(smtp.mails)


@pytest.mark.asvs("16.5.3", "2.3.3")
def test_a_web_server_killed_in_the_middle_of_posts_keeps_what_it_has_promised(app, site, smtp, alice, rows):
    server = site.start("--workers", "2")
    promises = Promises(app, site.url)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(promises.ask, alice) for _ in range(400)]
        wait_for(lambda: len(promises.accepted) >= 20, "some posts")
        server.kill()
    assert 20 <= len(promises.accepted) < len(answers)
    assert promises.refused == []
    promises.check(smtp.mails)

    site.start_worker(**QUICK)
    all_done(rows)
    promises.check(smtp.mails)


@pytest.mark.asvs("15.4.1", "15.4.2")
@pytest.mark.parametrize("count", [2, 10])
def test_of_many_workers_at_once_one_sends_each_mail(app, site, smtp, alice, rows, count):
    with app.app_context():
        for _ in range(25 * count):  # a worker takes 20 at a time
            enqueue("reset_password", {"email": alice, "client": CLIENT}, address=alice, locale="en")
        db.session.commit()

    def wait_for_the_others(dialogue):
        wait_for(lambda: smtp.steps.count("CONNECT") >= count, "every worker to have a batch in hand")

    smtp.script["CONNECT"] = [wait_for_the_others] * count
    site.settings["MAIL_TIMEOUT"] = 60
    for _ in range(count):
        site.start_worker_unseen(**QUICK)
    all_done(rows)
    assert len(smtp.mails) == len({row_id(mail) for mail in smtp.mails}) == 25 * count
    assert {row.outcome for row in rows()} == {"sent"}
    assert {row.attempts for row in rows()} == {1}


def add_notices(app, address, count, **more):
    """So many notices, by one statement."""
    with app.app_context():
        user_id = User.by_email(address).id
    numbers = select(literal(1).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < count))
    columns = {
        "kind": literal("password_changed"),
        "args": literal({"user_id": user_id, "email": address, "client": CLIENT}, JSON),
        "priority": literal(10),
        "created_at": db_now(-60),
        "due_at": db_now(-60),
        "expires_at": db_now(86_400),
        "attempts": literal(0),
        "tries": literal([], JSON),
        "message_id": literal(token_hex(4)) + cast(numbers.c.number, String),
        **more,
    }
    with app.app_context():
        db.session.execute(insert(OutboxMessage).from_select(list(columns), select(*columns.values())))
        db.session.commit()


def memory_of(program):
    """Resident bytes."""
    return int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.asvs("15.4.4", "15.2.2")
def test_a_link_overtakes_a_backlog_of_100000_notices_and_memory_stays_flat(app, site, smtp, promises, alice, bob):
    add_notices(app, alice, BACKLOG)
    worker = site.start_worker()
    wait_for(lambda: len(smtp.mails) > 200, "the notices to flow")
    before = memory_of(worker)

    asked = time.monotonic()
    assert promises.ask(bob) == 303
    wait_for(lambda: any(mail.recipients == [bob] for mail in smtp.mails[200:]), "the link", 60)
    assert time.monotonic() - asked < 60

    wait_for(lambda: len(smtp.mails) > 800, "more notices")
    assert memory_of(worker) - before < 8_000_000
    assert worker.stop() == 0
    assert len({row_id(mail) for mail in smtp.mails}) == len(smtp.mails)


def test_a_claim_reads_the_index_of_open_rows_and_neither_history_nor_backlog(app, alice):
    add_notices(app, alice, 20_000, done_at=db_now(), outcome=literal("sent"))
    add_notices(app, alice, 5_000)
    plan = plan_of_a_claim(app)
    assert "ix_outbox_messages_open" in plan
    assert "Seq Scan on outbox_messages" not in plan
    assert "SCAN outbox_messages\n" not in plan


def plan_of_a_claim(app):
    """What the database says about the very statement with which a worker claims."""
    statements = []

    def note(connection, cursor, statement, parameters, context, executemany):
        statements.append((statement, parameters))

    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
        event.listen(db.engine, "before_cursor_execute", note)
        claim(20)
        event.remove(db.engine, "before_cursor_execute", note)
        [(statement, parameters)] = [entry for entry in statements if "UPDATE" in entry[0]]
        explain = "EXPLAIN" if db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        lines = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
    return "".join(f"{line[-1]}\n" for line in lines)
