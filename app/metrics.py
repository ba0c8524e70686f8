"""What is counted for Prometheus, and where it is read: at METRICS_BIND, never on the site's own port.

Without METRICS_BIND this module is not loaded and nothing is counted. Labels hold rules, kinds and results of ours and
nothing that a visitor sends. The processes of one gunicorn count into files of one directory, so that the totals are
exact whichever of them answers; `flask outbox work` counts alone.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any

from flask import Flask, Response, request, request_finished
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from app import logs, signals
from app.email import live_workers, queue
from app.extensions import db

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
FRESH_SECONDS = 5  # so long one reading of the queue serves
PATIENCE_SECONDS = 2  # with the database, which may be away
SLOW_CLIENT_SECONDS = 5
POLL_SECONDS = 0.2

REQUESTS = Counter("rekey_requests", "Requests by route, method and status", ["route", "method", "status"])
LATENCY = Histogram(
    "rekey_request_seconds",
    "Seconds to an answer",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SIGN_INS = Counter(
    "rekey_sign_ins", "Sign-ins by result; refused: a wrong password, here or on account pages", ["result"]
)
RESETS_ASKED = Counter("rekey_resets_asked", "Reset links asked for, whether there is an account or not")
RESETS_DONE = Counter("rekey_resets_done", "New passwords by a mailed link")
REGISTRATIONS = Counter("rekey_registrations", "Accounts created")
LIMITS = Counter("rekey_limits_refused", "Requests answered 429, by limit", ["limit"])
MAILS = Counter("rekey_mails", "Mails that are done, by kind and outcome", ["kind", "outcome"])
TRIES = Counter("rekey_mail_tries", "Tries to deliver a mail, by kind and result", ["kind", "result"])
SMTP = Histogram(
    "rekey_smtp_seconds",
    "Seconds the mail server took for a mail, or to fail",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ARGON2 = Histogram(
    "rekey_argon2_seconds",
    "Seconds to hash or check a password",
    buckets=(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5),
)

OUTCOMES = ("sent", "nobody", "expired", "failed")


def init_app(app: Flask) -> None:
    app.extensions["metrics"] = Server(app)
    for result in ("ok", "refused", "stopped"):
        SIGN_INS.labels(result)  # a rate needs a zero to begin with
    request_finished.connect(count_request, app)
    signals.signed_in.connect(count_sign_in, app)
    signals.sign_in_failed.connect(count_sign_in, app)
    signals.reset_asked.connect(count_reset_asked, app)
    signals.password_reset.connect(count_reset, app)
    signals.registered.connect(count_registration, app)
    signals.limit_reached.connect(count_limit, app)
    signals.mail_tried.connect(count_mail, app)
    signals.smtp_talked.connect(time_smtp, app)
    signals.password_hashed.connect(time_argon2, app)


def count_request(app: Flask, response: Response) -> None:
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(logs.route(), method, response.status_code).inc()
    LATENCY.labels(logs.route(), method).observe(logs.seconds_so_far())


def count_sign_in(app: Flask, kind: str, **facts: Any) -> None:
    result = "ok" if kind == "signed_in" else "stopped" if kind.endswith("stopped") else "refused"
    SIGN_INS.labels(result).inc()


def count_reset_asked(app: Flask, **facts: Any) -> None:
    RESETS_ASKED.inc()


def count_reset(app: Flask, **facts: Any) -> None:
    RESETS_DONE.inc()


def count_registration(app: Flask, **facts: Any) -> None:
    REGISTRATIONS.inc()


def count_limit(app: Flask, name: str) -> None:
    LIMITS.labels(name).inc()


def count_mail(app: Flask, kind: str, result: str, **facts: Any) -> None:
    TRIES.labels(kind, result).inc()
    if result in OUTCOMES:
        MAILS.labels(kind, result).inc()


def time_smtp(app: Flask, seconds: float) -> None:
    SMTP.observe(seconds)


def time_argon2(app: Flask, seconds: float) -> None:
    ARGON2.observe(seconds)


class Queue:
    """The outbox as the database has it; nothing where it cannot be asked at once.

    A thread of its own asks, at most one at a time: the database may hang for longer than a scrape may take.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.lock = Lock()
        self.reader: Thread | None = None
        self.facts: dict[str, float] = {}
        self.read_at = float("-inf")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if facts := dict(self._recent()):
            age, workers = facts.pop("oldest_due_seconds"), facts.pop("workers")
            if self.app.config["MAIL_DELIVERY"] != "off":  # else nobody delivers, and alerts would say so for ever
                yield GaugeMetricFamily("rekey_mail_workers", "Processes that deliver, seen within a minute", workers)
                yield GaugeMetricFamily("rekey_outbox_oldest_due_seconds", "Age of the oldest due mail", age)
            depth = GaugeMetricFamily(
                "rekey_outbox_messages", "Mails promised and not done, by state", labels=["state"]
            )
            for state, count in facts.items():
                depth.add_metric([state], count)
            yield depth

    def _recent(self) -> dict[str, float]:
        if self._is_fresh():
            return self.facts
        with self.lock:
            if self.reader is None or not self.reader.is_alive():
                self.reader = Thread(target=self._read, name="metrics-queue", daemon=True)
                self.reader.start()
        self.reader.join(PATIENCE_SECONDS)
        return self.facts if self._is_fresh() else {}

    def _is_fresh(self) -> bool:
        return monotonic() - self.read_at < FRESH_SECONDS

    def _read(self) -> None:
        found: dict[str, float] = {}
        with suppress(Exception), self.app.app_context():  # the log has it from those who need the database
            db.session.connection(execution_options={"sqlite_begin": "DEFERRED"})  # who only looks locks nobody out
            found = queue() | {"workers": len(live_workers())}
        self.facts, self.read_at = found, monotonic()


