"""Which rows about accounts are dead."""

from sqlalchemy import ColumnElement

from app.auth.attempts import STOPPED_AFTER
from app.auth.models import EmailChange, Registration, SecurityEvent, UserSession
from app.database import db_now
from app.email import purges
from app.limits import RateLimit

REGISTRATION_DAYS = 2  # a link lives a day, from the last of the tries to mail it
UNDONE_DAYS = 8  # a change can be undone for seven
EVENT_DAYS = 365
FAILURE_DAYS = 30  # after the last failure; "in a row" has no end of its own


@purges(Registration)
def _links_that_expired() -> ColumnElement[bool]:
    return Registration.created_at < _days_ago(REGISTRATION_DAYS)


@purges(EmailChange)
def _changes_that_are_history() -> ColumnElement[bool]:
    dropped = EmailChange.used_at.is_(None) & (EmailChange.created_at < _days_ago(REGISTRATION_DAYS))
    return dropped | (EmailChange.used_at < _days_ago(UNDONE_DAYS))


@purges(SecurityEvent)
def _old_events() -> ColumnElement[bool]:
    nobodys = SecurityEvent.user_id.is_(None) & (SecurityEvent.created_at < _days_ago(FAILURE_DAYS))
    return nobodys | (SecurityEvent.created_at < _days_ago(EVENT_DAYS))


@purges(RateLimit)
def _limits_that_are_whole_again() -> ColumnElement[bool]:
    few = RateLimit.failures < STOPPED_AFTER  # a password that was stopped stays so
    forgotten = (RateLimit.failures == 0) | (few & (RateLimit.full_at < _days_ago(FAILURE_DAYS)))
    return (RateLimit.full_at < db_now()) & forgotten


@purges(UserSession)
def _sessions_that_ended() -> ColumnElement[bool]:
    idle, absolute = UserSession.LIVES[True]
    brief_idle, brief_absolute = UserSession.LIVES[False]
    brief = (UserSession.last_used_at < _days_ago(brief_idle.days)) | (
        UserSession.created_at < _days_ago(brief_absolute.days)
    )
    return (
        (UserSession.last_used_at < _days_ago(idle.days))
        | (UserSession.created_at < _days_ago(absolute.days))
        | (~UserSession.remember & brief)
    )


def _days_ago(days: int) -> db_now:
    return db_now(-86_400 * days)
