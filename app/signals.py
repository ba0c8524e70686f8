"""What happened, for code of yours that is to do more: `signals.password_reset.connect(function)`.

`function(app, **facts)` is called in the process and thread that did it, after the commit; what it raises is logged and
changes nothing. It may use the database, in a transaction of its own. In a page it must be quick: people wait for it,
and where only some accounts have something to do, the time tells which. Mail belongs into the outbox (`enqueue`).

Facts of what happens to accounts: `kind` (a key of OF_KIND), `user_id` (an int; None where no account has the address)
and `client`, a dict of `network` and `device`. None ever holds an address, a password or a link.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

from blinker import NamedSignal, Namespace
from flask import current_app

from app.database import call_after_commit
from app.extensions import db

logger = logging.getLogger(__name__)
_signal = Namespace().signal

registered = _signal("registered")
signed_in = _signal("signed_in")
sign_in_failed = _signal("sign_in_failed")
signed_out = _signal("signed_out")  # this browser, others, or all of them by the operator
reset_asked = _signal("reset_asked")  # for any address: a page never knows whether there is an account
registration_asked = _signal("registration_asked")
password_reset = _signal("password_reset")
password_changed = _signal("password_changed")
email_change_asked = _signal("email_change_asked")
email_changed = _signal("email_changed")  # by a new address, or back to the old one
disowned = _signal("disowned")  # "this was not me"
account_disabled = _signal("account_disabled")
account_enabled = _signal("account_enabled")
account_deleted = _signal("account_deleted")

# Facts: kind, reference; of a try also result (sent, nobody, expired, failed, later, held back, no server) and seconds.
mail_tried = _signal("mail_tried")
mail_sent = _signal("mail_sent")
mail_failed = _signal("mail_failed")

limit_reached = _signal("limit_reached")  # name
password_hashed = _signal("password_hashed")  # seconds; a check counts as well
smtp_talked = _signal("smtp_talked")  # seconds

OF_KIND = {
    "registered": registered,
    "signed_in": signed_in,
    "sign_in_refused": sign_in_failed,
    "sign_in_limited": sign_in_failed,
    "password_stopped": sign_in_failed,
    "signed_out": signed_out,
    "session_ended": signed_out,
    "sessions_ended": signed_out,
    "signed_out_by_operator": signed_out,
    "register_link_asked": registration_asked,
    "reset_password_link_asked": reset_asked,
    "reset_link_printed": reset_asked,
    "reset_asked_by_operator": reset_asked,
    "password_reset": password_reset,
    "password_changed": password_changed,
    "email_change_asked": email_change_asked,
    "email_changed": email_changed,
    "email_restored": email_changed,
    "not_me": disowned,
    "disabled": account_disabled,
    "enabled": account_enabled,
    "deleted": account_deleted,
}


def announce(kind: str, **facts: Any) -> None:
    """Send the signal of this kind of event, where there is one, once the transaction has been committed."""
    if signal := OF_KIND.get(kind):
        call_after_commit(db.session(), partial(send, signal, kind=kind, **facts))


def send(signal: NamedSignal, **facts: Any) -> None:
    """Call every receiver, also after one that failed. Never raises."""
    if not signal.receivers:
        return
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    for receiver in signal.receivers_for(app):
        try:
            receiver(app, **facts)
        except Exception:
            logger.exception("a receiver of the signal %s failed", signal.name)


@contextmanager
def timed(signal: NamedSignal) -> Iterator[None]:
    """Send how many seconds the block took, whether it succeeds or not."""
    began = monotonic()
    try:
        yield
    finally:
        send(signal, seconds=monotonic() - began)
