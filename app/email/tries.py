"""How one try to deliver a mail ended, told to the log and to whoever listens to the signals."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from time import monotonic

from app import signals
from app.email.models import OutboxMessage
from app.email.smtp import Connection, UnreachableError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """`result` is the row's outcome or what it waits for: see signals.mail_tried. `words` hold no address."""

    result: str
    words: str = ""
    level: int = logging.INFO
    error: BaseException | None = None  # a fault of ours: with its traceback


Try = Callable[[OutboxMessage, Connection], Ending]


def told(attempt: Try) -> Try:
    """Tell how each call ended, but where the database was away: then nothing is known of the mail."""

    @wraps(attempt)
    def tell_of_it(row: OutboxMessage, connection: Connection) -> Ending:
        began = monotonic()
        try:
            ending = attempt(row, connection)
        except UnreachableError:
            _tell(row, Ending("no server"), monotonic() - began)
            raise
        _tell(row, ending, monotonic() - began)
        return ending

    return tell_of_it


def _tell(row: OutboxMessage, ending: Ending, seconds: float) -> None:
    mail = {"kind": row.kind, "reference": row.reference}
    facts = {**mail, "result": ending.result, "try": row.attempts, "ms": round(seconds * 1000), "words": ending.words}
    line = "mail %(reference)s %(kind)s: %(result)s, try %(try)d in %(ms)d ms" + (": %(words)s" if ending.words else "")
    logger.log(ending.level, line, facts, extra={"facts": facts}, exc_info=ending.error)
    signals.send(signals.mail_tried, **mail, result=ending.result, seconds=seconds)
    if ending.result == "sent":
        signals.send(signals.mail_sent, **mail)
    elif ending.result == "failed":
        signals.send(signals.mail_failed, **mail)
