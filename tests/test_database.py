"""What both databases have in common, and what had to be done for it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from sqlalchemy import select, text, update

from app import database
from app.auth.models import User
from app.extensions import db


def test_read_then_write_loses_no_update(app, alice):
    """In the driver's own mode four writers lose three updates of four on SQLite, and no error says so."""

    def add_one(_):
        with app.app_context():
            user = db.session.scalar(select(User).with_for_update())
            user.name = str(int(user.name) + 1)
            db.session.commit()

    with app.app_context():
        db.session.execute(update(User).values(name="0"))
        db.session.commit()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_one, range(100)))
    with app.app_context():
        assert db.session.scalar(select(User.name)) == "100"


def test_moments_come_back_as_they_went_in(app, alice):
    moment = datetime(2026, 11, 20, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    with app.app_context():
        db.session.execute(update(User).values(created_at=moment))
        db.session.commit()
        found = db.session.scalar(select(User.created_at))
    assert found == moment
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(app, alice):
    with app.app_context(), pytest.raises(Exception, match="naive datetime"):
        db.session.execute(update(User).values(created_at=datetime(2026, 11, 20)))


def test_deleting_an_account_takes_what_hangs_on_it_along(app, browser, alice):
    browser.sign_in(alice, "correct horse battery staple")
    with app.app_context():
        db.session.execute(User.__table__.delete())
        db.session.commit()
        for table in ("user_sessions", "security_events"):
            assert db.session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_a_connection_that_was_cut_while_it_idled_is_replaced(app, database_kind, monkeypatch):
    if database_kind == "sqlite":
        pytest.skip("SQLite has no connection that could be cut")
    monkeypatch.setattr(database, "PING_AFTER_SECONDS", -1)
    with app.app_context():
        db.engine.dispose()  # so that the pool has one connection only
        before = db.session.scalar(text("SELECT pg_backend_pid()"))
        db.session.commit()
        with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [before])
        assert db.session.scalar(text("SELECT pg_backend_pid()")) != before


def test_sqlite_lets_readers_and_a_writer_work_at_once_and_keeps_what_it_promised(app, database_kind):
    if database_kind == "postgresql":
        pytest.skip("PostgreSQL needs no telling")
    with app.app_context():
        pragmas = {
            name: db.session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
