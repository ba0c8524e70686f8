"""The operator's commands."""

import json
import re

import pytest

from app import create_app
from app.auth.models import SecurityEvent, User
from app.extensions import db
from config import Testing
from tests.conftest import NEW_PASSWORD, PASSWORD


def test_an_account_made_by_the_operator_can_sign_in(runner, browser, postman):
    result = runner.invoke(
        args=["users", "create", "dora@example.com", "--name", "Dora", "--password-stdin"], input=f"{PASSWORD}\n"
    )
    assert (result.exit_code, result.output) == (0, "dora@example.com can sign in.\n")
    assert browser.sign_in("dora@example.com", PASSWORD).status_code == 303
    assert postman.deliver() == []


def test_the_password_is_asked_for_where_none_is_piped(runner, browser):
    result = runner.invoke(
        args=["users", "create", "dora@example.com", "--name", "Dora"], input=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert result.exit_code == 0
    assert PASSWORD not in result.output
    assert browser.sign_in("dora@example.com", PASSWORD).status_code == 303


@pytest.mark.parametrize(
    ("email", "name", "password", "status", "words"),
    [
        ("alice@example.com", "Alice", PASSWORD, 1, "There is an account for alice@example.com already."),
        ("ALICE@example.com", "Alice", PASSWORD, 1, "already"),
        ("dora@example.com", "Dora", "short", 1, "Use at least 15 characters"),
        ("dora@example.com", "", PASSWORD, 2, "name of 1 to 64 characters"),
        ("dora@example.com", "x" * 65, PASSWORD, 2, "name of 1 to 64 characters"),
        ("dora", "Dora", PASSWORD, 2, "@-sign"),
    ],
)
def test_a_mistake_is_told_in_words_and_changes_nothing(app, runner, alice, email, name, password, status, words):
    result = runner.invoke(args=["users", "create", email, "--name", name, "--password-stdin"], input=password)
    assert result.exit_code == status
    assert words in result.output
    assert "Traceback" not in result.output
    with app.app_context():
        assert db.session.query(User).count() == 1


def test_a_link_can_be_printed_for_somebody_without_mail(app, runner, browser, alice):
    result = runner.invoke(args=["users", "reset-link", alice])
    assert result.exit_code == 0
    [link] = re.findall(r"^http://localhost/auth/reset_password/\S+$", result.output, re.MULTILINE)
    assert browser.reset(link, NEW_PASSWORD).status_code == 303
    assert browser.get(link).status_code == 410
    with app.app_context():
        assert "reset_link_printed" in db.session.scalars(db.select(SecurityEvent.kind)).all()


def test_no_link_is_printed_for_somebody_unknown(runner):
    result = runner.invoke(args=["users", "reset-link", "nobody@example.com"])
    assert result.exit_code == 1
    assert "no active account" in result.output


def test_the_outbox_can_be_drained_and_looked_at(runner, browser, alice):
    browser.ask_for_reset(alice)
    browser.ask_for_reset("nobody@example.com")
    before = json.loads(runner.invoke(args=["outbox", "status", "--json"]).output)
    assert (before["due"], before["sent"], before["nobody"]) == (2, 0, 0)
    assert runner.invoke(args=["outbox", "drain"]).output == "2 handled, 0 waiting for a later try.\n"
    after = json.loads(runner.invoke(args=["outbox", "status", "--json"]).output)
    assert (after["due"], after["sent"], after["nobody"]) == (0, 1, 1)
    assert re.search(r"^sent +1$", runner.invoke(args=["outbox", "status"]).output, re.MULTILINE)


def test_every_command_explains_itself(runner):
    for group, commands in {"users": ["create", "reset-link"], "outbox": ["work", "drain", "status"]}.items():
        assert runner.invoke(args=[group, "--help"]).exit_code == 0
        for command in commands:
            output = runner.invoke(args=[group, command, "--help"]).output
            assert len(output.splitlines()) > 3


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_piped_password_is_the_line_without_its_end(runner, browser, ending):
    arguments = ["users", "create", "dora@example.com", "--name", " Dora ", "--password-stdin"]
    assert runner.invoke(args=arguments, input=PASSWORD + ending).exit_code == 0
    assert browser.sign_in("dora@example.com", PASSWORD).status_code == 303
    assert "Hello Dora" in browser.page.text


def test_a_password_that_no_page_would_take_is_refused(runner):
    arguments = ["users", "create", "dora@example.com", "--name", "Dora", "--password-stdin"]
    assert runner.invoke(args=arguments, input=b"correct horse \xff battery").exit_code == 1
    assert runner.invoke(args=arguments, input="correct horse \0 battery").exit_code == 1


@pytest.mark.parametrize(
    "command", [["outbox", "status"], ["outbox", "drain"], ["users", "reset-link", "a@example.com"]]
)
def test_a_database_that_is_not_set_up_is_said_in_a_line(tmp_path, command):
    app = create_app(type("Bare", (Testing,), {"DATABASE_URL": f"sqlite:///{tmp_path}/bare.db"}))
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 1
    assert "no such table" in result.output
    assert "flask db upgrade" in result.output
    assert "Traceback" not in result.output
    with app.app_context():
        db.engine.dispose()
