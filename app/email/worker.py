"""The delivery loop: a thread inside a serving process, or a process of its own (`flask outbox work`)."""

import logging
import os
from threading import Event, Lock, Thread

from flask import Flask, current_app

from app.email import outbox
from app.email.smtp import Connection

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
TROUBLE_SECONDS = 2


def work(app: Flask, stop: Event) -> None:
    """Deliver what falls due until told to stop; then finish the message in hand."""
    with app.app_context():
        connection = Connection()
    with connection:
        while not stop.is_set():
            try:
                with app.app_context():
                    delivered = deliver_next(connection)
            except Exception:
                # Most likely the database is away. Whatever it is, mail must flow again when it is over.
                logger.exception("delivery is interrupted, next try in %d s", TROUBLE_SECONDS)
                stop.wait(TROUBLE_SECONDS)
            else:
                if not delivered:
                    stop.wait(POLL_SECONDS)


def deliver_next(connection: Connection) -> bool:
    """Deliver one due row; False when nothing is due."""
    row = outbox.claim()
    if row is not None:
        outbox.deliver(row, connection)
    return row is not None


class DeliveryThread:
    """The loop inside a serving process. `start` may be called any number of times, before and after a fork."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.lock = Lock()
        self.stopping = Event()
        self.thread: Thread | None = None
        self.process: int | None = None

    def start(self) -> None:
        if self.process == os.getpid():
            return
        with self.lock:
            if self.process != os.getpid():  # threads do not survive a fork
                self.stopping.clear()
                self.thread = Thread(target=work, args=(self.app, self.stopping), name="delivery", daemon=True)
                self.thread.start()
                self.process = os.getpid()

    def stop(self, seconds: float = 25) -> None:
        """Let the message in hand finish, within gunicorn's grace of 30 seconds."""
        self.stopping.set()
        if self.thread is not None and self.process == os.getpid():
            self.thread.join(seconds)


def start_in_server() -> None:
    """Start this process's delivery thread if the settings ask for one.

    gunicorn.conf.py calls it in each worker, traffic or not; a server without such a hook does with the first request.
    """
    if current_app.config["MAIL_DELIVERY"] == "thread":
        current_app.extensions["delivery"].start()


def stop_in_server() -> None:
    current_app.extensions["delivery"].stop()


def init_app(app: Flask) -> None:
    app.extensions["delivery"] = DeliveryThread(app)
    if not app.testing:
        app.before_request(start_in_server)
