"""How time passes in a campaign: the leases of dead and stopped workers end after seconds instead of a minute."""

import time

from sqlalchemy import select, tuple_, update
from sqlalchemy.exc import OperationalError

from app.database import db_now
from app.email import OutboxMessage
from app.email.outbox import LEASE_SECONDS
from app.extensions import db

UNRENEWED_SECONDS = 1.5  # a living worker of a campaign renews its leases every 0.2 s


class Leases:
    """`due_at` of rows that nobody looks after any more is moved into the past, as waiting would.

    Nobody does if some worker was killed or stopped, and the lease is not renewed for a while: it must not be moved
    while its owner is well, or that one and the next would rightly send the same mail.
    """

    def __init__(self, app, report):
        self.app = app
        self.report = report
        self.abandoned: list[tuple[float, list[tuple]]] = []

    def abandon(self):
        """A worker has just been killed or stopped: it may be the owner of any lease there is."""
        with self.app.app_context():
            db.session.connection(execution_options={"sqlite_begin": "DEFERRED"})
            row = OutboxMessage
            leases = db.session.execute(
                select(row.id, row.due_at, row.message_id).where(row.done_at.is_(None), row.due_at > db_now())
            ).all()
        self.abandoned.append((time.monotonic(), [(row.id, row.due_at) for row in leases]))
        self.report.excuse(row.message_id for row in leases)

    def let_time_pass(self):
        ripe = [leases for since, leases in self.abandoned if time.monotonic() - since > UNRENEWED_SECONDS]
        self.abandoned = [entry for entry in self.abandoned if entry[1] not in ripe]
        for leases in ripe:
            try:
                self._end(tuple_(OutboxMessage.id, OutboxMessage.due_at).in_(leases))
            except OperationalError:  # a stopped worker holds the lock
                self.abandoned.append((time.monotonic(), leases))

    def end_all(self):
        """When no worker is left."""
        self._end(OutboxMessage.done_at.is_(None))

    def _end(self, whose):
        with self.app.app_context():
            rows = db.session.scalars(
                select(OutboxMessage.id).where(whose, OutboxMessage.done_at.is_(None)).with_for_update(skip_locked=True)
            ).all()
            for row_id in rows:
                moved = db_now(-LEASE_SECONDS)
                db.session.execute(update(OutboxMessage).where(OutboxMessage.id == row_id).values(due_at=moved))
            db.session.commit()
