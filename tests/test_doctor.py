"""`flask doctor`: every check, with the fault really there."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import flask_migrate
import pytest
import time_machine
from sqlalchemy import text, update

import config
from app import create_app, translate
from app.database import db_now
from app.doctor.database import file_system_of
from app.doctor.files import is_open_to_others
from app.email import OutboxMessage
from app.email.heartbeat import MailWorker
from app.extensions import db
from config import Testing
from tests.servers import HOST, Site, SmtpSink, free_port, make_certificate, wait_for
from tests.smtp_script import ScriptedSmtp, ramble

SECRETS = ("hunter2", Testing.SECRET_KEY)


@pytest.fixture
def make_app(session_app):
    """An application on the database of the tests, with these settings changed."""
    made = []

    def make(**settings):
        settings = {"DATABASE_URL": session_app.config["DATABASE_URL"]} | settings
        made.append(create_app(type("Changed", (Testing,), settings)))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def doctor(app):
    """Exit status and findings, as {name: [finding, …]}."""
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    assert "Traceback" not in result.output
    assert not any(secret in result.output for secret in SECRETS)
    told = json.loads(result.stdout)
    assert result.exit_code == (0 if told["healthy"] else 1)
    findings = {}
    for finding in told["findings"]:
        assert set(finding) == {"check", "level", "what", "fix"}
        findings.setdefault(finding["check"], []).append(finding)
    return result.exit_code, findings


def the(findings, check):
    [finding] = findings[check]
    return finding["level"], f"{finding['what']} {finding['fix']}".strip()


def beat(app, **columns):
    with app.app_context():
        facts = {"id": os.urandom(8).hex(), "host": os.uname().nodename, "pid": 1, "kind": "worker"}
        facts |= {"started_at": db_now(), "seen_at": db_now()}
        db.session.add(MailWorker(**facts | columns))
        db.session.commit()


def test_a_site_that_is_well_is_told_so(app):
    beat(app)
    status, findings = doctor(app)
    assert status == 0
    for check in ("keys", "database", "schema", "clock", "worker", "oldest due mail", "limits", "files"):
        assert the(findings, check)[0] == "ok", check


def test_people_read_it_as_lines_with_the_fix_below(app):
    result = app.test_cli_runner().invoke(args=["doctor"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("wrong        worker"))
    assert lines[place + 1].strip() == "run: flask outbox work"
    assert lines[-1].startswith("1 wrong or unsafe, ")


# Settings


@pytest.mark.parametrize(
    ("settings", "check", "words"),
    [
        ({"RATELIMIT_ENABLED": False}, "limits", "RATELIMIT_ENABLED is off"),
        ({"MAIL_SERVER": "mail.invalid", "MAIL_ALLOW_PLAINTEXT": True}, "mail settings", "MAIL_ALLOW_PLAINTEXT is on"),
        ({"BASE_URL": "http://127.0.0.1"}, "cookies", "Cookies also travel without TLS"),
        ({"BASE_URL": "https://a.example.com"}, "proxies", "TRUSTED_PROXIES is 0"),
        ({"METRICS_BIND": "0.0.0.0:9100"}, "logs and metrics", "whoever reaches it reads the figures"),
    ],
)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_what_is_unwise_is_a_warning_and_no_failure(app, make_app, settings, check, words):
    beat(app)
    status, findings = doctor(make_app(**settings))
    assert status == 0
    level, said = the(findings, check)
    assert level == "warning"
    assert words in said


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_what_cannot_be_seen_from_within_is_not_claimed(app, make_app):
    findings = doctor(make_app(BASE_URL="https://a.example.com", TRUSTED_PROXIES=2))[1]
    assert the(findings, "proxies")[0] == "not checked"


def test_a_database_elsewhere_is_to_be_reached_over_tls(make_app):
    def level(options):
        app = create_app(
            type("Far", (Testing,), {"DATABASE_URL": f"postgresql://rekey:hunter2@db.invalid/rekey{options}"})
        )
        return the(doctor(app)[1], "database url")[0]

    assert level("") == "warning"
    assert level("?sslmode=verify-full") == "ok"


def test_unsafe_settings_stop_it_like_every_command(tmp_path):
    settings = {"FLASK_CONFIG": "production", "SECRET_KEY": "hunter2", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "flask", "doctor"]
    result = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 3
    assert "SECRET_KEY is shorter than 32 characters" in result.stderr
    assert "hunter2" not in result.stdout + result.stderr
    assert result.stdout == ""


def test_unsafe_settings_are_told_as_json_to_who_asks_for_it():
    settings = {"FLASK_CONFIG": "production", "SECRET_KEY": "hunter2", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "flask", "doctor", "--json"]
    result = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 3
    told = json.loads(result.stdout)
    assert told["healthy"] is False
    assert {finding["level"] for finding in told["findings"]} == {"unsafe"}
    assert told["findings"][0].keys() == {"check", "level", "what", "fix"}
    assert "hunter2" not in result.stdout + result.stderr


# Database


def test_a_database_that_is_away_is_told_and_the_rest_is_checked(make_app, database_kind, tmp_path):
    away = {
        "sqlite": f"sqlite:///{tmp_path}/nowhere/rekey.db",
        "postgresql": f"postgresql://rekey:hunter2@{HOST}:{free_port()}/rekey",
    }
    status, findings = doctor(make_app(DATABASE_URL=away[database_kind]))
    assert status == 1
    level, words = the(findings, "database")
    assert level == "wrong"
    assert "check DATABASE_URL" in words
    assert the(findings, "delivery")[0] == "not checked"
    assert "keys" in findings


def test_a_database_that_hangs_does_not_hang_the_doctor(make_app):
    with socket.create_server((HOST, 0)) as mute:
        started = time.monotonic()
        url = f"postgresql://rekey:hunter2@{HOST}:{mute.getsockname()[1]}/rekey"
        assert the(doctor(make_app(DATABASE_URL=url))[1], "database")[0] == "wrong"
        assert time.monotonic() - started < 60


@pytest.fixture
def migrated(make_database, make_app):
    app = make_app(DATABASE_URL=make_database("doctor"))
    with app.app_context():
        flask_migrate.upgrade()
        yield app
        db.session.remove()


def test_a_schema_behind_names_the_command(migrated):
    assert the(doctor(migrated)[1], "schema")[0] == "ok"
    flask_migrate.downgrade()
    status, findings = doctor(migrated)
    assert status == 1
    assert the(findings, "schema") == ("wrong", "The schema is older than this code run: flask db upgrade")
    flask_migrate.downgrade(revision="base")
    assert the(doctor(migrated)[1], "schema") == ("wrong", "The database has no tables yet run: flask db upgrade")


def test_a_schema_of_the_next_release_is_a_warning(migrated):
    db.session.execute(text("UPDATE alembic_version SET version_num = 'of-the-next'"))
    db.session.commit()
    assert the(doctor(migrated)[1], "schema")[0] == "warning"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True, scope="session")
@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (30, "warning"), (-30, "warning"), (400, "wrong")])
def test_a_clock_that_is_off_is_told(app, seconds, level):
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=True):
        told, words = the(doctor(app)[1], "clock")
    assert told == level
    assert level == "ok" or "NTP" in words


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_a_sqlite_file_that_several_hosts_use_is_told(app):
    beat(app)
    assert the(doctor(app)[1], "hosts")[0] == "ok"
    beat(app, host="another", seen_at=db_now(-70))
    assert the(doctor(app)[1], "hosts")[0] == "ok"
    beat(app, host="another")
    level, words = the(doctor(app)[1], "hosts")
    assert level == "warning"
    assert "another" in words
    assert "PostgreSQL" in words


def test_the_file_system_is_that_of_the_longest_mount(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda / ext4 rw 0 0\nserver:/x /srv/data nfs4 rw 0 0\ntmpfs /srv/data/local tmpfs rw 0 0\n")
    assert file_system_of(Path("/srv/data/rekey.db"), mounts) == "nfs4"
    assert file_system_of(Path("/srv/data/local/rekey.db"), mounts) == "tmpfs"
    assert file_system_of(Path("/srv/database/rekey.db"), mounts) == "ext4"
    assert file_system_of(Path("/x"), tmp_path / "none") is None


# Delivery


def test_mail_that_does_not_leave_is_told(app, browser, alice):
    beat(app)
    browser.ask_for_reset(alice)
    assert the(doctor(app)[1], "oldest due mail")[0] == "ok"
    with app.app_context():
        db.session.execute(update(OutboxMessage).values(due_at=db_now(-300)))
        db.session.commit()
    status, findings = doctor(app)
    assert status == 1
    assert "due for 30" in the(findings, "oldest due mail")[1]


def test_without_mail_no_worker_is_missed(app, make_app):
    status, findings = doctor(make_app(MAIL_DELIVERY="off"))
    assert status == 0
    assert "flask users waiting" in the(findings, "worker")[1]


# Mail server

STEPS = ["name", "connection", "TLS", "certificate", "login", "sender"]


@pytest.fixture
def mail(make_app):
    """The level and the words of each step, and the exit status, with these settings."""

    def mail(**settings):
        settings = {"MAIL_SUPPRESS_SEND": False, "MAIL_TIMEOUT": 2} | settings
        findings = doctor(make_app(**settings))[1]
        return {step: the(findings, f"mail: {step}") for step in STEPS}

    return mail


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    names = {"ours": f"IP:{HOST}", "wrong name": "DNS:elsewhere.example"}
    return {name: make_certificate(tmp_path_factory.mktemp("tls"), subject) for name, subject in names.items()}


def fails_at(told, step, words):
    place = STEPS.index(step)
    assert [told[each][0] for each in STEPS[:place]] == ["ok"] * place
    assert told[step][0] == "wrong"
    assert words in told[step][1]
    assert [told[each][0] for each in STEPS[place + 1 :]] == ["not checked"] * (len(STEPS) - place - 1)


sqlite_only = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")


@sqlite_only
def test_a_mail_server_that_is_well_is_asked_all_but_the_recipient(mail, certificates):
    login = {"MAIL_USERNAME": "rekey", "MAIL_PASSWORD": "hunter2"}
    trust = {"MAIL_USE_TLS": True, "MAIL_CA_FILE": str(certificates["ours"].certificate)}
    with SmtpSink(certificates["ours"], login=("rekey", "hunter2")) as sink:
        told = mail(MAIL_PORT=sink.port, **login, **trust)
    assert [told[step][0] for step in STEPS] == ["ok"] * 6
    assert sink.tries == []
    with ScriptedSmtp() as server:
        mail(MAIL_PORT=server.port)
        assert server.steps == ["CONNECT", "EHLO", "MAIL"]


@sqlite_only
def test_a_name_that_does_not_resolve(mail):
    fails_at(mail(MAIL_SERVER="mail.invalid", MAIL_USE_TLS=True), "name", "does not resolve. Check MAIL_SERVER")


@sqlite_only
def test_a_port_nobody_listens_on(mail):
    fails_at(mail(MAIL_PORT=free_port()), "connection", "Nothing listens")


@sqlite_only
def test_a_server_without_starttls(mail):
    with SmtpSink() as sink:
        fails_at(mail(MAIL_PORT=sink.port, MAIL_USE_TLS=True), "TLS", "STARTTLS")


@sqlite_only
def test_a_port_that_does_not_begin_with_tls(mail):
    with SmtpSink() as sink:
        fails_at(mail(MAIL_PORT=sink.port, MAIL_USE_SSL=True), "TLS", "does not begin with TLS")


@sqlite_only
@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_is_wrong(mail, certificates, trusted, from_the_start):
    certificate = certificates["wrong name" if trusted else "ours"]
    settings = {"MAIL_USE_SSL": from_the_start, "MAIL_USE_TLS": not from_the_start}
    if trusted:
        settings["MAIL_CA_FILE"] = str(certificate.certificate)
    with SmtpSink(certificate, tls_from_the_start=from_the_start) as sink:
        fails_at(mail(MAIL_PORT=sink.port, **settings), "certificate", "is not trusted")


@sqlite_only
def test_a_login_that_is_refused(mail, certificates):
    settings = {"MAIL_USE_TLS": True, "MAIL_CA_FILE": str(certificates["ours"].certificate)}
    settings |= {"MAIL_USERNAME": "rekey", "MAIL_PASSWORD": "hunter2"}
    with SmtpSink(certificates["ours"], login=("rekey", "right")) as sink:
        fails_at(mail(MAIL_PORT=sink.port, **settings), "login", "The login was refused: 535")


@sqlite_only
def test_a_sender_that_is_refused(mail):
    with ScriptedSmtp() as server:
        server.script["MAIL"] = "550 5.7.1 <no-reply@rekey.example> not yours"
        fails_at(mail(MAIL_PORT=server.port), "sender", "takes no mail from this sender: 550 5.7.1 not yours")


@sqlite_only
def test_a_server_that_talks_for_ever_is_hung_up_on(mail, monkeypatch):
    monkeypatch.setattr("app.email.rehearsal.SECONDS", 1)
    with ScriptedSmtp() as server:
        server.script["CONNECT"] = ramble
        fails_at(mail(MAIL_PORT=server.port), "connection", "took longer than 1 seconds")


# Files


@pytest.fixture
def open_folder():
    """A folder that every user can enter; those of pytest none can."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@sqlite_only
