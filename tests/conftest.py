"""Every test that touches the database runs on SQLite and on a real PostgreSQL."""

import re
from pathlib import Path

import flask_migrate
import pytest
import time_machine
from sqlalchemy import create_engine, text

from app import create_app, translate
from app.auth.models import User
from app.auth.passwords import hash_password
from app.email.outbox import claim, deliver
from app.email.smtp import Connection
from app.extensions import db, mail
from config import Testing
from tests.browser import Browser
from tests.postgres import private_server

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "a stitch in time saves nine"


def pytest_sessionstart(session):
    """Compile the translations, for whoever runs pytest without make."""
    for language in translate.stale(Testing.LANGUAGES):
        translate.compile_catalogue(language)


@pytest.fixture
def _push_request_context():
    """Undo pytest-flask's: its one context around a test shares a session between clients and hides missing commits."""


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a PostgreSQL server that runs for this session only."""
    with private_server() as server:
        yield server.url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


@pytest.fixture(scope="session")
def make_database(database_kind, request, tmp_path_factory):
    """Makes an empty database on this kind of server and returns its URL."""

    def make(name: str) -> str:
        if database_kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp(name)}/rekey.db"
        uri = request.getfixturevalue("postgresql")
        engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return uri.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(scope="session")
def session_app(make_database):
    app = create_app(type("OnDatabase", (Testing,), {"DATABASE_URL": make_database("suite")}))
    with app.app_context():
        flask_migrate.upgrade()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def app(session_app):
    """The application on an empty, migrated database."""
    yield session_app
    with session_app.app_context():
        for table in reversed(db.metadata.sorted_tables):
            db.session.execute(table.delete())
        db.session.commit()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def browser(app):
    return Browser(app.test_client())


@pytest.fixture
def other_browser(app):
    return Browser(app.test_client())


@pytest.fixture
def runner(app):
    return app.test_cli_runner()


@pytest.fixture
def add_user(app):
    """Adds an account as `flask users create` would."""

    def add(email: str, name: str = "Somebody", password: str = PASSWORD) -> str:
        with app.app_context():
            User.create(email, name, hash_password(password))
            db.session.commit()
        return email

    return add


@pytest.fixture
def alice(add_user):
    return add_user("alice@example.com", "Alice")


@pytest.fixture
def bob(add_user):
    return add_user("bob@example.com", "Bob")


class Postman:
    """Delivers the outbox on demand, through the real composers, templates and marks."""

    def __init__(self, app):
        self.app = app

    def deliver(self):
        """Deliver what is due; the messages that would have left."""
        with self.app.app_context(), mail.record_messages() as messages, Connection() as connection:
            for row in iter(lambda: next(iter(claim()), None), None):
                deliver(row, connection)
        return messages

    def link(self):
        """Deliver, and take the one link out of the one mail."""
        [message] = self.deliver()
        return link_in(message)


def link_in(message, path="(?!not_me/)"):
    """The one link to act on; or, with a path below /auth/, that one."""
    [link] = re.findall(rf"^http://localhost/auth/{path}\S+$", message.body, re.MULTILINE)
    return link


@pytest.fixture
def postman(app):
    return Postman(app)


@pytest.fixture
def reset_link(browser, postman, alice):
    """A fresh reset link for Alice, taken out of the mail."""
    browser.ask_for_reset(alice)
    return postman.link()


@pytest.fixture
def clock():
    """A clock that stands still until it is moved: `clock.shift(seconds)`."""
    with time_machine.travel("2026-11-20T12:00:00+00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def root():
    return Path(__file__).parent.parent
