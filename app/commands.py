"""What the operator's commands have in common: a mistake is told in a line, never in a traceback."""

from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from app import logs


class CommandGroup(AppGroup):
    """A group whose commands say plainly that the database is away, or not set up."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with logs.quiet():
                return super().invoke(ctx)
        except (OperationalError, ProgrammingError, InterfaceError) as error:
            reason = str(error.orig).strip().partition("\n")[0]
            raise click.ClickException(
                f"The database cannot be used: {reason}\nCheck DATABASE_URL, and run: flask db upgrade"
            ) from error
