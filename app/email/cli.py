"""flask outbox …, flask mail …: the operator's view of the mail that was promised, and of the way it takes."""

import json
import signal
import sys
from datetime import datetime
from threading import Event

import click
from flask import Blueprint, Flask, current_app

from app import logs
from app.commands import CommandGroup
from app.email import report, worker
from app.email.addresses import parse_address
from app.email.catalogue import drafts, preview
from app.email.diagnosis import explain
from app.email.models import OutboxMessage, new_message_id
from app.email.purge import purge as delete_dead_rows
from app.email.render import Draft, render
from app.email.smtp import Connection
from app.extensions import db

bp = Blueprint("outbox", __name__, cli_group="outbox")
bp.cli = CommandGroup(help="Deliver the mail that was promised, and see how it fares.")


@bp.cli.command()
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Connections at a time.")
def work(threads: int) -> None:
    """Deliver mail until told to stop (TERM or Ctrl-C)."""
    _refuse_without_delivery()
    stop = _stop_when_told()
    logs.be_talkative()
    if metrics := current_app.extensions.get("metrics"):
        metrics.serve()
    click.echo("Delivering mail. Stop with Ctrl-C.")
    worker.work(_app(), stop, threads)
    click.echo("Stopped.")


@bp.cli.command()
def drain() -> None:
    """Deliver what is due now, then exit."""
    _refuse_without_delivery()
    stop = _stop_when_told()
    due = report.counts()["due"]
    with click.progressbar(length=due, label="Delivering", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        courier = worker.drain(_app(), stop, bar.update)
    if courier.unreachable:
        raise click.ClickException(explain(courier.unreachable))
    click.echo(f"{courier.handled} handled, {report.counts()['waiting']} waiting for a later try.")
    if courier.budget_is_spent:
        click.echo("The rest waits: MAIL_HOURLY_BUDGET is spent for this hour.")


@bp.cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--check", is_flag=True, help="For probes: say in a line whether mail leaves; the exit status is 1 if not."
)
@click.option("--max-age", type=click.FloatRange(0), default=120, show_default=True, help="Seconds; of --check.")
def status(as_json: bool, check: bool, max_age: float) -> None:
    """Say how much mail is due, waiting and failed, how old the oldest is, and who delivers."""
    if check:
        _check(max_age)
        return
    facts = report.counts() | report.pace()
    delivering = report.delivering()
    if as_json:
        click.echo(json.dumps(facts | {"workers": delivering}))
        return
    for name, fact in facts.items():
        click.echo(f"{name.replace('_', ' '):<21} {fact}")
    for process in delivering:
        state = "seen" if process["alive"] else "dead, last seen"
        words = f"{state} {process['seen_seconds_ago']:.0f} s ago, process {process['pid']} on {process['host']}"
        click.echo(f"{process['kind']:<21} {words}")


def _check(longest_due: float) -> None:
    """Raises ClickException, whose exit status is 1."""
    if current_app.config["MAIL_DELIVERY"] == "off":
        click.echo("MAIL_DELIVERY is off: no mail is to leave.")
        return
    if problem := report.trouble(longest_due):
        raise click.ClickException(problem)
    click.echo("Mail leaves.")


@bp.cli.command("list")
@click.option("--state", type=click.Choice(report.STATES), help="Only those in this state.")
@click.option("--kind", help="Only mails of this kind, as reset_password.")
@click.option("--address", help="Only mails to this address, as it was typed.")
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
def list_command(state: str | None, kind: str | None, address: str | None, most: int) -> None:
    """List promised mail, newest first."""
    rows = report.find(state=state, kind=kind, address=address, most=most)
    for row in rows:
        words = row.outcome if row.done_at else f"due {_time(row.due_at)}"
        tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
        click.echo(f"{row.reference}  {_time(row.created_at)}  {row.kind:<16}  {tries:>9}  {words}")
    if not rows:
        click.echo("None.", err=True)


@bp.cli.command()
@click.argument("address_or_reference")
def trace(address_or_reference: str) -> None:
    """Tell what became of the mails to ADDRESS, or of the one with this REFERENCE."""
    rows = report.trace(address_or_reference)
    if not rows:
        raise click.ClickException("No mail is known under that address or reference.")
    for row in rows:
        click.echo(f"{row.reference}  {row.kind}")
        click.echo(f"  {_time(row.created_at)}  asked and queued")
        for moment, words in row.tries:
            click.echo(f"  {_time(datetime.fromisoformat(moment))}  {words}")
        click.echo(f"  {report.verdict(row)}")


@bp.cli.command()
@click.argument("reference", required=False)
@click.option("--all", "every", is_flag=True, help="Every mail that waits for a later try.")
def retry(reference: str | None, every: bool) -> None:
    """Try the mail with this REFERENCE, or all that wait, now instead of later."""
    if bool(reference) == every:
        raise click.UsageError("Name a reference, or say --all.")
    count = report.hasten(None if every else reference)
    db.session.commit()
    if reference and not count:
        raise click.ClickException("No mail with that reference waits. What is done cannot be sent again: ask anew.")
    click.echo(f"{count} due now.")


@bp.cli.command()
def purge() -> None:
    """Delete what is done with: old mails, links, sessions and events. Workers do so by themselves, once an hour."""
    for table, count in delete_dead_rows().items():
        click.echo(f"{table:<20} {count} deleted")


mail_bp = Blueprint("mail", __name__, cli_group="mail")
mail_bp.cli = CommandGroup(help="Look at mail and at the way it takes.")


@mail_bp.cli.command("test")
@click.argument("address")
def test_command(address: str) -> None:
    """Send one mail to ADDRESS now, past the outbox, and say in words what goes wrong."""
    _refuse_without_delivery()
    try:
        to = parse_address(address)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    row = OutboxMessage(kind="test", message_id=new_message_id())
    message = render(row, Draft(to, {"home": current_app.config["BASE_URL"]}))
    try:
        with Connection() as connection:
            connection.send(message)
    except Exception as error:
        raise click.ClickException(explain(error)) from error
    click.echo(f"The server has taken it: {connection.receipt}")


@mail_bp.cli.command("preview")
@click.argument("kind")
@click.option("--locale", help="One of the site's languages, as pt_BR. Default: the first.")
def preview_command(kind: str, locale: str | None) -> None:
    """Print the mail of this KIND whole, with made-up facts: > x.eml. Sends nothing."""
    languages = current_app.config["LANGUAGES"]
    locale = locale or languages[0]
    if kind not in drafts():
        raise click.UsageError(f"There is no mail {kind}. There are: {', '.join(drafts())}.")
    if locale not in languages:
        raise click.UsageError(f"No mail speaks {locale}. There are: {', '.join(languages)}.")
    click.echo(preview(kind, locale).as_bytes(), nl=False)


def _stop_when_told() -> Event:
    """An event that TERM and Ctrl-C set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _refuse_without_delivery() -> None:
    if current_app.config["MAIL_DELIVERY"] == "off":
        raise click.ClickException("MAIL_DELIVERY is off: this site sends no mail. See: flask users reset-link")


def _app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
