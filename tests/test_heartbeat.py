"""Who delivers: the heartbeat of every process that does, and what probes make of it."""

import json
import os
import socket

import pytest
from sqlalchemy import event, select, text, update

from app.database import db_now
from app.email import OutboxMessage, heartbeat
from app.email.heartbeat import Heartbeat, MailWorker
from app.extensions import db
from tests.servers import Site, SmtpSink, wait_for


@pytest.fixture
def rows(app):
    def rows():
        with app.app_context():
            return db.session.scalars(select(MailWorker)).all()

    return rows


@pytest.fixture
def age(app):
    """Moves moments of every row so many seconds into the past."""

    def age(table, column, seconds):
        with app.app_context():
            db.session.execute(update(table).values({column: db_now(-seconds)}))
            db.session.commit()

    return age


@pytest.fixture
def check(runner):
    """Exit status and the line of `flask outbox status --check`."""

    def check(*options):
        result = runner.invoke(args=["outbox", "status", "--check", *options])
        assert result.output.count("\n") == 1
        return result.exit_code, result.output.strip()

    return check


def test_a_worker_is_seen_while_it_lives_and_gone_when_it_stops(app, rows, check, tmp_path):
    with Site(tmp_path, DATABASE_URL=app.config["DATABASE_URL"], MAIL_DELIVERY="worker") as site:
        worker = site.start_worker()
        [row] = wait_for(rows, "the heartbeat")
        assert (row.host, row.pid, row.kind) == (socket.gethostname(), worker.process.pid, "worker")
        assert check() == (0, "Mail leaves.")
        assert worker.stop() == 0
    assert rows() == []
    assert check() == (1, "Error: No worker was seen in the last 60 seconds.")


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_each_serving_process_that_delivers_is_seen(app, rows, tmp_path):
    with SmtpSink() as sink, Site(tmp_path, DATABASE_URL=app.config["DATABASE_URL"], MAIL_PORT=sink.port) as site:
        server = site.start("--workers", "2")
        seen = wait_for(lambda: len(found := rows()) == 2 and found, "both heartbeats")
        assert {row.pid for row in seen} == set(server.children())
        assert {row.kind for row in seen} == {"thread"}
        assert server.stop() == 0
    assert rows() == []


def test_a_worker_that_died_is_missed_after_a_minute_and_forgotten_after_a_day(app, rows, age, check, runner):
    Heartbeat(app, "worker").beat()
    age(MailWorker, "seen_at", 59)
    assert check()[0] == 0
    age(MailWorker, "seen_at", 61)
    assert check()[0] == 1
    runner.invoke(args=["outbox", "purge"])
    assert len(rows()) == 1
    age(MailWorker, "seen_at", 86_401)
    runner.invoke(args=["outbox", "purge"])
    assert rows() == []


def test_mail_that_is_due_for_long_is_told(app, browser, age, check, alice):
    Heartbeat(app, "worker").beat()
    browser.ask_for_reset(alice)
    assert check() == (0, "Mail leaves.")
    age(OutboxMessage, "due_at", 119)
    assert check()[0] == 0
    age(OutboxMessage, "due_at", 180)
    status, line = check()
    assert status == 1
    assert line.startswith("Error: Mail is due for 18")
    assert check("--max-age", "600")[0] == 0


def test_status_names_who_delivers(app, age, runner):
    Heartbeat(app, "thread").beat()
    [worker] = json.loads(runner.invoke(args=["outbox", "status", "--json"]).output)["workers"]
    assert (worker["host"], worker["pid"], worker["kind"]) == (socket.gethostname(), os.getpid(), "thread")
    assert worker["alive"]
    assert worker["seen_seconds_ago"] < 60
    age(MailWorker, "seen_at", 300)
    assert f"dead, last seen 300 s ago, process {os.getpid()} on" in runner.invoke(args=["outbox", "status"]).output


def test_it_is_written_once_in_ten_seconds_however_often_it_is_called(app, monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(heartbeat, "monotonic", lambda: moment[0])
    statements = []
    beating = Heartbeat(app, "worker")
    with app.app_context():
        engine = db.engine

    def note(*facts):
        statements.append(facts[2])

    event.listen(engine, "before_cursor_execute", note)
    for _ in range(100):
        beating.beat()
        moment[0] += 0.2
    event.remove(engine, "before_cursor_execute", note)
    assert sum(statement.startswith("INSERT") for statement in statements) == 1
    assert sum(statement.startswith("UPDATE") for statement in statements) == 2


@pytest.fixture
def without_table(app):
    """The database as it is while a release has come before its migration."""

    def rename(old, new):
        with app.app_context():
            db.session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
            db.session.commit()

    rename("mail_workers", "of_the_next_release")
    yield
    rename("of_the_next_release", "mail_workers")


def test_mail_flows_also_where_it_cannot_be_written(app, browser, postman, caplog, alice, without_table):
    beating = Heartbeat(app, "worker")
    beating.beat()
    beating.end()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    browser.ask_for_reset(alice)
    assert len(postman.deliver()) == 1