def test_a_secret_that_everybody_can_read_is_told(app, make_app, open_folder):
    secret = open_folder / "key"
    secret.write_text("x")
    secret.chmod(0o640)
    assert the(doctor(make_app(SECRET_FILES=(secret,)))[1], "files")[0] == "ok"
    secret.chmod(0o644)
    level, words = the(doctor(make_app(SECRET_FILES=(secret,)))[1], "files")
    assert (level, f"chmod o-rwx {secret}" in words) == ("warning", True)
    open_folder.chmod(0o700)
    assert not is_open_to_others(secret)


@sqlite_only
def test_so_is_a_sqlite_file(make_app, open_folder):
    path = open_folder / "rekey.db"
    path.touch(0o644)
    level, words = the(doctor(make_app(DATABASE_URL=f"sqlite:///{path}"))[1], "files")
    assert (level, str(path) in words) == ("warning", True)


def test_the_files_that_secrets_were_read_from_are_known(tmp_path, monkeypatch):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    monkeypatch.setattr("os.environ", {"SECRET_KEY_FILE": str(key), "FLASK_CONFIG": "development"})
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    assert config.load()["SECRET_FILES"] == (key, tmp_path / ".env", tmp_path / "secret_key")


@sqlite_only
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_language_that_is_not_compiled_is_told(app, tmp_path, monkeypatch):
    for language in ("pt_BR", "zh_Hant_TW"):
        (tmp_path / language / "LC_MESSAGES").mkdir(parents=True)
        shutil.copy(translate.catalogue(language), tmp_path / language / "LC_MESSAGES")
    shutil.copy(translate.compiled("pt_BR"), tmp_path / "pt_BR/LC_MESSAGES")
    monkeypatch.setattr(translate, "TRANSLATIONS", tmp_path)
    status, found = doctor(app)
    [finding] = found["translations"]
    assert status == 1
    assert finding["what"] == "Not compiled, and so shown in English: zh_Hant_TW"
    assert finding["fix"] == "run: flask translate compile"


def test_running_as_root_is_told(app):
    assert the(doctor(app)[1], "user")[0] == "warning"
    os.seteuid(65534)
    try:
        level = the(doctor(app)[1], "user")[0]
    finally:
        os.seteuid(0)
    assert level == "ok"


# The real thing


def test_a_worker_that_is_killed_is_missed_after_a_minute(app, make_app, tmp_path):
    with Site(tmp_path, DATABASE_URL=app.config["DATABASE_URL"], MAIL_DELIVERY="worker") as site:
        worker = site.start_worker()
        wait_for(lambda: the(doctor(app)[1], "worker")[0] == "ok", "the heartbeat")
        worker.kill()
    assert the(doctor(app)[1], "worker")[0] == "ok"  # it may only have been slow
    with app.app_context():
        db.session.execute(update(MailWorker).values(seen_at=db_now(-61)))  # in place of waiting
        db.session.commit()
    assert the(doctor(app)[1], "worker")[0] == "wrong"
    assert the(doctor(make_app(MAIL_DELIVERY="thread"))[1], "worker")[0] == "warning"
