"""Time as the database keeps it: a test cannot move its clock, so it moves what is stored the other way."""

from datetime import timedelta

from sqlalchemy import select, update

from app.email import OutboxMessage
from app.extensions import db
from app.limits import RateLimit


def pass_time(seconds):
    """Let limits recover and waiting mails fall due as if so much time had passed. Commits."""
    for table, columns in ((RateLimit, ("full_at",)), (OutboxMessage, ("created_at", "due_at", "expires_at"))):
        [key] = table.__mapper__.primary_key
        for row in db.session.execute(select(key, *(getattr(table, name) for name in columns))).all():
            moved = {name: getattr(row, name) - timedelta(seconds=seconds) for name in columns}
            db.session.execute(update(table).where(key == row[0]).values(moved))
    db.session.commit()
