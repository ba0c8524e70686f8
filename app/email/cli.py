"""flask outbox …: the operator's view of the mail that was promised."""

import json
import signal
from threading import Event

import click
from flask import Blueprint, current_app
from sqlalchemy import func, select

from app.database import db_now
from app.email import worker
from app.email.models import OutboxMessage
from app.email.smtp import Connection
from app.extensions import db

bp = Blueprint("outbox", __name__, cli_group="outbox")
bp.cli.help = "Deliver the mail that was promised, and see how it fares."


@bp.cli.command()
def work() -> None:
    """Deliver mail until told to stop (TERM or Ctrl-C)."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    click.echo("Delivering mail. Stop with Ctrl-C.")
    worker.work(current_app._get_current_object(), stop)  # type: ignore[attr-defined]
    click.echo("Stopped; no message was left in hand.")


@bp.cli.command()
def drain() -> None:
    """Deliver what is due now, then exit."""
    with Connection() as connection:
        count = 0
        while worker.deliver_next(connection):
            count += 1
    click.echo(f"{count} handled, {_counts()['waiting']} waiting for a later try.")


@bp.cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Say how much mail is due, waiting and failed."""
    counts = _counts()
    if as_json:
        click.echo(json.dumps(counts))
        return
    for name, count in counts.items():
        click.echo(f"{name:<8} {count}")


def _counts() -> dict[str, int]:
    """`due` now, `waiting` for their time, and how the done ones ended."""
    outbox = OutboxMessage
    ended = select(outbox.outcome, func.count()).where(outbox.done_at.is_not(None)).group_by(outbox.outcome)
    still_open = outbox.done_at.is_(None)
    due = select(func.count()).where(still_open, outbox.due_at <= db_now())
    waiting = select(func.count()).where(still_open, outbox.due_at > db_now())
    counts = {"due": db.session.scalar(due) or 0, "waiting": db.session.scalar(waiting) or 0}
    counts |= dict.fromkeys(("sent", "nobody", "expired", "failed"), 0)
    return counts | {str(outcome): count for outcome, count in db.session.execute(ended)}
