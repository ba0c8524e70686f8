"""gunicorn reads this file by itself: `gunicorn wsgi:app`.

The master imports nothing of `app`: a HUP or --reload then serves new code.
"""

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from gunicorn import glogging

from config import ConfigError, early, load, share_metrics, shared_metrics
from log_lines import lines

log_format, concurrency = early("LOG_FORMAT", "WEB_CONCURRENCY")

worker_class = "gthread"
workers = concurrency or max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
threads = 4
graceful_timeout = 30
max_requests, max_requests_jitter = 20_000, 2_000  # whatever leaks, leaks for an hour or a day
control_socket_disable = True  # else every gunicorn of this user shares one socket in the home directory
forwarded_allow_ips = ""  # X-Forwarded-* counts as TRUSTED_PROXIES says, and in one place
accesslog = None  # its lines hold whole paths, and those of mailed links are secret; see app/logs.py for ours


BODY_SECONDS = 10  # without a byte of the body; against one byte now and then only a proxy that buffers helps


class Logger(glogging.Logger):
    """gunicorn's own lines look like ours, and hold no link."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.addFilter(hide_links)
            for handler in logger.handlers:
                handler.setFormatter(lines(log_format))


logger_class = Logger


def hide_links(record: Any) -> bool:
    """Of a request that it cannot read gunicorn logs the whole first line, which may be a live link and a stray sign.

    So do its access log, where somebody turns it on, and its debug lines.
    """
    record.msg, record.args = re.sub(r"(?i)(/+auth/+[^/\s]+/)\S+", r"\1...", record.getMessage()), ()
    return True


def on_starting(server: Any) -> None:
    """Refuse once, before any worker is started."""
    try:
        settings = load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
    server.metrics_socket = listen_for_metrics(server, settings["METRICS_ADDRESS"])
    server.metrics_directory = empty_directory(server) if server.metrics_socket else None


def listen_for_metrics(server: Any, address: tuple[str, int] | None) -> socket.socket | None:
    """A socket for all workers: whichever takes a connection answers for all. Without one the site serves on."""
    if address is None:
        return None
    if server.cfg.preload_app:
        server.log.error("there are no metrics with preload_app: what is loaded before the fork cannot count together")
        return None
    try:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        return socket.create_server(address, family=family)
    except OSError as error:
        server.log.error("METRICS_BIND cannot be used, and there are no metrics: %s", error)
        return None


def empty_directory(server: Any) -> str | None:
    """Where the workers count together; what an earlier run has counted is gone."""
    try:
        directory = shared_metrics() or tempfile.mkdtemp(prefix="rekey-metrics-")
        for file in Path(directory).glob("*.db"):
            file.unlink()
    except OSError as error:
        server.log.error("there are no metrics: %s", error)
        return None
    return directory


def post_fork(server: Any, worker: Any) -> None:
    """Before the app is imported, which fails where it cannot count: then it counts for itself, and nobody asks it."""
    usable = server.metrics_directory and is_usable(server, server.metrics_directory)
    worker.metrics_socket = server.metrics_socket if usable else None
    worker.metrics_directory = server.metrics_directory if usable else None
    share_metrics(worker.metrics_directory)


def is_usable(server: Any, directory: str) -> bool:
    """Make it anew if need be: whoever cleans up temporary files may have taken it for one."""
    try:
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError as error:
        server.log.error("there are no metrics of this process: %s", error)
        return False


def child_exit(server: Any, worker: Any) -> None:
    """What the dead one measured of itself counts no more; what it has counted does.

    Not prometheus_client's mark_process_dead: imported here, in the master, it would count apart in every later worker.
    """
    if server.metrics_directory:
        for file in Path(server.metrics_directory).glob(f"gauge_live*_{worker.pid}.db"):
            file.unlink(missing_ok=True)


def on_exit(server: Any) -> None:
    if server.metrics_directory and server.metrics_directory != shared_metrics():
        shutil.rmtree(server.metrics_directory, ignore_errors=True)


def pre_request(worker: Any, request: Any) -> None:
    request.unreader.sock.settimeout(BODY_SECONDS)


def when_ready(server: Any) -> None:
    settings = load()
    if settings["DEV_MAILBOX"]:
        print(f"\n  Rekey    {settings['BASE_URL']}\n  Mailbox  {settings['BASE_URL']}/dev/mailbox\n", flush=True)


def post_worker_init(worker: Any) -> None:
    """Start the delivery thread after the fork, traffic or not, and let it hear of TERM before the requests end."""
    from app.email import start_in_server, stop_claiming_in_server

    handle_term: Any = signal.getsignal(signal.SIGTERM)

    def stop_claiming(*args: Any) -> None:
        with worker.wsgi.app_context():
            stop_claiming_in_server()
        handle_term(*args)

    signal.signal(signal.SIGTERM, stop_claiming)
    with worker.wsgi.app_context():
        start_in_server()
    if worker.metrics_socket and "metrics" in worker.wsgi.extensions:
        worker.wsgi.extensions["metrics"].serve(worker.metrics_socket, worker.metrics_directory)


def worker_exit(server: Any, worker: Any) -> None:
    if getattr(worker, "wsgi", None) is not None:  # one that could not start has none
        from app.email import stop_in_server

        with worker.wsgi.app_context():
            stop_in_server()
        if "metrics" in worker.wsgi.extensions:
            worker.wsgi.extensions["metrics"].leave()
