"""Log lines: one for each event, with the time in UTC, on standard error."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask.logging import default_handler


class Formatter(logging.Formatter):
    """Leaves out what PostgreSQL adds to an error: the whole row that it refused."""

    def formatException(self, exc_info: Any) -> str:  # noqa: N802 - logging's name
        return re.sub(r"^DETAIL:.*$", "DETAIL: not logged", super().formatException(exc_info), flags=re.MULTILINE)


def init_app(app: Flask) -> None:
    """All our loggers are below the application's. A command says no more than warnings, unless it serves."""
    formatter = Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    default_handler.setFormatter(formatter)
    app.logger.setLevel(logging.INFO)


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
