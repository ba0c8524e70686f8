"""Nothing secret is left lying about: a whole journey through the site as production runs it, and then a search.

Every secret of the journey is known here and looked for in what the processes wrote, in the database and in its files.
"""

import json
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote, quote_plus
from zlib import decompress

import pytest
from itsdangerous import base64_decode
from sqlalchemy import create_engine, inspect, text

from app.auth.tokens import PURPOSES
from config_checks import sqlalchemy_url
from tests.servers import HttpBrowser, Site, SmtpSink, make_certificate

ADDRESS = "canary.in.the.mine@example.com"
STRANGER = "stranger.canary@example.com"
FIRST = "canary yellow feathers 7Qx on a perch"
SECOND = "canary green feathers 9Zk in a cage"
WRONG = "canary wrong feathers 3Wv in the dark"
KEY = "canary-key-5d0c1f8a7b6e4932c1d0-of-the-site"
OLD_KEY = "canary-old-key-77aa1f8a7b6e4932c1d0-of-the-site"
LOGIN = ("mailer", "canary-smtp-password-4Hn")
LOUDEST = ("--log-level", "debug", "--access-logfile", "-", "--error-logfile", "-", "--capture-output")


class Journey:
    """What somebody does on the site, and every secret that comes up on the way."""

    def __init__(self, site, sink):
        self.site, self.sink = site, sink
        self.browser = HttpBrowser(site.url)
        self.tokens: dict[str, str] = {}  # the last of each purpose
        self.secrets: dict[str, set[str]] = defaultdict(set)  # by kind
        self.keep("key", KEY, OLD_KEY)
        self.keep("SMTP password", LOGIN[1])
        self.keep("password", FIRST, SECOND, WRONG)

    def keep(self, kind, *secrets):
        self.secrets[kind].update(secrets)

    def walk(self):
        self.browser.register(ADDRESS)
        self.use(self.mailed_link("/auth/register/"), FIRST, name="Canary")
        self.sign_in(WRONG, 422)
        self.sign_in(FIRST, 303)
        first = self.ask_for_reset()
        self.use(first, SECOND)
        assert self.browser.get(first).status_code == 410
        self.sign_in(SECOND, 303)
        self.ask_for_reset()
        self.say_it_was_not_me()
        self.browser.sign_out()
        self.note_cookies()
        HttpBrowser(self.site.url).ask_for_reset(STRANGER)
        self.print_a_link()

    def mailed_link(self, path):
        while True:  # past the notices
            mail = self.sink.receive()
            self.keep_tokens(mail.text)
            if path in mail.text:
                return mail.link_to(path)

    def keep_tokens(self, written):
        for purpose, token in re.findall(r"/auth/(\w+)/([\w.-]+)$", written, re.MULTILINE):
            if purpose in PURPOSES:
                self.keep(purpose, token)
                self.tokens[purpose] = token

    def ask_for_reset(self):
        self.browser.ask_for_reset(ADDRESS)
        return self.mailed_link("/auth/reset_password/")

    def use(self, link, password, **fields):
        page = self.browser.get(link)
        assert page.status_code == 200
        self.note_cookies()
        self.keep("CSRF token", self.browser.form.fields["csrf_token"])
        assert self.browser.submit(password=password, password2=password, **fields).status_code == 303

    def sign_in(self, password, status):
        assert self.browser.sign_in(ADDRESS, password, remember="y").status_code == status
        self.note_cookies()

    def say_it_was_not_me(self):
        assert self.browser.fill(f"/auth/not_me/{self.tokens['not_me']}").status_code == 303

    def note_cookies(self):
        for cookie in self.browser.client.cookies:
            self.keep(f"{cookie.name} cookie", cookie.value)
            if cookie.name == "session":
                self.note_inside(cookie.value)

    def note_inside(self, cookie):
        """What the session's cookie holds: that would do as well."""
        packed, content = cookie.startswith("."), base64_decode(cookie.lstrip(".").split(".")[0])
        inside = json.loads(decompress(content) if packed else content)
        if "_user_id" in inside:
            self.keep("session", inside["_user_id"])
        self.keep("CSRF value", inside["csrf_token"])

    def print_a_link(self):
        """A terminal is where it belongs; what it printed is kept apart from the logs."""
        self.keep_tokens(self.site.flask("users", "reset-link", ADDRESS))
        self.site.programs.pop()

    def find_in(self, searched: bytes):
        """The kinds of secret that are in it, as they are or as a URL or a form spells them."""
        spellings = {kind: spellings_of(secrets) for kind, secrets in self.secrets.items()}
        return [kind for kind, spelled in spellings.items() if any(text.encode() in searched for text in spelled)]


def spellings_of(secrets):
    return {spell(secret) for secret in secrets for spell in (str, quote, quote_plus)}


@pytest.fixture(scope="module", params=["text", "json"])
def log_format(request):
    return request.param


@pytest.fixture(scope="module")
def database(make_database, log_format):
    return make_database(f"canaries_{log_format}")


