"""The promise of a mail to an address that anybody may have typed: the same for every address, and limited."""

from flask import redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from app import limits, signals
from app.auth import device
from app.database import db_now
from app.email import OutboxMessage, address_key, enqueue, waiting
from app.extensions import db
from app.security import client

KINDS = ("reset_password", "register")


def promise(kind: str, email: str, shown: str | None = None) -> ResponseReturnValue:
    """Put one row into the outbox and say "check your inbox". Raises Limited for a network that asks too often.

    `shown` stands for an address that was not typed here and is not to be told.
    """
    known = device.knows_address(email)
    if not known:
        limits.take(limits.MAILS_FROM, client()["network"])
    row = _row(kind, email, known)
    signals.announce(f"{kind}_link_asked", client=client())
    db.session.commit()
    session["inbox"] = {"kind": kind, "email": shown or email, "reference": row.reference}
    return redirect(url_for("auth.check_your_inbox"), 303)


def _row(kind: str, email: str, known: bool) -> OutboxMessage:
    """A row of its own; above the rate, the one that waits for the next turn, which serves all who ask meanwhile.

    Not refused, so that a stranger who asks all day can neither flood the owner nor keep them from a link.
    """
    turn = limits.reserve(limits.MAILS_KNOWN if known else limits.MAILS, address_key(email))
    args = {"email": email, "client": client(), "known": known}
    row = None if turn.mine else waiting(email, KINDS)
    if row is None:
        return enqueue(kind, args, address=email, locale=str(get_locale()), wait=turn.wait)
    row.args, row.created_at = args, db_now()  # the mail names the last who asked
    if kind == "register":
        row.kind = kind  # its mail serves both: an account there gets a reset link
    return row
