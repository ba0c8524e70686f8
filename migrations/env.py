"""How `flask db` reaches the database. Safe from several machines at once, and quiet about it."""

from alembic import context
from flask import current_app
from sqlalchemy import text

from app.database import UtcDateTime

RELEASE_LOCK = 7_265_107  # any number, the same on every machine


def render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Write our column type as what it is in the database, so that migrations outlive changes to the code."""
    return "sa.DateTime(timezone=True)" if isinstance(item, UtcDateTime) else False


def run() -> None:
    extension = current_app.extensions["migrate"]
    with extension.db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=extension.db.metadata,
            render_item=render_item,
            **extension.configure_args,
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                # Two nodes that migrate at once would both try to create the first table.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RELEASE_LOCK})
            context.run_migrations()


run()
