"""The site as it is deployed: real processes, a real mail server, and what is left when one of them dies."""

import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.email import OutboxMessage
from app.email.outbox import LEASE_SECONDS
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.servers import HOST, HttpBrowser, Program, Site, SmtpSink, wait_for

STRANGER = "Zoe.O'Neil+rekey@example.com"  # mailed to exactly as typed
CHECK_YOUR_INBOX = "/auth/check_your_inbox"


@pytest.fixture
def sink():
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def site(app, sink, tmp_path):
    """A site that is not started yet, on the database of the test."""
    with Site(tmp_path, DATABASE_URL=app.config["DATABASE_URL"], MAIL_PORT=sink.port) as site:
        yield site


@pytest.fixture
def rows(app):
    """The outbox as it stands, on every call."""

    def read():
        with app.app_context():
            db.session.connection(execution_options={"sqlite_begin": "DEFERRED"})  # looking on must not lock anyone out
            return db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()

    return read


@pytest.fixture
def let_a_minute_pass(app):
    """Moves every promised mail a lease nearer, as waiting would."""

    def move():
        with app.app_context():
            for row in db.session.scalars(select(OutboxMessage).where(OutboxMessage.done_at.is_(None))):
                row.due_at -= timedelta(seconds=LEASE_SECONDS)
            db.session.commit()

    return move


def test_a_stranger_becomes_a_user_forgets_the_password_and_gets_back_in(make_database, sink, tmp_path):
    with Site(tmp_path, DATABASE_URL=make_database("journey"), MAIL_PORT=sink.port) as site:
        site.flask("db", "upgrade")
        site.start()
        browser = HttpBrowser(site.url)

        assert browser.register(STRANGER).location == CHECK_YOUR_INBOX
        link = link_in(sink.receive())
        finished = browser.fill(link, name="Zoë", password=PASSWORD, password2=PASSWORD)
        assert finished.location == "/auth/login"

        assert browser.sign_in(STRANGER, PASSWORD).status_code == 303
        assert browser.is_signed_in
        browser.sign_out()
        assert not browser.is_signed_in

        assert browser.ask_for_reset(STRANGER).location == CHECK_YOUR_INBOX
        link = link_in(sink.receive())
        assert browser.reset(link, NEW_PASSWORD).location == "/auth/login"
        assert link_in(sink.receive()) == f"{site.url}/auth/reset_password_request"  # in the notice of the change

        assert browser.sign_in(STRANGER, PASSWORD).status_code == 422
        assert browser.sign_in(STRANGER, NEW_PASSWORD).status_code == 303
        assert browser.is_signed_in


def link_in(mail):
    """The link of a mail that is also made as mail should be."""
    assert (mail.sender, mail.recipients) == ("no-reply@rekey.example", [STRANGER])
    assert mail.message["To"] == STRANGER
    assert mail.message_id.endswith("@rekey.example>")
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.html_links == set(mail.links)
    assert mail.source.isascii()
    assert max(len(line) for line in mail.source.split(b"\r\n")) <= 78
    return mail.link


def test_a_promise_outlives_the_death_of_the_server(site, sink, alice, let_a_minute_pass):
    sink.stop()
    server = site.start()
    assert HttpBrowser(site.url).ask_for_reset(alice).location == CHECK_YOUR_INBOX
    server.kill()

    sink.start()
    let_a_minute_pass()  # for the case that the delivery thread had the mail in hand at that moment
    site.start_unseen()
    assert sink.receive().recipients == [alice]


def test_a_server_killed_while_it_sends_leaves_the_mail_to_the_next_one(site, sink, alice, rows, let_a_minute_pass):
    sink.silent = True
    server = site.start()
    HttpBrowser(site.url).ask_for_reset(alice)
    wait_for(lambda: sink.tries, "the mail to be in hand")
    server.kill()
    [row] = rows()
    assert row.done_at is None

    sink.silent = False
    let_a_minute_pass()
    site.start_unseen()
    assert sink.receive().message_id == sink.tries[0].message_id
    wait_for(lambda: rows()[0].outcome == "sent", "the mail to be marked")


def test_a_worker_delivers_what_the_web_process_promised(site, sink, alice):
    site.settings["MAIL_DELIVERY"] = "worker"
    site.start()
    browser = HttpBrowser(site.url)
    browser.ask_for_reset(alice)
    assert json.loads(site.flask("outbox", "status", "--json"))["due"] == 1

    worker = site.start_worker()
    sink.receive()
    browser.ask_for_reset(alice)
    asked = time.monotonic()
    link = sink.receive().link
    assert time.monotonic() - asked < 2
    assert browser.reset(link, NEW_PASSWORD).status_code == 303

    told = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - told < 5


