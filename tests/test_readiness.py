"""/readyz: whether this process can serve, also where the database hangs."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from sqlalchemy import text

from app import create_app
from app.extensions import db
from config import Testing
from tests.servers import HOST, wait_for

LONG = 4  # seconds; an answer takes one, a connection five and a hung query for ever


def app_on(url):
    return create_app(type("Probed", (Testing,), {"DATABASE_URL": url}))


@pytest.fixture
def fresh(make_database):
    """An application on a database of its own, migrated, that nothing has probed yet."""
    app = app_on(make_database("readiness"))
    with app.app_context():
        flask_migrate.upgrade()
        yield app
        db.session.remove()
        db.engine.dispose()


def probe(app):
    """Status, body, and the seconds it took."""
    started = time.monotonic()
    answer = app.test_client().get("/readyz", headers={"Host": "10.0.0.7"})
    return answer.status_code, answer.text, time.monotonic() - started


def test_a_site_whose_database_answers_is_ready_and_says_no_more(app, client, caplog):
    answer = client.get("/readyz", headers={"Host": "10.0.0.7:8000"})
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok\n", "text/plain")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert caplog.records == []


def test_a_schema_that_is_behind_is_told_until_it_is_there(fresh):
    flask_migrate.downgrade()
    assert probe(fresh)[:2] == (503, "schema\n")
    flask_migrate.upgrade()
    assert probe(fresh)[:2] == (200, "ok\n")


def test_an_empty_database_is_not_ready(fresh):
    flask_migrate.downgrade(revision="base")
    assert probe(fresh)[:2] == (503, "schema\n")


def test_old_code_is_ready_on_the_schema_of_the_next_release(fresh):
    db.session.execute(text("UPDATE alembic_version SET version_num = 'of-the-next'"))
    db.session.commit()
    assert probe(fresh)[:2] == (200, "ok\n")


def test_a_schema_that_was_right_is_not_looked_at_again(fresh):
    assert probe(fresh)[0] == 200
    db.session.execute(text("DROP TABLE alembic_version"))
    db.session.commit()
    assert probe(fresh)[0] == 200


def test_a_writer_keeps_no_probe_waiting(fresh, database_kind):
    with db.engine.begin() as writer:
        writer.execute(text("DELETE FROM users"))
        assert probe(fresh)[:2] == (200, "ok\n")


def test_a_database_that_cannot_be_opened_is_told_without_detail(tmp_path, caplog):
    app = app_on(f"sqlite:///{tmp_path}/nowhere/rekey.db")
    assert probe(app)[:2] == (503, "database\n")
    assert caplog.records == []


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(tmp_path):
    with socket.create_server((HOST, 0)) as mute:
        app = app_on(f"postgresql://rekey@{HOST}:{mute.getsockname()[1]}/rekey")
        for _ in range(2):
            status, body, seconds = probe(app)
            assert (status, body) == (503, "database\n")
            assert 0.9 < seconds < LONG


@contextmanager
def frozen(postgresql):
    """Every process of the server stopped, as on a machine that swaps itself to death."""
    with psycopg.connect(postgresql) as connection:
        main = int(connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()[0].split()[0])
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    family = [main, *map(int, children)]
    try:
        tell(family, signal.SIGSTOP)
        yield
    finally:
        tell(family, signal.SIGCONT)


def tell(family, what):
    for pid in family:
        with suppress(ProcessLookupError):  # one that was about to end
            os.kill(pid, what)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True, scope="session")
@pytest.mark.parametrize("connected", [True, False])
def test_a_server_that_hangs_is_given_up_and_comes_back(fresh, postgresql, connected):
    if connected:
        assert probe(fresh)[0] == 200
    else:
        db.engine.dispose()
    with frozen(postgresql):
        for _ in range(2):
            status, body, seconds = probe(fresh)
            assert (status, body) == (503, "database\n")
            assert seconds < LONG
    wait_for(lambda: probe(fresh)[0] == 200, "the site to be ready again")


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_a_process_that_could_start_no_thread_is_ready_again_as_soon_as_it_can(fresh):
    threading.stack_size(1 << 47)  # more than there is
    try:
        assert probe(fresh)[:2] == (503, "database\n")
    finally:
        threading.stack_size(0)
    assert probe(fresh)[:2] == (200, "ok\n")
