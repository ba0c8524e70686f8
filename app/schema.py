"""How far the database's schema is, beside what this code was written for."""

from enum import Enum
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

SCRIPTS = Path(__file__).parent.parent / "migrations"


class State(Enum):
    EMPTY = "empty"
    BEHIND = "behind"
    AT_HEAD = "at head"
    AHEAD = "ahead"  # during a release: old code runs on the new schema until it is replaced


def state_of(connection: Connection) -> State:
    """Reads the table that Alembic keeps; raises what SQLAlchemy raises."""
    present = MigrationContext.configure(connection).get_current_heads()
    scripts = ScriptDirectory(str(SCRIPTS))
    if not present:
        return State.EMPTY
    if set(present) == set(scripts.get_heads()):
        return State.AT_HEAD
    try:
        scripts.get_revisions(present)
    except CommandError:  # none of ours
        return State.AHEAD
    return State.BEHIND
