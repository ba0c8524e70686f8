"""How a log line looks: in the processes that serve, and in gunicorn's master, which imports nothing of `app`."""

import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import Any


class Lines(logging.Formatter):
    """Leaves out what PostgreSQL adds to an error: the whole row that it refused."""

    def formatException(self, exc_info: Any) -> str:  # noqa: N802 - logging's name
        return re.sub(r"^DETAIL:.*$", "DETAIL: not logged", super().formatException(exc_info), flags=re.MULTILINE)


class TextLines(Lines):
    """Time in UTC, level, logger, the request's id if there is one, and a sentence."""

    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)sZ %(levelname)s %(name)s%(within)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        request_id = getattr(record, "request_id", None)
        record.within = f" [{request_id}]" if request_id else ""
        return super().formatMessage(record)


class JsonLines(Lines):
    """One object a line, with the same facts under names of their own; an exception's traceback is inside it."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if request_id := getattr(record, "request_id", None):
            line["request_id"] = request_id
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def lines(form: str) -> Lines:
    return JsonLines() if form == "json" else TextLines()
