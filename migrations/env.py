"""How `flask db` reaches the database. Safe from several machines at once, and quiet about it."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from app.database import UtcDateTime

RELEASE_LOCK = 7_265_107  # any number, the same on every machine
PATIENCE_SECONDS = 600  # with another process that migrates
USUAL_SECONDS = 5


def render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Write our column type as what it is in the database, so that migrations outlive changes to the code."""
    return "sa.DateTime(timezone=True)" if isinstance(item, UtcDateTime) else False


def begin_on_sqlite(connection: Connection) -> None:
    """Begin a transaction around all there is to do: Alembic's own begin after it has looked how far the schema is."""
    set_patience(connection, PATIENCE_SECONDS)
    connection.begin()


def set_patience(connection: Connection, seconds: int) -> None:
    """How long SQLite waits for another writer. Not in a transaction, for that would need its turn first."""
    connection.connection.driver_connection.execute(f"PRAGMA busy_timeout={seconds * 1000}")


def run() -> None:
    extension = current_app.extensions["migrate"]
    with extension.db.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            begin_on_sqlite(connection)
        context.configure(
            connection=connection,
            target_metadata=extension.db.metadata,
            render_item=render_item,
            **extension.configure_args,
        )
        with context.begin_transaction():
            if not is_sqlite:
                # Two nodes that migrate at once would both try to create the first table.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RELEASE_LOCK})
            context.run_migrations()
        connection.commit()
        if is_sqlite:
            set_patience(connection, USUAL_SECONDS)  # it goes back to the pool


run()
