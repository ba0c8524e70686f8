"""Accounts that come in a file: all good lines get in, each bad one is named, and nothing that was there changes."""

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from app import create_app
from app.auth import user_import
from app.auth.models import User
from app.auth.passwords import hash_password
from app.auth.user_import import BadLine, read
from app.email import parse_address
from app.extensions import db
from config import Testing
from tests.conftest import NEW_PASSWORD, PASSWORD

DJANGO = "pbkdf2_sha256$1000$saltysaltysalty$Ewfl0jlCqIMoAcI4r0FSvt1T72ypWpadtYrT/NRVoM8="
DJANGO_PASSWORD = "zwölf kleine Pinguine"
LONG_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "A" * 43 + "$" + "A" * 200
# What it takes of memory, apart from the pages it shares with the parent at its start.
PEAK = """
import atexit, re, sys
from pathlib import Path
from flask.cli import main
peak = lambda: re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: print("peak", peak(), file=sys.stderr))
main()
"""


@pytest.fixture
def load(runner):
    """Runs `flask users import -` on text or bytes."""

    def load(content, *options, status=0):
        result = runner.invoke(args=["users", "import", "-", *options], input=content)
        assert result.exit_code == status or status is None, result.output
        assert "Traceback" not in result.output
        return result

    return load


@pytest.fixture
def users(app):
    """The accounts by address."""

    def users():
        with app.app_context():
            return {user.email: user for user in db.session.scalars(select(User).order_by(User.id))}

    return users


@pytest.fixture
def flask(app, root):
    """`flask …` as an operator starts it, on the database of this test."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "FLASK_CONFIG": "production",
        "SECRET_KEY": Testing.SECRET_KEY,
        "BASE_URL": "http://127.0.0.1:5000",
        "MAIL_DELIVERY": "off",
        "DATABASE_URL": app.config["DATABASE_URL"],
    }

    def flask(*args, python=("-m", "flask"), **options):
        command = [sys.executable, *python, *map(str, args)]
        return subprocess.run(command, cwd=root, env=environment, timeout=300, **options)

    return flask


def summary(result):
    """New, skipped, bad."""
    found = re.search(
        r"^(\d+) (?:would be )?imported, (\d+) skipped \(had an account\), (\d+) bad lines?; "
        r"\d+\.\d s, \d+ rows a second$",
        result.stdout,
        re.MULTILINE,
    )
    return tuple(map(int, found.groups()))


def test_accounts_are_made_with_what_the_file_tells(load, users):
    result = load(
        "email,name,password_hash,created_at\n"
        f"alice@example.com,Alice Ö,{DJANGO},2020-02-29T12:00:00Z\n"
        '"bob@example.com","Smith, ""Bob""",,\n'
    )
    assert (summary(result), result.stderr) == ((2, 0, 0), "")
    alice, bob = users().values()
    assert (alice.name, alice.password_hash) == ("Alice Ö", DJANGO)
    assert alice.created_at == datetime(2020, 2, 29, 12, tzinfo=UTC)
    assert (bob.name, bob.password_hash) == ('Smith, "Bob"', None)
    assert abs(datetime.now(UTC) - bob.created_at).total_seconds() < 3600
    assert alice.security_stamp != bob.security_stamp
    assert len(bob.security_stamp) == 22


def test_columns_come_in_any_order_and_most_may_be_missing(load, users):
    load(f"created_at, PASSWORD_HASH ,Email\n2020-01-01,{DJANGO},alice@example.com\n")
    load("email\nbob@example.com\n")
    alice, bob = users().values()
    assert (alice.password_hash, alice.created_at.year) == (DJANGO, 2020)
    assert bob.password_hash is None


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_files_of_every_system_are_read(load, users, start, end, last):
    text = (
        start + end.join(["email,name", "alice@example.com,Alice", "", "bob@example.com,Bob"]) + (end if last else "")
    )
    assert summary(load(text)) == (2, 0, 0)
    assert [user.name for user in users().values()] == ["Alice", "Bob"]


def test_a_file_is_read_by_its_name(runner, tmp_path, users):
    path = tmp_path / "users.csv"
    path.write_text("email\nalice@example.com\n")
    result = runner.invoke(args=["users", "import", str(path)])
    assert (result.exit_code, list(users())) == (0, ["alice@example.com"])


def test_who_was_imported_signs_in_with_the_old_password(load, browser, users):
    load(f"email,password_hash\nalice@example.com,{DJANGO}\n")
    assert browser.sign_in("alice@example.com", DJANGO_PASSWORD).status_code == 303
    assert users()["alice@example.com"].password_hash.startswith("$argon2id$")


