"""Whether mail leaves: somebody delivers, and nothing is due for long."""

from collections.abc import Iterator

from flask import current_app

from app.email import live_workers, oldest_due_seconds
from config_checks import OK, WARNING, WRONG, Finding

LONG_SECONDS = 120
MISSING = {
    "worker": (WRONG, "No worker was seen in the last minute", "run: flask outbox work"),
    "thread": (WARNING, "No web process that delivers was seen in the last minute", "start gunicorn, if it is to run."),
}


def check() -> Iterator[Finding]:
    delivery = current_app.config["MAIL_DELIVERY"]
    if delivery == "off":
        yield Finding("worker", OK, "MAIL_DELIVERY is off: links come from the operator. See: flask users waiting")
        return
    yield _workers(delivery)
    yield _queue()


def _workers(delivery: str) -> Finding:
    alive = live_workers()
    if not alive:
        return Finding("worker", *MISSING[delivery])
    return Finding("worker", OK, f"Processes that deliver mail: {len(alive)}.")


def _queue() -> Finding:
    seconds = oldest_due_seconds()
    if seconds <= LONG_SECONDS:
        return Finding("oldest due mail", OK, "No mail is due for long.")
    what = f"Mail is due for {seconds:.0f} seconds and does not leave"
    return Finding("oldest due mail", WRONG, what, "see: flask outbox status, and flask mail test you@example.com")
