"""Log lines: one for each event, with time, place and who; and no secret in any."""

import logging
import re

import pytest
from flask.logging import default_handler

from tests.conftest import PASSWORD

SIGNED_IN = r"security event signed_in: account \d+, network 127\.0\.0\.1, device Firefox \(Linux\)"


@pytest.fixture
def log(app, caplog):
    caplog.set_level(logging.INFO, logger="app")
    return caplog


@pytest.mark.asvs("16.2.1")
def test_every_security_event_is_a_line_that_says_who_and_from_where(browser, log, alice):
    browser.sign_in(alice, PASSWORD)
    assert re.search(SIGNED_IN, log.text)
    browser.sign_out()
    browser.sign_in(alice, "a wrong password of some length")
    browser.sign_in("nobody@example.com", "a wrong password of some length")
    assert re.search(r"security event sign_in_refused: account \d+", log.text)
    assert "security event sign_in_refused: account none" in log.text
    assert alice not in log.text
    assert PASSWORD not in log.text


@pytest.mark.asvs("16.2.1", "16.2.2")
def test_a_line_begins_with_the_time_in_utc(app):
    line = default_handler.format(logging.LogRecord("app.x", logging.INFO, "x.py", 1, "a %s", ("fact",), None))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO app\.x: a fact", line)
    assert app.logger.isEnabledFor(logging.INFO)


@pytest.mark.asvs("16.3.2", "16.3.3")
@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        (
            {"method": "POST", "path": "/auth/login", "headers": {"Sec-Fetch-Site": "cross-site"}},
            "403 on /auth/login: sent by",
        ),
        ({"method": "POST", "path": "/auth/login", "json": {"email": "x"}}, "415 on /auth/login: no form"),
        ({"path": "/auth/login?x=%00"}, "400 on /auth/login: controls"),
        ({"path": "/", "headers": {"Host": "evil.example"}}, "400: a host that is none of ours"),
        ({"path": "/auth/reset_password/s3cret"}, "reset_password link refused: broken, network 127.0.0.1"),
        ({"method": "POST", "path": "/auth/login", "data": {"email": "x"}}, "form refused on /auth/login"),
    ],
)
def test_attacks_that_were_refused_are_logged_without_their_secrets(client, log, request_of, words):
    assert client.open(**request_of).status_code in (400, 403, 404, 415)
    assert words in log.text
    assert "s3cret" not in log.text


def test_commands_say_no_more_than_they_print(runner, caplog, alice):
    assert runner.invoke(args=["users", "reset-link", alice]).exit_code == 0
    assert "security event" not in caplog.text
    assert logging.getLogger("app").isEnabledFor(logging.INFO)