def test_who_came_without_a_password_gets_one_by_a_mailed_link(load, browser, postman):
    load("email\nalice@example.com\n")
    assert browser.sign_in("alice@example.com", "").status_code == 422
    browser.ask_for_reset("alice@example.com")
    assert browser.reset(postman.link(), NEW_PASSWORD).status_code == 303
    assert browser.sign_in("alice@example.com", NEW_PASSWORD).status_code == 303


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("alice@example.com", "alice"),
        ("john.smith@example.com", "john smith"),
        ("www.example.com/x@example.com", "www example com-x"),
        ("Alice_B@example.com", "Alice_B"),
    ],
)
def test_a_missing_name_is_the_local_part_and_never_looks_like_a_link(load, users, address, name):
    load(f"email,name\n{address}, \n")
    [user] = users().values()
    assert (user.email, user.name) == (address, name)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-02-29", (2020, 2, 29)),
        ("2020-02-29 12:30", (2020, 2, 29, 12, 30)),
        ("2020-02-29T12:30:00+02:00", (2020, 2, 29, 10, 30)),
        ("20200229T123000Z", (2020, 2, 29, 12, 30)),
        ("2020-02-29T12:30:00.123456", (2020, 2, 29, 12, 30, 0, 123456)),
    ],
)
def test_dates_are_iso_8601_and_in_utc_without_a_zone(load, users, text, moment):
    load(f"email,created_at\nalice@example.com,{text}\n")
    assert users()["alice@example.com"].created_at == datetime(*moment, tzinfo=UTC)


BAD_LINES = [
    ("nobody,Name,,", "email: .*@-sign"),
    (",Name,,", "email: .*@-sign"),
    ("a@b@example.com,Name,,", "email: "),
    ("böse@example.com,Name,,", "email: Internationalized"),
    ("=?x?=@example.com,Name,,", "email: .*encoded word"),
    (f"{'a' * 300}@example.com,Name,,", "email: longer than 254"),
    (f"a{chr(0x300) * 1500}@example.com,Name,,", "email: longer than 254"),
    ("a@example.com,http://example.org/,,", "name: .*link"),
    (f"a@example.com,{'x' * 65},,", "name: .*64"),
    ("a@example.com,tab\there,,", "name: .*control"),
    ("a@example.com,\u202eabc,,", "name: .*control"),
    ("a@example.com,Name,password,", "password_hash: "),
    ("a@example.com,Name,5f4dcc3b5aa765d61d8327deb882cf99,", "password_hash: "),
    (f'a@example.com,Name,"{LONG_HASH}",', "password_hash: "),
    ("a@example.com,Name,,yesterday", "created_at: "),
    ("a@example.com,Name,,2021-02-29", "created_at: "),
    ("a@example.com,Name,,0001-01-01T00:00:00+14:00", "created_at: "),
    ("a@example.com,Name,", "columns: 3 instead of 4"),
    ("a@example.com,Na,me,,", "columns: 5 instead of 4"),
    ("a@example.com,Na\0me,,", "a NUL character"),
    ('a@example.com,"Name,,', "quotation marks"),
    ('a@example.com,"Na"me,,', "quotation marks"),
    (b"a@example.com,N\xe4me,,", "not in UTF-8"),
    (b"a@example.com,N\xed\xa0\x80me,,", "not in UTF-8"),
    (f"a@example.com,{'x' * 100_000},,", "too long"),
    ("FIRST@example.com,Name,,", "email: first@example.com is on an earlier line too"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_bad_line_is_named_and_the_others_are_imported(load, users, line, reason):
    bad = line if isinstance(line, bytes) else line.encode()
    lines = [b"email,name,password_hash,created_at", b"first@example.com,First,,", b"", bad, b"last@example.com,Last,,"]
    result = load(b"\n".join(lines), status=1)
    assert summary(result) == (2, 0, 1)
    assert re.fullmatch(f"line 4: {reason}.*\n", result.stderr)
    assert list(users()) == ["first@example.com", "last@example.com"]


@pytest.mark.parametrize("kept", [DJANGO + "!", "5f4dcc3b5aa765d61d8327deb882cf99", "$argon2id$v=19$secret", LONG_HASH])
@pytest.mark.parametrize(
    "file",
    [
        "email,password_hash\nalice@example.com,{}\n",
        "password_hash,email\nalice@example.com,{}\n",
        "email,name\nalice@example.com,{}\n",
        "email,created_at\nalice@example.com,{}\n",
        "email,password_hash\nalice@example.com,{},\n",
        "alice@example.com,{}\nbob@example.com,{}\n",
        "email,{}\n",
        'email,password_hash\nalice@example.com,"{}\n',
        "email,password_hash\n{}@example.com,\n",
    ],
)
def test_a_hash_is_never_shown_in_whichever_column_it_stands(load, file, kept):
    result = load(file.format(kept, kept), status=None)
    assert kept not in result.output
    assert kept[:12] not in result.output


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("", "one of them is email"),
        ("\n", "one of them is email"),
        ("name\nAlice\n", "one of them is email"),
        ("alice@example.com\n", "column 1 is none of email, name, password_hash, created_at"),
        ("email;name\nalice@example.com;Alice\n", "commas separate columns"),
        ("email,surname\na@example.com,A\n", "column 2 is none of"),
        ("email,name,\na@example.com,A,\n", "column 3 is none of"),
        ("email,name,email\na@example.com,A,b@example.com\n", "two columns email"),
        ("email,name\n".encode("utf-16"), "NUL"),
        ("email,größe\na@example.com,1\n".encode("latin-1"), "UTF-8"),
        (b"\x00" * 1000, "NUL"),
        (b"x" * 10_000, "too long"),
        ('"email\na@example.com', "quotation marks"),
    ],
)
def test_a_file_without_a_header_is_refused_whole(load, users, file, words):
    result = load(file, status=1)
    assert re.fullmatch(f"Error: line 1: .*({words}).*\n", result.stderr)
    assert (result.stdout, users()) == ("", {})


