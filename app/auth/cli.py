"""flask users …: the operator's view of accounts."""

import sys

import click
from flask import Blueprint

from app.auth.forms import name_problem
from app.auth.models import User
from app.auth.passwords import hash_password, password_problem
from app.commands import CommandGroup
from app.email import parse_address
from app.extensions import db
from app.security import public_url

bp = Blueprint("users", __name__, cli_group="users")
bp.cli = CommandGroup(help="Create and mend accounts.")
OPERATOR = {"device": "flask users", "network": ""}


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
    user = User.create(email, name, hash_password(password))
    if user is None:
        raise click.ClickException(f"There is an account for {email} already.")
    user.record("registered", OPERATOR)
    db.session.commit()
    click.echo(f"{email} can sign in.")


@bp.cli.command("reset-link")
@click.argument("email", type=Address())
def reset_link(email: str) -> None:
    """Print a one-time link with which the owner of EMAIL can set a new password."""
    user = User.by_email(email)
    if user is None or user.disabled_at:
        raise click.ClickException(f"There is no active account for {email}.")
    user.record("reset_link_printed", OPERATOR)
    db.session.commit()
    click.echo(public_url("auth.open_reset_password", token=user.get_reset_password_token()))
