"""Every `flask` command that README and docs show is run as it stands, on a site with an account and a mail."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from email import message_from_bytes
from functools import cache

import flask_migrate
import pytest
from flask.cli import FlaskGroup
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text, update

from app import create_app, translate
from app.auth.models import User
from app.auth.passwords import hash_password
from app.database import db_now
from app.email import OutboxMessage
from app.email.heartbeat import Heartbeat
from app.extensions import db
from config import Testing
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, Postman
from tests.markdown import ROOT, Command, Page
from tests.postgres import programs
from tests.servers import SmtpSink
from tests.test_docs import SHOWN, as_if, place_of

ALICE = "alice@example.com"
OPERATIONS = Page(ROOT / "docs/operations.md")
# What a sentence says only by its name.
COMPLETED = {
    "flask users": "flask users --help",
    "flask users create": f"flask users create {ALICE} --name Alice",
    "flask users enable": f"flask users enable {ALICE}",
    "flask users send-reset": f"flask users send-reset {ALICE}",
    "flask users reset-link": f"flask users reset-link {ALICE}",
    "flask outbox trace": f"flask outbox trace {ALICE}",
}
PLACEHOLDERS = {"EMAIL": ALICE, "NAME": "Alice", "TEXT": "ali", "N": "5", "FILE.csv": "users.csv"}
REFERENCES = ("REFERENCE", "3LGA-L7CN")
HASH = cache(hash_password)


def of_the_table():
    """The commands in the README's table of `flask users`, once as they stand and once with each option beside them."""
    accounts = (ROOT / "README.md").read_text().partition("\n## Accounts\n")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*) \| (.*) \|$", accounts, re.MULTILINE):
        commands, options = (re.findall("`([^`]+)`", cell) for cell in row)
        yield from commands
        yield from (f"{commands[0]} {option}" for option in options if option.startswith("--"))


FLASK = [command for command in SHOWN if command.program == "flask" and not place_of(command)]
FLASK += [Command(f"flask users {rest}", "README.md") for rest in of_the_table()]


@pytest.fixture(scope="module")
def sink():
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """A file with every table and no row, to be copied."""
    path = tmp_path_factory.mktemp("docs") / "rekey.db"
    app = create_app(type("Empty", (Testing,), {"DATABASE_URL": f"sqlite:///{path}"}))
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    return path


@pytest.fixture
def site(empty_database, sink, tmp_path, monkeypatch):
    """An application whose database, catalogues, migrations and working directory a command may change."""
    path = shutil.copy(empty_database, tmp_path)
    settings = {"DATABASE_URL": f"sqlite:///{path}", "MAIL_PORT": sink.port, "MAIL_SUPPRESS_SEND": False}
    app = create_app(type("Documented", (Testing,), settings))
    own_migrations = shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    monkeypatch.setattr(app.extensions["migrate"].migrate, "directory", str(own_migrations))
    monkeypatch.setattr(translate, "TRANSLATIONS", shutil.copytree(translate.TRANSLATIONS, tmp_path / "translations"))
    monkeypatch.setattr(translate, "TEMPLATE", tmp_path / "messages.pot")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.csv").write_text("email,name\ndora@example.com,Dora\n")
    with app.app_context():
        Heartbeat(app, "worker").beat()
    yield app
    dispose(app)


def dispose(app):
    with app.app_context():
        db.engine.dispose()


def add_alice(app):
    with app.app_context():
        User.create(ALICE, "Alice", HASH(PASSWORD))
        db.session.commit()


def add_waiting_mail(app):
    """A mail to Alice that waits for a later try; its reference."""
    Browser(app.test_client()).ask_for_reset(ALICE)
    with app.app_context():
        db.session.execute(update(OutboxMessage).values(attempts=1, due_at=db_now(300)))
        db.session.commit()
        return db.session.scalars(db.select(OutboxMessage)).one().reference


def run(app, words, **options):
    """Run `flask …` in this process."""
    group = FlaskGroup(create_app=lambda: app, load_dotenv=False)
    result = app.test_cli_runner().invoke(group, words[1:], **options)
    assert result.exit_code == 0, f"{shlex.join(words)}: {result.output}"
    return result.stdout_bytes


@pytest.mark.parametrize("command", FLASK, ids=lambda command: command.text)
def test_a_command_that_is_shown_works(site, tmp_path, command):
    text = COMPLETED.get(" ".join(command.words), " ".join(command.words))
    creates = " create " in text
    if not creates:
        add_alice(site)
    known = PLACEHOLDERS | dict.fromkeys(REFERENCES, add_waiting_mail(site))
    words = [known.get(word, word) for word in shlex.split(text)]
    words, target = (words[:-2], words[-1]) if ">" in words else (words, None)
    answers = f"{PASSWORD}\n" * (1 if "--password-stdin" in words else 2)
    output = run(site, words, input=answers if creates else "y\n")
    if target:
        (tmp_path / target).write_bytes(output)
        assert message_from_bytes(output)["Subject"]


