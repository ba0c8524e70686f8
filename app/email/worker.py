"""Delivery: threads inside a serving process, or a process of its own (`flask outbox work`)."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from threading import Event, Lock, Thread
from time import monotonic

from flask import Flask, current_app
from sqlalchemy import select

from app.database import DATABASE_AWAY, db_now
from app.email import outbox
from app.email.heartbeat import Heartbeat
from app.email.models import OutboxMessage
from app.email.purge import purge
from app.email.smtp import Connection, UnreachableError, Verdict, describe, judge
from app.extensions import db
from app.limits import BudgetSpentError

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3  # an idle worker starts on a new row within half a second
BATCH = 20
BATCH_SECONDS = 5  # then the rest is handed back, so that a new reset overtakes a batch of notices
TROUBLE_SECONDS = 2
LONGEST_REST = 30  # seconds between two looks for a server that is away
RENEW_SECONDS = 15
SEND_SECONDS = 300  # a server that takes longer for one mail is hung up on (RFC 5321, 4.5.3.2: 5 minutes a step)
SUPERVISE_SECONDS = 0.2
PURGE_SECONDS = 3600
CLEANER_SECONDS = 1
FAREWELL_SECONDS = 20  # for the mail in hand after being told to stop, of the 30 that process managers grant


class Courier:
    """One delivery loop, with a connection and a batch of its own.

    With `due_by` it delivers what was due by then, and ends; without, it goes on until told to stop.
    """

    def __init__(self, app: Flask, stop: Event, due_by: datetime | None = None) -> None:
        self.app = app
        self.stop = stop
        self.due_by = due_by
        self.lock = Lock()  # around what changes leases: the loop hands back while its watcher renews
        self.in_hand: list[OutboxMessage] = []
        self.busy_since: float | None = None
        self.handled = 0
        self.rebuffs = 0  # in a row, by a server that is away
        self.unreachable: UnreachableError | None = None
        self.budget_is_spent = False
        with app.app_context():
            self.connection = Connection()

    def run(self) -> None:
        """Deliver what falls due until told to stop; then finish the message in hand and hand back the rest."""
        with self.connection:
            while not self.stop.is_set():
                rest = self._round()
                if rest and self.due_by:
                    return
                self.stop.wait(rest)

    def _round(self) -> float:
        """Deliver a batch. Returns the seconds to rest after it."""
        try:
            with self.app.app_context():
                return 0 if self.deliver_batch() else POLL_SECONDS
        except UnreachableError as error:
            self.unreachable = error
            level = logging.WARNING if judge(error) is Verdict.RETRY else logging.ERROR
            logger.log(level, "no mail can leave: %s", describe(error))
            self.rebuffs += 1
            return min(outbox.pause(self.rebuffs), LONGEST_REST)
        except BudgetSpentError as error:
            self.budget_is_spent = True
            logger.error("mail waits: MAIL_HOURLY_BUDGET is spent, %s", error)
            return min(error.seconds, LONGEST_REST)
        except Exception:
            # Most likely the database is away. Whatever it is, mail must flow again when it is over.
            logger.exception("delivery is interrupted, next try in %d s", TROUBLE_SECONDS)
            return TROUBLE_SECONDS

    def deliver_batch(self) -> int:
        """Claim a batch and deliver it; how many rows were claimed. Raises UnreachableError where no server answers."""
        self._hand_back()  # what a database that was away could not take back
        self.in_hand = claimed = outbox.claim(BATCH, self.due_by)
        try:
            self._deliver_in_hand()
        finally:
            with suppress(*DATABASE_AWAY):
                self._hand_back()
        return len(claimed)

    def _hand_back(self) -> None:
        with self.lock:
            db.session.rollback()  # of what an error has left behind
            outbox.hand_back(self.in_hand)
            self.in_hand = []

    def _deliver_in_hand(self) -> None:
        until = monotonic() + BATCH_SECONDS
        while self.in_hand and monotonic() < until and not self.stop.is_set():
            self.busy_since = monotonic()
            try:
                outbox.deliver(self.in_hand[0], self.connection)
            finally:
                self.busy_since = None
                self.in_hand = self.in_hand[1:]  # a new list: another thread may be reading this one
            self.handled += 1
            self.rebuffs = 0

    def look_after(self) -> None:
        """From another thread: renew the leases of what is in hand, and hang up on a server that takes for ever."""
        if self.busy_since is not None and monotonic() - self.busy_since > SEND_SECONDS:
            self.connection.abort()
        try:
            with self.app.app_context(), self.lock:
                outbox.renew(self.in_hand)
        except Exception:
            logger.exception("leases could not be renewed")


def work(app: Flask, stop: Event, threads: int = 1, kind: str = "worker") -> None:
    """Deliver with so many connections until told to stop, say so now and then, and delete dead rows once an hour."""
    couriers = [Courier(app, stop) for _ in range(threads)]
    heartbeat = Heartbeat(app, kind)
    cleaner = Cleaner(app)
    for _ in _supervised(couriers, stop):
        heartbeat.beat()
        cleaner.begin_if_due()
    heartbeat.end()
    cleaner.end()


def drain(app: Flask, stop: Event, progress: Callable[[int], object]) -> Courier:
    """Deliver what is due at this moment, and return the courier that did; `progress` is told how many more."""
    courier = Courier(app, stop, due_by=db.session.scalar(select(db_now())))
    db.session.rollback()
    told = 0
    for _ in _supervised([courier], stop):
        progress(courier.handled - told)
        told = courier.handled
    progress(courier.handled - told)
    return courier


def _supervised(couriers: list[Courier], stop: Event) -> Iterator[None]:
    """Run the couriers until they end or are told to stop, looking after them; yields a few times a second."""
    loops = [Thread(target=courier.run, name=f"courier-{n}", daemon=True) for n, courier in enumerate(couriers)]
    for loop in loops:
        loop.start()
    next_look = monotonic() + RENEW_SECONDS
    while any(loop.is_alive() for loop in loops) and not stop.wait(SUPERVISE_SECONDS):
        if monotonic() >= next_look:
            next_look = monotonic() + RENEW_SECONDS
            for courier in couriers:
                courier.look_after()
        yield
    farewell = monotonic() + FAREWELL_SECONDS
    for loop in loops:
        loop.join(max(0, farewell - monotonic()))
    for courier in couriers:
        courier.connection.abort()
    for loop in loops:
        loop.join(5)


class Cleaner:
    """Deletes dead rows now and then, in a thread of its own: no heartbeat, lease or signal can wait for so long."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.next_at = monotonic()
        self.thread: Thread | None = None

    def begin_if_due(self) -> None:
        if monotonic() < self.next_at or (self.thread and self.thread.is_alive()):
            return
        self.next_at = monotonic() + PURGE_SECONDS
        thread = Thread(target=self._purge, name="purge", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            logger.exception("dead rows could not be deleted")
        else:
            self.thread = thread

    def _purge(self) -> None:
        try:
            with self.app.app_context():
                purge()
        except Exception:
            logger.exception("dead rows could not be deleted")

    def end(self) -> None:
        """Wait for a moment only: what is not deleted yet, the next worker deletes."""
        if self.thread:
            self.thread.join(CLEANER_SECONDS)


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
                self.thread = Thread(target=self._work, name="delivery", daemon=True)
                self.thread.start()
                self.process = os.getpid()

    def _work(self) -> None:
        work(self.app, self.stopping, kind="thread")

    def stop_claiming(self) -> None:
        """Begin to stop: what is in hand is finished, nothing new is begun."""
        self.stopping.set()

    def stop(self, seconds: float = 26) -> None:
        """Let the message in hand finish, within gunicorn's grace of 30 seconds."""
        self.stop_claiming()
        if self.thread is not None and self.process == os.getpid():
            self.thread.join(seconds)


def start_in_server() -> None:
    """Start this process's delivery thread if the settings ask for one.

    gunicorn.conf.py calls it in each worker, traffic or not; a server without such a hook does with the first request.
    """
    if current_app.config["MAIL_DELIVERY"] == "thread":
        current_app.extensions["delivery"].start()


def stop_claiming_in_server() -> None:
    """For the moment a server is told to stop: it may wait for its requests before stop_in_server is called."""
    current_app.extensions["delivery"].stop_claiming()


def stop_in_server() -> None:
    current_app.extensions["delivery"].stop()


def init_app(app: Flask) -> None:
    app.extensions["delivery"] = DeliveryThread(app)
    if not app.testing:
        app.before_request(start_in_server)
