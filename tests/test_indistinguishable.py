"""Known and unknown addresses cost the same: as many SQL statements, and as many rows in every table.

What a visitor is shown is compared in tests/attacks/test_enumeration.py, how long it takes elsewhere.
"""

from contextlib import contextmanager
from itertools import cycle

import pytest
from sqlalchemy import delete, event, func, select, update

from app.auth.models import User
from app.extensions import db
from app.limits import RateLimit
from tests.browser import Browser
from tests.conftest import PASSWORD

WRONG = "not the password at all"
PAGES = {
    "/auth/login": {"password": WRONG},
    "/auth/register": {},
    "/auth/reset_password_request": {},
}
KINDS = ["known", "disabled", "without a password", "deleted", "stopped", "in capitals"]
FAILURES = 25

networks = cycle(range(1, 255))


@contextmanager
def statements(app):
    """Collects the SQL that is sent meanwhile, parameters apart."""
    sent = []

    def note(connection, cursor, statement, parameters, context, executemany):
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def sizes(app):
    """How many rows each table has."""
    with app.app_context():
        tables = db.metadata.sorted_tables
        return {table.name: db.session.scalar(select(func.count()).select_from(table)) for table in tables}


def cost(app, path, address, **fields):
    """What was answered to one form from a network of its own, the statements, and by how much each table grew."""
    network = f"198.51.100.{next(networks)}"
    browser = Browser(app.test_client())
    browser.get(path)
    form = browser.form.fields | fields | {"email": address}
    before = sizes(app)
    with statements(app) as sent:
        answer = browser.client.post(path, data=form, environ_overrides={"REMOTE_ADDR": network})
    after = sizes(app)
    return answer.status_code, sent, {name: after[name] - before[name] for name in after}


@pytest.fixture
def address_of(app, add_user):
    """An address in a state that an account can be in."""

    def make(kind):
        email = add_user("person1@example.com")
        changes = {"disabled": {"disabled_at": func.current_timestamp()}, "without a password": {"password_hash": None}}
        with app.app_context():
            if kind in changes:
                db.session.execute(update(User).values(changes[kind]))
            if kind == "deleted":
                db.session.execute(delete(User))
            db.session.commit()
        return email.upper() if kind == "in capitals" else email

    return make


def stop(app, *addresses):
    """As after a hundred failures in a row."""
    for address in addresses:
        cost(app, "/auth/login", address, password=WRONG)
    with app.app_context():
        db.session.execute(update(RateLimit).where(RateLimit.failures > 0).values(failures=100))
        db.session.commit()


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", PAGES)
def test_a_form_costs_the_same_for_every_address(app, address_of, path, kind):
    addresses = (address_of(kind), "person0@example.com")
    if kind == "stopped":
        stop(app, *addresses)
    known, unknown = (cost(app, path, address, **PAGES[path]) for address in addresses)
    assert known == unknown


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("path", ["/auth/register", "/auth/reset_password_request"])
def test_a_request_above_the_limit_costs_the_same_for_every_address(app, alice, path):
    costs = [(cost(app, path, alice), cost(app, path, "nobody@example.com")) for _ in range(6)]
    assert [known for known, _ in costs] == [unknown for _, unknown in costs]
    assert [rows["outbox_messages"] for (_, _, rows), _ in costs] == [1, 1, 1, 1, 0, 0]


@pytest.mark.asvs("6.3.8", "6.3.1")
def test_failure_after_failure_costs_the_same_for_every_address(app, alice):
    """On to the notice of twenty failures in a row, and past it."""
    for number in range(FAILURES):
        known, unknown = (cost(app, "/auth/login", it, password=WRONG) for it in (alice, "nobody@example.com"))
        assert known == unknown, number


@pytest.mark.asvs("6.3.8")
def test_the_right_password_of_a_disabled_account_costs_what_a_wrong_one_does(app, address_of):
    disabled = address_of("disabled")
    right = cost(app, "/auth/login", disabled, password=PASSWORD)
    assert right == cost(app, "/auth/login", "person0@example.com", password=WRONG)


def test_the_comparison_of_this_file_sees_a_difference(app, alice):
    """Else all of the above would prove nothing."""
    taken = cost(app, "/auth/login", alice, password=PASSWORD)
    refused = cost(app, "/auth/login", alice, password=WRONG)
    assert taken[1] != refused[1]
    assert taken[2] != refused[2]
