"""Log lines: one for each event, with the time in UTC, on standard error."""

import logging
import time

from flask import Flask
from flask.logging import default_handler


def init_app(app: Flask) -> None:
    """All our loggers are below the application's. A command says no more than warnings, unless it serves."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    default_handler.setFormatter(formatter)
    app.logger.setLevel(logging.INFO)


def be_quiet() -> None:
    """For commands that answer on the terminal."""
    logging.getLogger("app").setLevel(logging.WARNING)


def be_talkative() -> None:
    logging.getLogger("app").setLevel(logging.INFO)
