"""With a hundred thousand accounts everything takes the same statements as with ten, and finds its rows by indexes.

Counted, not timed: a table that is read from end to end shows in the plan, whatever the machine.
"""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from app.auth.models import User
from app.auth.passwords import hash_password
from app.extensions import db
from tests.browser import Browser
from tests.conftest import NEW_PASSWORD, PASSWORD, Postman
from tests.test_indistinguishable import sizes

FEW, MANY = 10, 100_000
ALICE = "alice@example.com"
NUMBERS = {
    "postgresql": "SELECT generate_series(1, {count}) AS i",
    "sqlite": "SELECT value AS i FROM (WITH RECURSIVE n(value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n "
    "WHERE value < {count}) SELECT value FROM n)",
}
# For each of the crowd, by table: columns and values.
CROWD = {
    "users": (
        "email, email_key, name, security_stamp, created_at",
        "'p' || i || '@example.org', 'p' || i || '@example.org', 'Person', 's' || i, CURRENT_TIMESTAMP",
    ),
    "security_events": (
        "user_id, kind, created_at, network, device",
        "(SELECT min(id) FROM users) + i - 1, 'signed_in', CURRENT_TIMESTAMP, '', ''",
    ),
    "user_sessions": (
        "id, user_id, token_digest, security_stamp, remember, created_at, last_used_at, proved_at, device, network",
        "'c' || i, (SELECT min(id) FROM users) + i - 1, 'd' || i, 's' || i, FALSE, CURRENT_TIMESTAMP, "
        "CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, '', ''",
    ),
}
SCANS = {"postgresql": r"Seq Scan on (\w+)", "sqlite": r"SCAN (\w+)(?! USING)"}


@pytest.fixture
def crowded(app, database_kind):
    """Fills the tables with so many accounts, each with an event and a session, and tells the planner."""

    def fill(count):
        numbers = NUMBERS[database_kind].format(count=count)
        with app.app_context():
            for table, (columns, values) in CROWD.items():
                db.session.execute(text(f"INSERT INTO {table} ({columns}) SELECT {values} FROM ({numbers}) AS numbers"))
            User.create(ALICE, "Alice", hash_password(PASSWORD))
            db.session.commit()
            db.session.execute(text("ANALYZE"))
            db.session.commit()
        return app

    yield fill
    with app.app_context():  # else later tests meet the figures and the remains of a crowd
        for table in reversed(CROWD):
            empty = "TRUNCATE {} CASCADE" if database_kind == "postgresql" else "DELETE FROM {}"
            db.session.execute(text(empty.format(table)))
        db.session.execute(text("ANALYZE"))
        db.session.commit()


@contextmanager
def noted(app):
    """The statements that are sent meanwhile, with their parameters."""
    sent = []

    def note(connection, cursor, statement, parameters, context, executemany):
        sent.append((statement, parameters))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def journey(app):
    """Every flow once; by its name the statements it sent and by how much each table grew."""
    browser, postman, costs = Browser(app.test_client()), Postman(app), {}

    @contextmanager
    def step(name):
        before = sizes(app)
        with noted(app) as sent:
            yield
        after = sizes(app)
        costs[name] = ([*sent], {table: after[table] - before[table] for table in after})

    with step("a stranger asks for a reset"):
        browser.ask_for_reset("nobody@example.com")
    with step("Alice asks for a reset"):
        browser.ask_for_reset(ALICE)
    with step("mail leaves"):
        [message] = postman.deliver()
    link = re.search(r"^http://localhost/auth/reset_password/\S+$", message.body, re.MULTILINE).group()
    with step("the link is opened"):
        browser.get(link)
    with step("a new password is set"):
        browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD)
    with step("a wrong password is tried"):
        browser.sign_in(ALICE, "not the password at all")
    with step("Alice signs in"):
        browser.sign_in(ALICE, NEW_PASSWORD)
    for page in ("/account", "/account/activity", "/account/sessions", "/account/password"):
        with step(page):
            browser.get(page)
    with step("another address registers"):
        Browser(app.test_client()).register("carol@example.com")
    with step("the link to register leaves"):
        postman.deliver()
    return costs


def counted(costs):
    return {name: ([statement for statement, _ in sent], rows) for name, (sent, rows) in costs.items()}


def scanned(app, kind, sent):
    """The tables that these statements read from end to end."""
    explain = "EXPLAIN " if kind == "postgresql" else "EXPLAIN QUERY PLAN "
    found = set()
    with app.app_context(), db.engine.connect() as connection:
        for statement, parameters in sent:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "WITH", "INSERT"):
                plan = connection.exec_driver_sql(explain + statement, parameters).all()
                found |= set(re.findall(SCANS[kind], "\n".join(str(row) for row in plan)))
    return found


def test_a_hundred_thousand_accounts_cost_as_many_statements_and_rows_as_ten(app, crowded):
    few = counted(journey(crowded(FEW)))
    for table in reversed(db.metadata.sorted_tables):
        with app.app_context():
            db.session.execute(table.delete())
            db.session.commit()
    many = counted(journey(crowded(MANY)))
    assert {name: cost for name, cost in many.items() if cost != few[name]} == {}


def test_no_flow_reads_the_accounts_their_sessions_or_events_from_end_to_end(app, crowded, database_kind):
    costs = journey(crowded(MANY))
    crowds = set(CROWD)
    assert {name: scanned(app, database_kind, sent) & crowds for name, (sent, _) in costs.items()} == {
        name: set() for name in costs
    }


def test_a_table_that_is_read_from_end_to_end_is_noticed(app, crowded, database_kind):
    crowded(MANY)
    assert scanned(app, database_kind, [("SELECT id FROM users WHERE name = 'x'", ())]) == {"users"}
