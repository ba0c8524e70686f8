"""A database that is away or busy: the request fails as a whole or succeeds as a whole, and all recovers by itself."""

import sqlite3
import time
from contextlib import contextmanager
from threading import Event, Thread

import flask_migrate
import pytest

from app import create_app
from app.auth.models import User
from app.auth.passwords import hash_password
from app.extensions import db
from config import Testing
from tests.hurried import site_with_worker
from tests.postgres import private_server
from tests.promises import Promises, read_rows
from tests.servers import wait_for
from tests.smtp_script import ScriptedSmtp

ALICE = "alice@example.com"
ASKERS = 4


@pytest.fixture
def smtp():
    with ScriptedSmtp() as smtp:
        yield smtp


@contextmanager
def site_on(url, directory, smtp, **pauses):
    """The requests made to a site with a worker, and an account, on a database of its own."""
    app = create_app(type("OnItsOwn", (Testing,), {"DATABASE_URL": url}))
    with app.app_context():
        flask_migrate.upgrade()
        User.create(ALICE, "Alice", hash_password("correct horse battery staple"))
        db.session.commit()
    with site_with_worker(app, directory, smtp, {}, **pauses) as site:
        yield Promises(app, site.url)
    forget_connections(app)


def forget_connections(app):
    with app.app_context():
        db.engine.dispose()


def all_sent(promises):
    wait_for(lambda: {row.outcome for row in read_rows(promises.app)} == {"sent"}, "every mail to leave")
    return True


class Askers:
    """People who ask without end, but wait at the door while it is closed."""

    def __init__(self, promises):
        self.promises = promises
        self.open, self.over = Event(), Event()
        self.threads = [Thread(target=self._run) for _ in range(ASKERS)]

    def __enter__(self):
        self.open.set()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.over.set()
        self.open.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        while not self.over.is_set():
            self.open.wait()
            self.promises.ask(ALICE)


@pytest.mark.asvs("16.5.2", "13.2.6")
def test_postgresql_restarted_under_load_costs_no_more_than_the_requests_in_flight(smtp, tmp_path):
    # The one mail that was in hand waits for its lease to end.
    pauses = {"LEASE_SECONDS": 4, "RENEW_SECONDS": 1}
    with private_server() as server, site_on(server.url, tmp_path, smtp, **pauses) as promises:
        with Askers(promises) as askers:
            wait_for(lambda: len(promises.accepted) >= 40, "some load")
            askers.open.clear()
            server.stop()  # requests are still on their way
            assert promises.ask(ALICE) in (None, 503)
            server.start()
            forget_connections(promises.app)  # of this very process
            in_flight = len(promises.refused)
            before = len(promises.accepted)
            askers.open.set()
            wait_for(lambda: len(promises.accepted) >= before + 40, "the load to go on")
        assert in_flight <= ASKERS + 1
        assert promises.refused == [503] * in_flight  # so every request after the restart was a success
        assert promises.unanswered == 0
        assert all_sent(promises)
        promises.check(smtp.mails)


@pytest.fixture
def sqlite(smtp, tmp_path):
    with site_on(f"sqlite:///{tmp_path}/rekey.db", tmp_path, smtp) as promises:
        promises.writer = sqlite3.connect(tmp_path / "rekey.db", isolation_level=None, check_same_thread=False)
        yield promises
        promises.writer.close()


@pytest.mark.asvs("15.4.3")
def test_a_write_lock_held_for_three_seconds_delays_and_refuses_nobody(sqlite, smtp):
    sqlite.writer.execute("BEGIN IMMEDIATE")
    people = [Thread(target=sqlite.ask, args=[ALICE]) for _ in range(3)]
    for person in people:
        person.start()
    time.sleep(3)  # the fault itself
    assert sqlite.accepted == sqlite.refused == []
    sqlite.writer.execute("ROLLBACK")
    for person in people:
        person.join()
    assert len(sqlite.accepted) == 3
    assert all_sent(sqlite)
    sqlite.check(smtp.mails)


@pytest.mark.asvs("16.5.3", "2.3.3", "15.4.3")
def test_a_write_lock_held_for_longer_is_a_503_with_nothing_half_done_and_no_mail_twice(sqlite, smtp):
    def lock_out(dialogue):
        sqlite.writer.execute("BEGIN IMMEDIATE")  # the mail is taken, and cannot be marked for as long

    smtp.script["DOT"] = [lock_out]
    assert sqlite.ask(ALICE) == 303
    wait_for(lambda: smtp.mails, "the mail to be taken")
    assert sqlite.ask(ALICE) == 503
    [row] = read_rows(sqlite.app)
    assert row.done_at is None

    sqlite.writer.execute("ROLLBACK")
    assert all_sent(sqlite)
    assert len(smtp.mails) == 1
    assert sqlite.ask(ALICE) == 303
    assert all_sent(sqlite)
    sqlite.check(smtp.mails)