def test_a_file_that_is_not_there_is_a_mistake_of_usage(runner, tmp_path):
    for path in (tmp_path / "nothing.csv", tmp_path):
        result = runner.invoke(args=["users", "import", str(path)])
        assert result.exit_code == 2
        assert "Traceback" not in result.output


def test_who_has_an_account_is_skipped_and_not_changed(load, users, alice):
    before = vars(users()[alice])
    result = load(f"email,name,password_hash\nALICE@example.com,Mallory,{DJANGO}\nbob@example.com,Bob,\n")
    assert summary(result) == (1, 1, 0)
    after = vars(users()[alice])
    assert {name: after[name] for name in before if not name.startswith("_")} == {
        name: value for name, value in before.items() if not name.startswith("_")
    }


def test_it_can_be_run_again(load, users):
    file = "email\n" + "".join(f"user{number}@example.com\n" for number in range(2500)) + "bad\n"
    assert summary(load(file, status=1)) == (2500, 0, 1)
    before = [user.security_stamp for user in users().values()]
    assert summary(load(file, status=1)) == (0, 2500, 1)
    assert [user.security_stamp for user in users().values()] == before


def test_repeats_are_found_across_batches_and_spellings(load, users, monkeypatch):
    monkeypatch.setattr(user_import, "BATCH", 2)
    file = "email\na@example.com\nb@example.com\nc@example.com\nA@Example.COM\nb@example.com\n"
    result = load(file, status=1)
    assert summary(result) == (3, 0, 2)
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["line 5", "line 6"]
    assert len(users()) == 3


def test_a_repeat_of_a_bad_line_is_no_repeat(load, users):
    load("email,created_at\na@example.com,never\na@example.com,2020-01-01\n", status=1)
    assert list(users()) == ["a@example.com"]


def test_a_dry_run_tells_the_same_and_changes_nothing(load, users, alice):
    file = "email\nalice@example.com\nbob@example.com\nbob@example.com\nbad\n"
    dry = load(file, "--dry-run", status=1)
    assert "1 would be imported" in dry.stdout
    assert list(users()) == [alice]
    real = load(file, status=1)
    assert (summary(dry), dry.stderr) == (summary(real), real.stderr)
    assert list(users()) == [alice, "bob@example.com"]


def test_a_file_of_bad_lines_only_imports_nobody(load, users):
    assert summary(load("email\n" + "bad\n" * 1500, status=1)) == (0, 0, 1500)
    assert summary(load("email\n")) == (0, 0, 0)
    assert users() == {}


class Slow(io.BytesIO):
    """A file between whose pieces others want to write."""

    def __init__(self, content, between):
        super().__init__(content)
        self.between = between

    def read1(self, size=-1):
        self.between()
        return super().read1(min(size, 100))


def test_others_can_write_meanwhile(app, load, monkeypatch, users):
    monkeypatch.setattr(user_import, "BATCH", 1)
    seen = []

    def write():
        with app.app_context(), db.engine.begin() as connection:
            statement = "INSERT INTO rate_limits (key, full_at, failures) VALUES (:key, '2020-01-01 00:00:00', 0)"
            connection.execute(text(statement), {"key": f"test {len(seen)}"})
            seen.append(connection.scalar(select(func.count()).select_from(User)))

    emails = [f"user{number}@example.com" for number in range(50)]
    assert summary(load(Slow("\n".join(["email", *emails]).encode(), write))) == (50, 0, 0)
    assert len(set(seen)) > 5  # each batch is there for others before the next is read


