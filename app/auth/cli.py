"""flask users …: the operator's view of accounts."""

import os
import sys
from getpass import getuser
from io import SEEK_END
from itertools import count
from time import monotonic
from typing import Any, BinaryIO

import click
from flask import Blueprint, current_app

from app.auth import listing, no_mail, operations, report, user_import
from app.auth.forms import name_problem
from app.auth.listing import plural
from app.auth.models import EmailChange, User, UserSession
from app.auth.passwords import hash_password, password_problem
from app.auth.promises import KINDS
from app.commands import CommandGroup
from app.email import answer, enqueue, parse_address
from app.extensions import db
from app.security import public_url

bp = Blueprint("users", __name__, cli_group="users")
bp.cli = CommandGroup(help="Create and mend accounts.")
OPERATOR = {"device": "flask users", "network": ""}
CLEAR_LINE = "\r\033[K"  # of a progress bar, which is then drawn again


class Address(click.ParamType[str]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, context)


def _name(context: click.Context, param: click.Parameter, value: str) -> str:
    if problem := name_problem(value.strip()):
        raise click.BadParameter(problem)
    return value.strip()


def _part_of_address(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value and not (value.isascii() and value.isprintable()):
        raise click.BadParameter("Addresses are kept in ASCII, international domains as xn--….")
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@bp.cli.command()
@click.argument("email", type=Address())
@click.option("--name", required=True, callback=_name, help="What the person is called.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
def create(email: str, name: str, password_stdin: bool) -> None:
    """Create an account that can sign in at once. Mails nothing."""
    if password_stdin:
        password = sys.stdin.buffer.read().decode(errors="replace").removesuffix("\n").removesuffix("\r")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if problem := password_problem(password, [name, email]):
        raise click.ClickException(problem)
    if EmailChange.reserves(email):
        raise click.ClickException(f"{email} is kept for an account that has left it within the last 7 days.")
    user = User.create(email, name, hash_password(password))
    if user is None:
        raise click.ClickException(f"There is an account for {email} already.")
    user.record("registered", operator())
    db.session.commit()
    click.echo(f"{email} can sign in.")


@bp.cli.command("list")
@click.option("--search", callback=_part_of_address, metavar="TEXT", help="Only addresses with this text in them.")
@click.option("--disabled", is_flag=True, help="Only disabled accounts.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@json_option
def list_command(search: str | None, disabled: bool, limit: int, as_json: bool) -> None:
    """List accounts, newest first."""
    conditions = report.matching(search, disabled=disabled)
    total = report.count(conditions)
    more = max(0, total - limit)
    pages = report.find(conditions, limit)
    table = (line for page in pages for line in listing.as_table(page))
    for line in listing.as_json_list(pages, more) if as_json else table:
        click.echo(line)
    if not as_json and (more or not total):
        click.echo(f"{more} more: see --limit and --search." if more else "None.", err=True)


@bp.cli.command()
@click.argument("email", type=Address())
@json_option
def show(email: str, as_json: bool) -> None:
    """Show what is known of the account of EMAIL.

    Where it is signed in, and the last that happened to it.
    """
    facts = report.facts(_account(email))
    for line in [listing.as_json(facts)] if as_json else listing.as_lines(facts):
        click.echo(line)


@bp.cli.command()
@click.argument("email", type=Address())
def disable(email: str) -> None:
    """Let nobody into the account of EMAIL.

    Its sessions and links end at once, and no mail is sent to it, not even what is queued already.
    """
    user = _account(email)
    disabled = operations.disable(user, operator())
    db.session.commit()
    click.echo(f"{user.email} is disabled." if disabled else f"{user.email} was disabled already.")


@bp.cli.command()
@click.argument("email", type=Address())
def enable(email: str) -> None:
    """Open a disabled account again. Old sessions and links stay dead."""
    user = _account(email)
    enabled = operations.enable(user, operator())
    db.session.commit()
    click.echo(f"{user.email} is enabled." if enabled else f"{user.email} was not disabled.")
    if user.password_hash is None:
        click.echo(f"The account has no password. See: flask users send-reset {user.email}")


@bp.cli.command("sign-out")
@click.argument("email", type=Address(), required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody.")
@yes_option
def sign_out(email: str | None, everybody: bool, yes: bool) -> None:
    """End all sessions, of EMAIL or of everybody.

    Links that were mailed die with them.
    """
    if (email is None) != everybody:
        raise click.UsageError("Name an address, or say --all.")
    if email is None:
        _sign_out_everybody(yes)
        return
    user = _account(email)
    sessions = len(UserSession.of(user))
    operations.sign_out(user, operator())
    db.session.commit()
    click.echo(f"{user.email} is signed out everywhere: {plural(sessions, 'session')} ended.")


def _sign_out_everybody(yes: bool) -> None:
    total = report.count([])
    if not yes:
        click.confirm(f"Sign out everybody ({plural(total, 'account')}), and void every open link?", abort=True)
    sessions = 0
    with click.progressbar(length=total, label="Signing out", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for accounts, ended in operations.sign_out_everybody(operator()):
            db.session.commit()
            sessions += ended
            bar.update(accounts)
    click.echo(f"Everybody is signed out: {plural(sessions, 'session')} ended.")


@bp.cli.command("send-reset")
@click.argument("email", type=Address())
def send_reset(email: str) -> None:
    """Mail a link for a new password to EMAIL."""
    user = _active_account(email)
    # Without the operator's name: it is nobody else's business.
    args = {"email": user.email, "client": OPERATOR}
    row = enqueue("reset_password", args, address=user.email, locale=user.locale)
    user.record("reset_asked_by_operator", operator())
    db.session.commit()
    click.echo(f"A mail to {user.email} is queued. Its reference: {row.reference}")
    if current_app.config["MAIL_DELIVERY"] == "off":
        click.echo("MAIL_DELIVERY is off: it will not leave. See: flask users reset-link", err=True)


@bp.cli.command("reset-link")
@click.argument("email", type=Address())
def reset_link(email: str) -> None:
    """Print a one-time link with which the owner of EMAIL can set a new password."""
    user = _active_account(email)
    user.record("reset_link_printed", operator())
    answered = answer(user.email, KINDS)
    db.session.commit()
    click.echo(public_url("auth.open_reset_password", token=user.get_reset_password_token()))
    if answered:
        click.echo("The request for it is off the list. See that you give the link to its owner.", err=True)


@bp.cli.command()
@json_option
def waiting(as_json: bool) -> None:
    """List who has asked for a link within six hours and got none: with MAIL_DELIVERY=off, everybody who asks.

    Answer with `users reset-link`, once you are sure who is asking.
    """
    people = list(no_mail.waiting())
    for line in listing.waiting_as_json(people) if as_json else listing.waiting_as_table(people):
        click.echo(line)
    if not people and not as_json:
        click.echo("Nobody.", err=True)


@bp.cli.command()
@click.argument("email", type=Address())
@yes_option
def delete(email: str, yes: bool) -> None:
    """Delete the account of EMAIL for good.

    The address can be registered anew; old links stay dead.
    """
    user = _account(email)
    db.session.commit()  # no lock is held while somebody thinks
    if not yes:
        click.confirm(f"Delete the account of {user.name} <{user.email}> for good?", abort=True)
    operations.delete_account(user, operator())
    db.session.commit()
    click.echo(f"The account of {user.email} is deleted.")


@bp.cli.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Check every line; change nothing.")
@click.pass_context
def import_command(context: click.Context, file: BinaryIO, dry_run: bool) -> None:
    """Create accounts from a CSV file. Mails nothing.

    FILE is in UTF-8; "-" is standard input. The first line names the columns: email, and if wanted name, password_hash
    and created_at (ISO 8601; UTC where no zone is given). Addresses that have an account are skipped, so that it can be
    run again. Bad lines are told and left out; then the exit status is 1.
    """
    started = monotonic()
    try:
        new, skipped, bad = _import(file, dry_run)
    except user_import.HeaderError as error:
        raise click.ClickException(f"line 1: {error}") from error
    seconds = max(monotonic() - started, 0.001)
    done = "would be imported" if dry_run else "imported"
    rate = f"{seconds:.1f} s, {(new + skipped + bad) / seconds:.0f} rows a second"
    click.echo(f"{new} {done}, {skipped} skipped (had an account), {plural(bad, 'bad line')}; {rate}")
    context.exit(1 if bad else 0)


def _import(file: BinaryIO, dry_run: bool) -> tuple[int, int, int]:
    """How many accounts are new, how many addresses had one, how many lines are bad."""
    new = skipped = bad = 0
    with _progress_in(file) as bar:
        for batch in user_import.load(file, dry_run=dry_run):
            db.session.commit()
            new += batch.new
            skipped += batch.skipped
            bad += len(batch.bad)
            for line in batch.bad:
                click.echo(f"{'' if bar.hidden else CLEAR_LINE}line {line.number}: {line.reason}", err=True)
            bar.update(file.tell() - bar.pos if bar.length else batch.lines)
    return new, skipped, bad


def _progress_in(file: BinaryIO) -> Any:
    """A bar of the bytes of a file; of a pipe, whose size nobody knows, of its lines."""
    size = 0
    if file.seekable():
        size = file.seek(0, SEEK_END)
        file.seek(0)
    endless = None if size else count()
    hidden = not sys.stderr.isatty()
    return click.progressbar(endless, size or None, "Importing", show_pos=not size, file=sys.stderr, hidden=hidden)


def _account(email: str) -> User:
    user = User.by_email(email)
    if user is None:
        raise click.ClickException(f"There is no account for {email}.")
    return user


def _active_account(email: str) -> User:
    user = User.by_email(email)
    if user is None or user.disabled_at:
        raise click.ClickException(f"There is no active account for {email}.")
    return user


def operator() -> dict[str, str]:
    """Who types this, for the history of the account."""
    try:
        name = getuser()
    except (KeyError, OSError):  # in a container, the process may run under a number without a name
        name = str(os.getuid())
    printable = "".join(letter for letter in name if letter.isprintable())
    return {"device": f"flask users ({printable})"[:100], "network": ""}
