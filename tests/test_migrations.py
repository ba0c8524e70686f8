"""The schema: made by migrations, the same as the models say, on both databases."""

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from app import create_app
from app.extensions import db
from config import Testing


@pytest.fixture
def make_app(make_database, request):
    made = []

    def make():
        url = make_database("migrations")
        app = create_app(type("Migrated", (Testing,), {"DATABASE_URL": url}))
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def test_models_and_migrations_agree(app):
    with app.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


def test_the_schema_goes_up_down_and_up_again(make_app):
    app = make_app()
    with app.app_context():
        flask_migrate.upgrade()
        flask_migrate.downgrade(revision="base")
        assert inspect(db.engine).get_table_names() == ["alembic_version"]
        flask_migrate.upgrade()
        assert set(db.metadata.tables) < set(inspect(db.engine).get_table_names())


def test_migrating_leaves_the_loggers_alone(make_app, caplog):
    import logging

    app = make_app()
    with app.app_context():
        flask_migrate.upgrade()
    logging.getLogger("app.email.outbox").warning("still heard")
    assert "still heard" in caplog.text
