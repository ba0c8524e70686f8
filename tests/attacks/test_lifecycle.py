"""Attacks on how a site is set up, and on how accounts begin and end."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app.auth.models import Registration, User
from app.database import utcnow
from app.email.purge import purge
from config import Testing
from tests.attacks import raw
from tests.attacks.conftest import SECURE, once
from tests.attacks.site import (
    FORMS,
    NEW_PASSWORD,
    PASSWORD,
    REGISTER_LINK,
    RESET_LINK,
    fresh_address,
)
from tests.servers import Program, Site

GOOD = {
    "FLASK_CONFIG": "production",
    "SECRET_KEY": Testing.SECRET_KEY,
    "BASE_URL": "https://account.example.com",
    "DATABASE_URL": "sqlite:////tmp/none.db",
    "MAIL_SERVER": "127.0.0.1",
    "MAIL_DEFAULT_SENDER": "no-reply@example.com",
}
UNSAFE = {
    "no key": ("SECRET_KEY", ""),
    "a short key": ("SECRET_KEY", "dev"),
    "a key of one letter": ("SECRET_KEY", "x" * 64),
    "a short former key": ("SECRET_KEY_FALLBACKS", "secret"),
    "no base URL": ("BASE_URL", ""),
    "a base URL without TLS": ("BASE_URL", "http://account.example.com"),
    "no sender": ("MAIL_DEFAULT_SENDER", ""),
    "two senders": ("MAIL_DEFAULT_SENDER", "a@example.com, b@evil.example"),
    "plain SMTP": ("MAIL_SERVER", "mail.example.com"),
    "debug": ("FLASK_DEBUG", "1"),
    "no database": ("DATABASE_URL", ""),
    "weak hashes": ("ARGON2_MEMORY_KIB", "1024"),
    "long-lived links": ("RESET_LINK_MAX_AGE", "864000"),
}
NAMED = {"plain SMTP": "MAIL_USE_TLS"}  # what to change, where that is another setting


@pytest.mark.asvs("13.4.2", "13.3.1", "6.3.2", "12.3.1")
def test_b93_unsafe_settings_stop_the_start_with_one_clear_line(tmp_path):
    programs = {}
    for number, (name, (setting, value)) in enumerate(UNSAFE.items()):
        arguments = ("-m", "gunicorn", "wsgi:app", "--bind", "127.0.0.1:0", "--config", "gunicorn.conf.py")
        output = tmp_path / f"{number}.txt"
        programs[name] = Program(*arguments, output=output, settings=GOOD | {setting: value})
    for name, program in programs.items():
        with program:
            assert program.wait() == 3, (name, program.output)
            assert program.output.count(f"  - {NAMED.get(name, UNSAFE[name][0])} ") == 1, name
            assert "Traceback" not in program.output
            assert "Listening" not in program.output


INSIDES = ("Traceback", "werkzeug", "sqlalchemy", "psycopg", "File &#34;", 'File "', "SECRET", "/site-packages/", ".py")


@once
@pytest.mark.asvs("13.4.2", "13.4.1", "13.4.5")
@pytest.mark.parametrize(
    "path",
    [
        "/console",
        "/?__debugger__=yes&cmd=resource&f=debugger.js",
        "/?__debugger__=yes&cmd=paste",
        "/.git/config",
        "/.env",
        "/config.py",
        "/static/",
        "/static/../config.py",
        "/static/..%2fconfig.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/dev/mailbox",
        "/dev/mails",
        "/admin",
        "/metrics",
        "/docs",
        "/swagger.json",
        "/server-status",
        "/instance/rekey.db",
    ],
)
def test_b94_nothing_of_the_inside_is_served(target, path):
    answer = raw.send(target.url, f"GET {path}")
    assert answer.status_code == (200 if path.startswith("/?") else 404)
    assert not [word for word in INSIDES if word in answer.text]


@once
@pytest.mark.asvs("13.4.6")
def test_b94_no_version_is_told(target):
    for path in ("/", "/nothing/here", "/static/style.css"):
        headers = raw.send(target.url, f"GET {path}").headers
        assert "X-Powered-By" not in headers
        assert not any(digit.isdigit() for digit in headers.get("Server", ""))


@pytest.mark.asvs("16.5.1", "16.5.4", "13.4.2")
def test_b94_a_failure_shows_no_trace(local, make_database, tmp_path):
    """The tables are missing, so that every request that needs one fails."""
    with Site(tmp_path, DATABASE_URL=make_database("without_tables"), MAIL_DELIVERY="worker") as site:
        site.start()
        visitor = local.visitor_type(site.url)
        answers = [visitor.fill(path, **fields) for path, fields in FORMS.items()]
        assert {answer.status_code for answer in answers} <= {500, 503}
        for answer in answers:
            assert not [word for word in INSIDES if word in answer.text]
            assert "<main" in answer.text
            assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.asvs("6.4.1", "2.3.1")
def test_b95_who_registers_a_strangers_address_chooses_no_password_for_it(local, visitor, attacker):
    victim = fresh_address()
    attacker.get("/auth/register")
    fields = {"email": victim, "csrf_token": attacker.csrf_token}
    fields |= {"name": "Eve", "password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert attacker.client.post("/auth/register", data=fields).status_code == 303
    assert attacker.client.post("/auth/register/finish", data=fields).status_code == 404
    assert attacker.guess(victim, NEW_PASSWORD) == 422

    visitor.get(local.last_link(victim, REGISTER_LINK))
    assert visitor.form.fields.get("name") == ""
    assert attacker.guess(victim, NEW_PASSWORD) == 422
    visitor.submit(name="Victim", password=PASSWORD, password2=PASSWORD)
    assert attacker.guess(victim, NEW_PASSWORD) == 422
    assert visitor.guess(victim, PASSWORD) == 303


@pytest.mark.asvs("7.4.3", "6.5.1")
def test_b96_a_reset_takes_everything_from_whoever_was_in_before(local, visitor, attacker):
    victim = local.account()
    attacker.sign_in(victim, PASSWORD, remember="y")
    held = [f"{RESET_LINK}{local.reset_token(victim)}", local.reset_link(victim)]
    opened = local.visitor()
    opened.get(held[0])

    visitor.reset(f"{RESET_LINK}{local.reset_token(victim)}", NEW_PASSWORD)
    assert not attacker.is_signed_in
    assert opened.submit(password=PASSWORD, password2=PASSWORD).status_code == 410
    assert [attacker.get(link).status_code for link in held] == [410, 410]
    assert attacker.guess(victim, PASSWORD) == 422
    assert visitor.guess(victim, NEW_PASSWORD) == 303


@pytest.mark.asvs("6.4.1", "8.1.1")
def test_b98_an_address_that_was_never_proven_opens_nothing(local, visitor):
    address = fresh_address()
    visitor.register(address)
    [registered] = local.mails_to(address)
    assert visitor.guess(address, PASSWORD) == 422
    visitor.ask_for_reset(address)
    assert local.mails_to(address) == [registered]
    [(accounts,)] = local.rows(select(func.count()).select_from(User).where(User.email == address))
    assert accounts == 0


@pytest.mark.asvs("6.4.1", "14.2.7")
def test_b98_a_registration_nobody_finished_is_gone_after_days(local, visitor):
    address = fresh_address()
    link = local.registration_link(address)
    with local.database() as session:
        old = update(Registration).where(Registration.email == address)
        session.execute(old.values(created_at=utcnow() - timedelta(days=3)))
    with local.database():
        purge()
    assert local.rows(select(Registration).where(Registration.email == address)) == []
    assert visitor.get(link).status_code == 410


@pytest.mark.asvs("16.3.1", "16.3.3")
def test_what_happens_to_an_account_is_recorded(local, visitor):
    alice = fresh_address()
    fields = {"name": "Alice", "password": PASSWORD, "password2": PASSWORD}
    visitor.fill(local.registration_link(alice), **fields)
    visitor.guess(alice)
    visitor.guess(alice, PASSWORD)
    visitor.sign_out()
    visitor.reset(local.reset_link(alice), NEW_PASSWORD)
    expected = ["registered", "sign_in_refused", "signed_in", "signed_out", "reset_asked", "password_reset"]
    assert local.events(alice) == expected


def test_security_txt_names_the_contact(local, start_site):
    assert raw.send(local.url, "GET /.well-known/security.txt").status_code == 404  # none is set
    site = start_site(**SECURE)
    answer = raw.send(site.url, "GET /.well-known/security.txt", host="account.example.com")
    assert answer.status_code == 200
    assert "Contact: mailto:security@example.com\n" in answer.text
    assert "Expires: " in answer.text


@once
@pytest.mark.asvs("6.3.4")
def test_an_unknown_well_known_path_does_not_pretend_to_be_there(target):
    path = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert raw.send(target.url, f"GET {path}").status_code == 404