def test_the_site_may_register_one_of_them_at_the_same_time(app, load, users):
    def register():
        with app.app_context():
            if User.create("user30@example.com", "Registered", hash_password(PASSWORD)):
                db.session.commit()

    emails = [f"user{number}@example.com" for number in range(50)]
    assert summary(load(Slow("\n".join(["email", *emails]).encode(), register))) == (49, 1, 0)
    assert users()["user30@example.com"].name == "Registered"


def test_progress_is_shown_on_a_terminal_only(flask, tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("email\n" + "".join(f"user{number}@example.com\n" for number in range(3000)) + "bad\n")
    master, slave = pty.openpty()
    shown = flask("users", "import", path, "--dry-run", stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    terminal = read_all(master)
    assert "Importing" in terminal
    assert "100%" in terminal
    assert "\r\033[Kline 3002: email:" in terminal
    assert (shown.returncode, summary(shown)) == (1, (3000, 0, 1))
    piped = flask("users", "import", path, "--dry-run", capture_output=True, text=True)
    assert re.fullmatch("line 3002: .*\n", piped.stderr)


def read_all(master):
    """What a terminal got: reading fails at its end."""
    pieces = []
    with suppress(OSError):
        while piece := os.read(master, 65536):
            pieces.append(piece)
    os.close(master)
    return b"".join(pieces).decode()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell a process's peak memory")
def test_a_hundred_thousand_stay_under_200_megabytes(flask, tmp_path, users):
    path = tmp_path / "users.csv"
    with path.open("w") as file:
        file.write("email,name,password_hash\n")
        file.writelines(f"user{number}@d{number % 500}.example.com,User,{DJANGO}\n" for number in range(100_000))
    result = flask("users", "import", path, python=("-c", PEAK), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert summary(result) == (100_000, 0, 0)
    assert int(re.fullmatch(r"peak (\d+)\n", result.stderr)[1]) < 200_000  # KiB


def test_a_database_that_is_not_set_up_is_said_in_a_line(tmp_path):
    app = create_app(type("Bare", (Testing,), {"DATABASE_URL": f"sqlite:///{tmp_path}/bare.db"}))
    result = app.test_cli_runner().invoke(args=["users", "import", "-"], input="email\na@example.com\n")
    assert result.exit_code == 1
    assert "flask db upgrade" in result.output
    assert "Traceback" not in result.output
    with app.app_context():
        db.engine.dispose()


PLAIN = st.text("abyz019_+-.AZ'@", max_size=70)
DOMAIN = st.text("axn019.-AXN", max_size=40)
ENDINGS = st.sampled_from([".com", ".test", ".local", ".invalid", ".example.com", ".xn--p1ai", ".c0", "", "."])
ADDRESSES = st.builds("{}@{}{}".format, PLAIN, DOMAIN, ENDINGS) | st.text(max_size=300) | st.emails()


@settings(max_examples=1000, deadline=None)
@given(ADDRESSES)
@example("Info@example.com")
@example("a@EXAMPLE.com")
@example("a@xn--bcher-kva.example")
@example("a@ab--cd.example")
@example(f"{'a' * 60}@xn--fiq{'a' * 35}.xn--fiq{'a' * 35}.com")  # short in ASCII, too long as it is shown to people
@example(f"{'a' * 64}@example.com")
@example(f"{'a' * 40}.{'a' * 24}@example.com")
@example(f"a@{'b' * 63}.{'b' * 63}.{'b' * 63}.{'b' * 56}.com")
@example(f"a@{'b' * 64}.com")
@example("a@test")
@example("a@localhost")
@example("a@example.com\n")
def test_the_fast_way_to_read_an_address_gives_the_same(typed):
    typed = typed.strip()
    try:
        expected = parse_address(typed)
    except ValueError:
        with pytest.raises(ValueError, match="email: "):
            user_import._address(typed)
    else:
        assert user_import._address(typed) == expected


@pytest.fixture(scope="module")
def context():
    with create_app("testing").app_context():
        yield


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(',"\n\r\0\ufeff@.aé', max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_bad_lines(context, content):
    records = list(read(io.BytesIO(b"email,name\n" + content)))
    assert len(records) <= len(content.replace(b"\r", b"\n").split(b"\n"))
    for record in records:
        assert isinstance(record, BadLine) or parse_address(record["email"]) == record["email"]