def test_the_commands_of_the_table_are_found():
    assert len([*of_the_table()]) > 15


def test_a_mail_that_is_sent_to_try_arrives(site, sink):
    run(site, ["flask", "mail", "test", ALICE])
    assert sink.mails[-1].recipients == [ALICE]


# Other programs


def sh(text, folder, **settings):
    """Run it in a shell that finds our programs first."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, **settings}
    command = ["/bin/sh", "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
    return done.stdout


def shown(beginning):
    [command] = [command for command in SHOWN if command.begins(beginning)]
    return command.text


def test_the_tests_of_one_requirement_are_found():
    found = sh(f"{shown('pytest')} --collect-only --quiet -p no:cacheprovider", ROOT)
    assert found.count("::test_") > 1


def test_wording_of_ones_own_is_compiled_where_it_is_read(tmp_path):
    catalogue = "translations/pt_BR/LC_MESSAGES/messages.po"
    (tmp_path / f"etc/rekey/{catalogue}").parent.mkdir(parents=True)
    shutil.copy(ROOT / "app" / catalogue, tmp_path / f"etc/rekey/{catalogue}")
    sh(as_if(shown("pybabel"), tmp_path), tmp_path)
    assert (tmp_path / f"etc/rekey/{catalogue}").with_suffix(".mo").exists()


@pytest.fixture
def rekey(make_database, database_kind, tmp_path):
    """A migrated site and what commands find of it in the environment."""
    url = make_database("rekey")
    settings = {}
    if database_kind == "postgresql":
        facts = conninfo_to_dict(url)
        path = os.pathsep.join([str(programs()), os.environ["PATH"]])
        settings = {"PGHOST": facts["host"], "PGUSER": facts["user"], "PATH": path}
    else:
        (tmp_path / "var/lib/rekey").mkdir(parents=True)
        url = f"sqlite:///{tmp_path}/var/lib/rekey/rekey.db"
    app = create_app(type("BackedUp", (Testing,), {"DATABASE_URL": url}))
    run(app, ["flask", "db", "upgrade"])
    if settings:
        with app.app_context():
            db.session.execute(text("DROP ROLE IF EXISTS rekey"))
            db.session.execute(text("CREATE ROLE rekey"))
            db.session.commit()
    yield app, settings
    dispose(app)


@pytest.fixture
def lose_everything(rekey, make_database, tmp_path):
    def lose():
        dispose(rekey[0])
        make_database("rekey")
        shutil.rmtree(tmp_path / "var/lib", ignore_errors=True)
        (tmp_path / "var/lib/rekey").mkdir(parents=True)

    return lose


def commands_of(section, kind):
    """Those for this database, in order."""
    others = ("sqlite3",) if kind == "postgresql" else ("pg_dump", "dropdb", "createdb", "pg_restore")
    return [one for one in OPERATIONS.section(section) if not any(word in one.text for word in others)]


def test_a_backup_brings_accounts_back_and_no_session(rekey, lose_everything, database_kind, tmp_path):
    app, settings = rekey
    (tmp_path / "var/backups").mkdir(parents=True)
    backup, *restore = commands_of("Backup", database_kind)
    browser = Browser(app.test_client())
    add_alice(app)
    browser.ask_for_reset(ALICE)
    link = Postman(app).link()
    assert browser.sign_in(ALICE, PASSWORD).status_code == 303

    sh(as_if(backup.text, tmp_path), tmp_path, **settings)
    copy = tmp_path / ("rekey.dump" if settings else "var/backups/rekey.db")
    assert oct(copy.stat().st_mode & 0o777) == "0o600"
    assert Browser(app.test_client()).reset(link, NEW_PASSWORD).status_code == 303
    lose_everything()
    run(app, ["flask", "db", "upgrade"])

    *copy_back, upgrade, sign_out = restore
    dispose(app)
    for command in copy_back:
        sh(as_if(command.text, tmp_path), tmp_path, **settings)
    run(app, upgrade.words)
    assert browser.is_signed_in  # this is why the last line is not optional
    run(app, sign_out.words, input="y\n")
    assert not browser.is_signed_in
    assert browser.get(link).status_code == 410
    assert browser.sign_in(ALICE, PASSWORD).status_code == 303