@pytest.mark.parametrize("delivery", ["thread", "worker"])
def test_a_process_told_to_stop_finishes_the_mail_in_hand(site, sink, alice, rows, delivery):
    site.settings["MAIL_DELIVERY"] = delivery
    server = site.start()
    sender = site.start_worker() if delivery == "worker" else server
    sink.silent = True
    HttpBrowser(site.url).ask_for_reset(alice)
    wait_for(lambda: sink.tries, "the mail to be in hand")

    sender.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        sender.wait(0.5)
    sink.silent = False
    assert sender.wait() == 0
    assert [row.outcome for row in rows()] == ["sent"]
    assert len(sink.mails) == 1
    assert "Traceback" not in sender.output


def test_an_idle_server_told_to_stop_exits_at_once(site):
    server = site.start()
    told = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - told < 5
    assert "Traceback" not in server.output


def test_two_server_processes_send_every_mail_once(site, sink, alice, rows):
    sink.silent = True
    site.settings |= {"MAIL_TIMEOUT": 60, "RATELIMIT_ENABLED": 0}
    server = site.start("--workers", "2")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: HttpBrowser(site.url).ask_for_reset(alice), range(30)))
    assert {answer.location for answer in answers} == {CHECK_YOUR_INBOX}
    wait_for(lambda: len(sink.tries) == 2, "each process to have a mail in hand")

    sink.silent = False
    wait_for(lambda: [row.outcome for row in rows()] == ["sent"] * 30, "30 mails to be sent")
    assert server.stop() == 0
    assert len(sink.mails) == len({mail.message_id for mail in sink.mails}) == 30
    assert len({mail.session for mail in sink.mails}) == 2


def test_a_mail_server_too_busy_to_take_a_mail_gets_the_same_one_again(site, sink, alice, rows, let_a_minute_pass):
    sink.busy = 1
    site.start()
    HttpBrowser(site.url).ask_for_reset(alice)
    wait_for(lambda: rows()[0].last_error, "the first try to be over")
    [row] = rows()
    assert row.last_error == "SMTPDataError: 451 4.3.0 Come back later"
    assert timedelta(seconds=4) <= row.due_at - row.created_at < timedelta(seconds=LEASE_SECONDS)

    let_a_minute_pass()
    sink.receive()
    wait_for(lambda: rows()[0].outcome == "sent", "the mail to be marked")
    assert len(sink.mails) == 1
    assert [mail.message_id for mail in sink.tries] == [sink.mails[0].message_id] * 2


MISSING = ("SECRET_KEY", "BASE_URL", "DATABASE_URL", "MAIL_SERVER", "MAIL_DEFAULT_SENDER")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "gunicorn", "wsgi:app", "--bind", "127.0.0.1:0"],
        ["-m", "flask", "db", "upgrade"],
        ["-m", "flask", "outbox", "work"],
        ["-c", "import wsgi"],
    ],
    ids=lambda arguments: " ".join(arguments[1:3]),
)
def test_production_without_its_settings_refuses_once_and_names_them_all(arguments, tmp_path):
    with Program(*arguments, output=tmp_path / "output.txt", settings={"FLASK_CONFIG": "production"}) as program:
        assert program.wait(10) == 3
        assert program.output.count("Rekey cannot start") == 1
        assert [program.output.count(f"- {name} is missing") for name in MISSING] == [1] * len(MISSING)
        assert program.output.count(" is missing") == len(MISSING)
        assert "Traceback" not in program.output
        assert "Booting worker" not in program.output


@pytest.mark.parametrize(
    ("told", "processes"), [({"WEB_CONCURRENCY": 3}, 3), ({}, max(2, len(os.sched_getaffinity(0))))]
)
def test_gunicorn_has_as_many_processes_as_it_is_told_else_one_a_core(tmp_path, told, processes):
    settings = dict.fromkeys(MISSING, "x" * 20 + "0123456789abcdef") | {"FLASK_CONFIG": "production"} | told
    settings |= {"BASE_URL": "https://a.example", "DATABASE_URL": f"sqlite:///{tmp_path}/a.db"}
    settings |= {"MAIL_SERVER": HOST, "MAIL_DEFAULT_SENDER": "a@example.com"}
    arguments = ["-m", "gunicorn", "--print-config", "wsgi:app"]
    with Program(*arguments, output=tmp_path / "output.txt", settings=settings) as program:
        assert program.wait() == 0, program.output
    options = dict(re.findall(r"^(\w+) += (.*)$", program.output, re.MULTILINE))
    assert int(options["workers"]) == processes
    assert (options["accesslog"], options["control_socket_disable"]) == ("None", "True")
    assert int(options["max_requests"]) > int(options["max_requests_jitter"]) > 0