class Server:
    """Answers GET /metrics in a thread, one client at a time."""

    def __init__(self, app: Flask) -> None:
        self.address: tuple[str, int] = app.config["METRICS_ADDRESS"]
        self.directory: Path | None = None
        self.http: _HttpServer | None = None
        self.outbox = CollectorRegistry()
        self.outbox.register(Queue(app))

    def serve(self, listener: socket.socket | None = None, directory: str = "") -> None:
        """Begin to: on a socket that the processes of one gunicorn share, for all of them, which count in `directory`;
        else at METRICS_BIND, for this process. A port that is taken is an error in the log and stops nothing."""
        if listener:
            self.directory = Path(directory)
        try:
            self.http = _HttpServer(self, listener or _listen(self.address))
        except OSError as error:
            logger.error("METRICS_BIND cannot be used, and there are no metrics: %s", error)
            return
        Thread(target=self.http.serve_forever, args=(POLL_SECONDS,), name="metrics", daemon=True).start()

    def page(self) -> bytes:
        return self._counted() + generate_latest(self.outbox)

    def _counted(self) -> bytes:
        if self.directory is None:
            return generate_latest(REGISTRY)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self.directory))
        with _locked(self.directory, fcntl.LOCK_SH):
            return generate_latest(together)

    def leave(self) -> None:
        """Answer no more, and add what this process has counted to what the dead have: else files would pile up."""
        if self.directory is None or self.http is None:
            return
        closing = Thread(target=self.http.shutdown, daemon=True)  # after the answer it may be giving
        closing.start()
        closing.join(PATIENCE_SECONDS)
        try:
            _hand_on(self.directory)
        except OSError as error:
            logger.warning("what this process has counted is lost: %s", error)


def _hand_on(directory: Path) -> None:
    with _locked(directory, fcntl.LOCK_EX):
        for mine in directory.glob(f"*_{os.getpid()}.db"):
            kind = mine.name.partition("_")[0]
            if kind in ("counter", "histogram"):
                _add_up(mine, directory / f"{kind}_0.db")
                mine.unlink()


def _add_up(source: Path, target: Path) -> None:
    total = MmapedDict(str(target))
    for key, value, *_ in MmapedDict.read_all_values_from_file(str(source)):
        total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()


@contextmanager
def _locked(directory: Path, mode: int) -> Iterator[None]:
    """Nobody reads while somebody adds up: a total that falls for a moment is a restart to Prometheus."""
    with (directory / "lock").open("a") as file:
        fcntl.flock(file, mode)
        yield


def _listen(address: tuple[str, int]) -> socket.socket:
    return socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


class _HttpServer(HTTPServer):
    def __init__(self, metrics: Server, listener: socket.socket) -> None:
        super().__init__(metrics.address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        listener.setblocking(False)  # another process may have taken the connection that woke this one
        self.metrics = metrics

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.warning("a request for metrics was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    timeout = SLOW_CLIENT_SECONDS

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        page = self.server.metrics.page()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args: Any) -> None:
        """Nothing: it would be a line every few seconds."""
