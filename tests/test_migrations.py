"""The schema: made by migrations, the same as the models say, on both databases."""

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from app import create_app
from app.auth.models import User
from app.extensions import db
from config import Testing
from tests.servers import Program, wait_for


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


UPGRADE_AT_A_SIGN = """
import sys, time
from pathlib import Path
import flask_migrate
from wsgi import app
Path(sys.argv[1], f"ready{sys.argv[2]}").touch()
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.001)
with app.app_context():
    flask_migrate.upgrade()
"""


def test_several_nodes_may_upgrade_at_once(make_app, tmp_path):
    app = make_app()
    settings = {"FLASK_CONFIG": "production", "SECRET_KEY": Testing.SECRET_KEY, "BASE_URL": "http://127.0.0.1:1"}
    settings |= {"DATABASE_URL": app.config["DATABASE_URL"], "MAIL_DELIVERY": "off"}
    command = ["-c", UPGRADE_AT_A_SIGN, str(tmp_path)]
    nodes = [Program(*command, str(n), output=tmp_path / f"output{n}.txt", settings=settings) for n in range(4)]
    try:
        wait_for(lambda: len(list(tmp_path.glob("ready*"))) == len(nodes), "all nodes to be ready")
        (tmp_path / "go").touch()
        assert [node.wait() for node in nodes] == [0] * len(nodes), "".join(node.output for node in nodes)
    finally:
        for node in nodes:
            node.kill()
    with app.app_context(), db.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_heads() == (ScriptDirectory("migrations").get_current_head(),)
        assert compare_metadata(context, db.metadata) == []


def test_the_newest_migration_keeps_what_is_there_both_ways(make_app):
    app = make_app()
    with app.app_context():
        flask_migrate.upgrade()
        User.create("alice@example.com", "Alice", None)
        db.session.commit()
        flask_migrate.downgrade()
        assert "mail_workers" not in inspect(db.engine).get_table_names()
        flask_migrate.upgrade()
        assert User.by_email("alice@example.com").name == "Alice"


def test_an_upgrade_is_done_to_its_end_or_not_at_all(make_app):
    """Else another node could come between two migrations, and run the second one too."""
    app = make_app()
    with app.app_context():
        db.session.execute(text("CREATE TABLE mail_workers (id INTEGER)"))  # in the way of the newest
        db.session.commit()
        with pytest.raises(Exception, match="mail_workers"):
            flask_migrate.upgrade()
        assert inspect(db.engine).get_table_names() == ["mail_workers"]
