"""gunicorn reads this file by itself: `gunicorn wsgi:app`."""

import logging
import re
import signal
import sys
from typing import Any

from config import ConfigError, load

worker_class = "gthread"
threads = 4
graceful_timeout = 30
control_socket_disable = True  # else every gunicorn of this user shares one socket in the home directory
forwarded_allow_ips = ""  # X-Forwarded-* counts as TRUSTED_PROXIES says, and in one place
accesslog = None  # its lines hold whole paths, and those of mailed links are secret


BODY_SECONDS = 10  # without a byte of the body; against one byte now and then only a proxy that buffers helps


def on_starting(server: Any) -> None:
    """Refuse once, before any worker is started."""
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).addFilter(hide_links)
    try:
        load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)


def hide_links(record: logging.LogRecord) -> bool:
    """Of a request that it cannot read gunicorn logs the whole first line, which may be a live link and a stray sign.

    So do its access log, where somebody turns it on, and its debug lines.
    """
    record.msg, record.args = re.sub(r"(/auth/[a-z_]+/)\S+", r"\1...", record.getMessage()), ()
    return True


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


def worker_exit(server: Any, worker: Any) -> None:
    if worker.wsgi is not None:
        from app.email import stop_in_server

        with worker.wsgi.app_context():
            stop_in_server()
