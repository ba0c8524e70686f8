"""Time as the database keeps it: a test cannot move its clock, so it moves what is stored the other way."""

from sqlalchemy import update

from app.database import UtcDateTime, seconds_after
from app.email import OutboxMessage
from app.extensions import db
from app.limits import RateLimit


def pass_time(seconds):
    """Let limits recover and open mails fall due as if so many seconds had gone by. Commits."""
    for table, is_affected in ((RateLimit.__table__, True), (OutboxMessage.__table__, OutboxMessage.done_at.is_(None))):
        moments = [column for column in table.columns if isinstance(column.type, UtcDateTime)]
        change = {column: seconds_after(column, -seconds) for column in moments}
        db.session.execute(update(table).where(is_affected).values(change))
    db.session.commit()
