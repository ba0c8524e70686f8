"""Log lines, on standard error and nowhere else: one for each event, request and mail try, as LOG_FORMAT says."""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from flask import Flask, Response, has_request_context, request, request_finished, request_started
from flask.logging import default_handler

from log_lines import lines

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")  # of a proxy, or of whoever: it opens nothing, so its shape is enough
PROBES = ("main.healthz", "main.readyz")


def init_app(app: Flask) -> None:
    """All our loggers are below the application's; warnings of libraries look the same."""
    default_handler.setFormatter(lines(app.config["LOG_FORMAT"]))
    default_handler.addFilter(name_the_request)
    if not app.testing:
        logging.getLogger().addHandler(default_handler)
    app.logger.setLevel(logging.INFO)
    app.after_request(tell_the_id)
    request_started.connect(note_the_time, app)
    request_finished.connect(log_request, app)


def name_the_request(record: logging.LogRecord) -> bool:
    record.request_id = request_id() if has_request_context() else None
    return True


def request_id() -> str:
    """What all lines of this request bear, and the page of a failure shows: X-Request-ID, or a new one."""
    if "rekey.request_id" not in request.environ:
        given = request.headers.get("X-Request-ID", "")
        request.environ["rekey.request_id"] = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    return str(request.environ["rekey.request_id"])


def tell_the_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    return response


def note_the_time(app: Flask) -> None:
    request.environ["rekey.began"] = monotonic()


def seconds_so_far() -> float:
    """How long this request has taken."""
    return monotonic() - float(request.environ["rekey.began"])


def route() -> str:
    """The rule that matched and never the path, which may hold a token."""
    return request.url_rule.rule if request.url_rule else "none"


def log_request(app: Flask, response: Response) -> None:
    """One line, but none for probes, nor for static files that were there."""
    if request.endpoint in PROBES or (request.endpoint == "static" and response.status_code < 400):
        return
    facts = {
        "method": request.method,
        "route": route(),
        "status": response.status_code,
        "ms": round(seconds_so_far() * 1000),
    }
    logger.info("%(method)s %(route)s %(status)d in %(ms)d ms", facts, extra={"facts": facts})


@contextmanager
def quiet() -> Iterator[None]:
    """For commands that answer on the terminal: nothing below a warning."""
    logger = logging.getLogger("app")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def be_talkative() -> None:
    """For a command that serves."""
    logging.getLogger("app").setLevel(logging.INFO)