@pytest.fixture(scope="module")
def walked(database, log_format, tmp_path_factory):
    """A journey that was just made; the site still runs."""
    directory = tmp_path_factory.mktemp("canaries")
    certificate = make_certificate(directory, "IP:127.0.0.1")
    with (
        SmtpSink(certificate, login=LOGIN) as sink,
        Site(directory, DATABASE_URL=database, MAIL_PORT=sink.port) as site,
    ):
        site.settings |= {
            "LOG_FORMAT": log_format,
            "SECRET_KEY": KEY,
            "SECRET_KEY_FALLBACKS": OLD_KEY,
            "MAIL_USE_TLS": 1,
        }
        site.settings |= {"MAIL_CA_FILE": certificate.certificate, "MAIL_USERNAME": LOGIN[0], "MAIL_PASSWORD": LOGIN[1]}
        site.flask("db", "upgrade")
        server = site.start(*LOUDEST)
        journey = Journey(site, sink)
        journey.walk()
        yield journey
        server.stop()  # gently: the mail server hears QUIT


@pytest.fixture
def engine(database):
    engine = create_engine(sqlalchemy_url(database), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def logs(journey):
    return "".join(program.output for program in journey.site.programs)


def dump(engine):
    """Every row of every table as text, those of no model of ours included."""
    with engine.connect() as connection:
        tables = inspect(engine).get_table_names()
        rows = [row for table in tables for row in connection.execute(text(f'SELECT * FROM "{table}"'))]
    return "\n".join(str(value) for row in rows for value in row)


def files(engine):
    """The bytes of the database as it lies on the disk, write-ahead log and the server's own log included."""
    with engine.connect() as connection:
        connection.exec_driver_sql("CHECKPOINT" if engine.dialect.name == "postgresql" else "PRAGMA wal_checkpoint")
    path = Path(engine.url.query["host"] if engine.dialect.name == "postgresql" else engine.url.database)
    found = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return b"".join(file.read_bytes() for file in found if file.is_file())


KINDS = [
    *("key", "SMTP password", "password", "register", "reset_password", "not_me"),
    *("session cookie", "device cookie", "session", "CSRF token", "CSRF value"),
]


def test_the_journey_knows_its_secrets(walked):
    assert set(KINDS) <= walked.secrets.keys()
    assert all(len(secret) >= 20 for secrets in walked.secrets.values() for secret in secrets)
    assert LOGIN in walked.sink.logins
    for kind in KINDS:
        for secret in walked.secrets[kind]:
            assert walked.find_in(f"GET /{secret} ".encode()) == [kind]
    assert walked.find_in(quote_plus(FIRST).encode()) == ["password"]


@pytest.mark.asvs("16.2.5", "14.2.4", "14.2.1", "11.7.2")
def test_no_secret_is_in_the_logs(walked):
    written = logs(walked)
    assert "POST /auth/login" in written
    assert walked.find_in(written.encode()) == []


@pytest.mark.asvs("16.2.4")
def test_every_line_is_in_the_form_that_was_asked_for(walked, log_format):
    """Those of gunicorn too, as loud as they go."""
    server = next(program for program in walked.site.programs if "Booting worker" in program.output)
    for line in server.output.splitlines():
        if log_format == "json":
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
        elif re.match(r"\d{4}-", line):
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) [a-z._]+( \[\w+\])?: ", line)


@pytest.mark.asvs("16.2.5", "14.2.4")
def test_no_full_address_is_in_the_logs(walked):
    written = logs(walked).lower()
    assert [address for address in (ADDRESS, STRANGER) if address in written or quote(address) in written] == []


@pytest.mark.asvs("6.5.2", "14.2.4", "11.7.2")
def test_no_secret_is_in_the_database(walked, engine):
    rows = dump(engine)
    assert ADDRESS in rows
    assert "$argon2id$" in rows
    assert walked.find_in(rows.encode()) == []


@pytest.mark.asvs("14.2.4", "11.7.2")
def test_no_secret_is_in_the_files_of_the_database(walked, engine):
    content = files(engine)
    assert ADDRESS.encode() in content
    assert walked.find_in(content) == []


MISHAPS = {
    "sqlite": "CREATE TRIGGER mishap BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'mishap'); END",
    "postgresql": "ALTER TABLE users ADD CONSTRAINT mishap CHECK (password_hash IS NULL) NOT VALID",
}


@pytest.mark.asvs("16.2.5", "16.5.1", "11.7.2")
def test_the_trace_of_a_failure_holds_no_secret_and_no_address(walked, engine):
    """A database that refuses to keep the new password; PostgreSQL quotes the whole row it refuses."""
    walked.browser.get(f"/auth/reset_password/{walked.tokens['reset_password']}")
    walked.note_cookies()
    before = len(logs(walked))
    with engine.connect() as connection:
        connection.exec_driver_sql(MISHAPS[engine.dialect.name])
    assert walked.browser.submit(password=SECOND, password2=SECOND).status_code == 500

    trace = logs(walked)[before:]
    assert "Traceback" in trace
    assert "IntegrityError" in trace
    assert walked.find_in(trace.encode()) == []
    assert ADDRESS not in trace
    assert "$argon2" not in trace
