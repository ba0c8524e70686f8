"""Who delivers: one row for every process that does, so that a dead worker is noticed before a locked-out user is."""

import logging
import os
import platform
from datetime import datetime
from time import monotonic

from flask import Flask
from sqlalchemy import ColumnElement, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, UtcDateTime, db_now
from app.email.models import new_message_id
from app.email.purge import purges
from app.extensions import db

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10
ALIVE_SECONDS = 60  # a worker that was not seen for so long is taken for dead
DAYS_KEPT = 1


class MailWorker(Base):
    """A process that delivers mail: `flask outbox work` or, of kind `thread`, one that serves pages as well."""

    __tablename__ = "mail_workers"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Heartbeat:
    """Says every ten seconds that this process lives, by the database's clock; and takes that back when it ends."""

    def __init__(self, app: Flask, kind: str) -> None:
        self.app = app
        self.kind = kind
        self.id = new_message_id()
        self.next_at = monotonic()

    def beat(self) -> None:
        """Cheap to call often. Never raises: mail must flow also where this cannot be written."""
        if monotonic() < self.next_at:
            return
        self.next_at = monotonic() + BEAT_SECONDS
        try:
            with self.app.app_context():
                self._write()
                db.session.commit()
        except Exception as error:  # the database is away, or a release ahead of its schema
            logger.warning("no heartbeat was written: %s", type(error).__name__)

    def _write(self) -> None:
        mine = update(MailWorker).where(MailWorker.id == self.id).values(seen_at=db_now())
        if db.session.scalar(mine.returning(MailWorker.id)) is None:
            facts = {"host": platform.node()[:255], "pid": os.getpid(), "kind": self.kind}
            db.session.add(MailWorker(id=self.id, started_at=db_now(), seen_at=db_now(), **facts))

    def end(self) -> None:
        try:
            with self.app.app_context():
                db.session.execute(delete(MailWorker).where(MailWorker.id == self.id))
                db.session.commit()
        except Exception as error:
            logger.warning("the heartbeat could not be removed: %s", type(error).__name__)


def workers() -> list[tuple[MailWorker, float]]:
    """Every known worker with the seconds since it was seen, the last seen first. Dead ones are listed for a day."""
    known = db.session.execute(select(MailWorker, db_now()).order_by(MailWorker.seen_at.desc()))
    return [(worker, (now - worker.seen_at).total_seconds()) for worker, now in known]


def live_workers() -> list[MailWorker]:
    return [worker for worker, seconds in workers() if seconds < ALIVE_SECONDS]


@purges(MailWorker)
def _workers_long_gone() -> ColumnElement[bool]:
    return MailWorker.seen_at < db_now(-86_400 * DAYS_KEPT)
