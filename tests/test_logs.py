"""Log lines: one for each event, with time, place and who; and no secret in any."""

import json
import logging
import re
import runpy

import pytest
from flask.logging import default_handler

from log_lines import lines
from tests.conftest import PASSWORD

SIGNED_IN = r"security event signed_in: account \d+, network 127\.0\.0\.1, device Firefox \(Linux\)"


@pytest.fixture
def log(app, caplog):
    caplog.set_level(logging.INFO, logger="app")
    return caplog


@pytest.fixture
def written(log, monkeypatch, capsys):
    """What has been written since the last call, as objects."""
    monkeypatch.setattr(default_handler, "formatter", lines("json"))
    logging.getLogger().addHandler(default_handler)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logging.getLogger().removeHandler(default_handler)


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


def test_a_request_is_one_line_that_names_the_route_and_not_the_path(client, written):
    client.get("/auth/reset_password/s3cret")
    *_, line = written()
    assert line["message"] == f"GET /auth/reset_password/<token> 404 in {line['ms']} ms"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/auth/reset_password/<token>", 404)
    assert 0 <= line["ms"] < 60_000

    client.get("/s3cret/nowhere?x=s3cret")
    [line] = written()
    assert (line["route"], line["status"]) == ("none", 404)
    assert "s3cret" not in str(line)


def test_probes_and_static_files_make_no_lines_unless_one_is_missing(client, written):
    with client.get("/healthz"), client.get("/static/style.css"):
        assert written() == []
    with client.get("/static/nothing.css"):
        [line] = written()
    assert (line["route"], line["status"]) == ("/static/<path:filename>", 404)


def test_all_lines_of_a_request_bear_the_id_that_its_answer_tells(browser, client, written, alice):
    browser.get("/auth/login")
    written()
    answer = browser.submit(email=alice, password="a wrong password of some length")
    refusal, request_line = written()
    assert refusal["message"].startswith("security event sign_in_refused")
    assert refusal["request_id"] == request_line["request_id"] == answer.headers["X-Request-ID"]
    assert client.get("/healthz").headers["X-Request-ID"] != answer.headers["X-Request-ID"]


@pytest.mark.parametrize("given", ["0123456789abcdef0123456789abcdef", "edge-1.example_42", "a" * 64])
def test_the_id_of_a_proxy_is_kept(client, given):
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.asvs("16.4.1")
@pytest.mark.parametrize(
    "given", ["", "short", "a" * 65, "eight or more", "alice@example.com", "<script>", "b\u00fc" * 5]
)
def test_an_id_of_another_shape_is_replaced(client, given):
    headers = {"X-Request-ID": given}
    assert re.fullmatch("[0-9a-f]{16}", client.get("/healthz", headers=headers).headers["X-Request-ID"])


@pytest.mark.asvs("16.2.4")
def test_a_failure_is_one_object_with_its_traceback_and_the_page_names_it(app, client, monkeypatch, written):
    def fail():
        raise RuntimeError("a fault of ours")

    monkeypatch.setitem(app.view_functions, "main.home", fail)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    page = client.get("/")
    failure, request_line = written()
    assert failure["message"] == "Exception on / [GET]"
    assert failure["exception"].startswith("Traceback")
    assert "RuntimeError: a fault of ours" in failure["exception"]
    assert request_line["status"] == page.status_code == 500
    assert failure["request_id"] == page.headers["X-Request-ID"]
    assert f"quote this reference: {failure['request_id']}<" in page.text


def test_a_try_to_deliver_is_one_line_that_names_the_mail_and_nobody(browser, postman, written, alice):
    browser.ask_for_reset(alice)
    browser.ask_for_reset("nobody@example.com")
    reference = re.search(r"[A-Z2-7]{4}-[A-Z2-7]{4}", browser.get("/auth/check_your_inbox").text).group()
    written()
    postman.deliver()
    sent, nobody = [line for line in written() if line["logger"] == "app.email.tries"]
    assert (sent["kind"], sent["result"], sent["try"]) == ("reset_password", "sent", 1)
    assert (nobody["kind"], nobody["result"], nobody["reference"]) == ("reset_password", "nobody", reference)
    assert sent["message"].endswith(f": sent, try 1 in {sent['ms']} ms: suppressed")
    assert "@" not in f"{sent}{nobody}"


def test_what_postgresql_quotes_is_left_out_of_both_forms():
    error = RuntimeError("duplicate key\nDETAIL:  Key (email)=(alice@example.com) already exists.")
    record = logging.LogRecord("app.x", logging.ERROR, "x.py", 1, "failed", (), (RuntimeError, error, None))
    for form in ("text", "json"):
        record.exc_text = None
        assert "DETAIL: not logged" in lines(form).format(record)
        assert "alice" not in lines(form).format(record)


@pytest.mark.parametrize(
    "path", ["/auth/reset_password/", "/auth/reset%5Fpassword/", "/AUTH/not_me/", "/auth//register/", "//auth/not_me/"]
)
def test_gunicorns_own_lines_hold_no_link_however_it_is_spelled(root, path):
    hide_links = runpy.run_path(str(root / "gunicorn.conf.py"))["hide_links"]
    line = ("gunicorn.error", logging.WARNING, "", 0, "Invalid request: %s", (f"GET {path}TOKEN HTTP/1.1",), None)
    record = logging.LogRecord(*line)
    assert hide_links(record)
    assert record.getMessage() == f"Invalid request: GET {path}... HTTP/1.1"
