"""Rates: a burst, then one at a time, exact across processes."""

import json
import subprocess
import sys
from threading import Thread

import pytest
from sqlalchemy import func, select

from app import create_app, limits
from app.extensions import db
from app.limits import BudgetSpentError, Limited, Rate, RateLimit, Turn
from config import Testing
from tests.servers import ROOT
from tests.time_passing import pass_time

RATE = Rate("knocks", burst=3, seconds=3600)
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
def context(app):
    with app.app_context():
        yield


def taken(rate, subject=ALICE, tries=10):
    """How many of so many tries pass."""
    passed = 0
    for _ in range(tries):
        try:
            limits.take(rate, subject)
            passed += 1
        except Limited:
            pass
    db.session.commit()
    return passed


EVERY = {60: "a minute", 3600: "an hour", 4 * 3600: "in four hours", 24 * 3600: "a day"}


@pytest.mark.parametrize(
    ("rate", "row"),
    [
        (limits.MAILS, "reset and register mails to one address"),
        (limits.MAILS_KNOWN, "the same, from a browser that has signed in"),
        (limits.MAILS_SLOW, "reset mails to one account, for a day"),
        (limits.MAILS_FROM, "mails asked for by one network"),
        (limits.SIGN_INS_FROM, "failed sign-ins from one network"),
        (limits.FAILURE_NOTICES, "notices of failed sign-ins"),
    ],
)
def test_a_rate_is_the_one_that_is_documented(root, rate, row):
    lines = (root / "docs/security.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"| {row}")]
    burst = "" if rate.burst == 1 else f"{rate.burst}, then "
    assert f"{burst}one {EVERY[rate.seconds]}" in line


def test_a_burst_passes_and_no_more(context):
    assert taken(RATE) == 3


def test_one_comes_back_after_its_time_and_all_after_theirs(context):
    assert taken(RATE) == 3
    pass_time(3599)
    assert taken(RATE) == 0
    pass_time(2)
    assert taken(RATE) == 1
    pass_time(3 * 3600)
    assert taken(RATE) == 3


def test_a_long_rest_saves_up_no_more_than_the_burst(context):
    assert taken(RATE) == 3
    pass_time(30 * 86_400)
    assert taken(RATE) == 3


def test_subjects_and_rates_do_not_share(context):
    assert taken(RATE) == 3
    assert taken(RATE, BOB) == 3
    assert taken(Rate("calls", burst=3, seconds=3600)) == 3


def test_a_refusal_says_when_to_come_back(context):
    taken(RATE)
    pass_time(600)
    with pytest.raises(Limited) as refused:
        limits.take(RATE, ALICE)
    assert 2990 <= refused.value.retry_after <= 3001
    assert refused.value.get_response().headers["Retry-After"] == str(refused.value.retry_after)


def test_a_refusal_never_says_to_come_back_at_once():
    assert [Limited("knocks", seconds).retry_after for seconds in (-0.1, 0.9, 1.1)] == [1, 1, 2]


def test_what_is_given_back_can_be_taken_again(context):
    assert (taken(RATE), taken(RATE, BOB)) == (3, 3)
    limits.give_back(RATE, ALICE)
    assert (taken(RATE), taken(RATE, BOB)) == (1, 0)


def test_above_the_burst_one_waits_and_the_others_are_told_for_how_long(context):
    assert [limits.reserve(RATE, ALICE) for _ in range(3)] == [Turn(0, mine=True)] * 3
    fourth, fifth = limits.reserve(RATE, ALICE), limits.reserve(RATE, ALICE)
    assert (fourth.mine, fifth.mine) == (True, False)
    assert 3590 <= fifth.wait <= fourth.wait <= 3600


@pytest.mark.asvs("2.3.2")
def test_a_day_of_reserving_gives_twenty_seven_turns(context):
    turns = 0
    for _ in range(24 * 6):
        turns += sum(limits.reserve(RATE, ALICE).mine for _ in range(5))
        pass_time(600)
    assert turns == 27


def test_a_mark_stands_until_its_time_is_over(context):
    assert not limits.is_marked(limits.COMPLAINT, ALICE)
    limits.mark(limits.COMPLAINT, ALICE)
    assert not limits.is_marked(limits.COMPLAINT, BOB)
    pass_time(86_399)
    assert limits.is_marked(limits.COMPLAINT, ALICE)
    pass_time(2)
    assert not limits.is_marked(limits.COMPLAINT, ALICE)
    limits.mark(limits.COMPLAINT, ALICE)
    assert limits.is_marked(limits.COMPLAINT, ALICE)


@pytest.mark.asvs("2.3.2", "6.3.1")
def test_pauses_begin_after_the_fifth_failure_and_double_to_an_hour(context):
    assert [limits.count_failure("tries", ALICE, pausing=True) for _ in range(4)] == [1, 2, 3, 4]
    pauses = []
    for _ in range(16):
        limits.count_failure("tries", ALICE, pausing=True)
        try:
            limits.count_failure("tries", ALICE, pausing=True)
        except Limited as refused:
            pauses.append(refused.retry_after)
            pass_time(refused.retry_after + 1)
    assert len(pauses) == 16  # from the sixth try on
    assert pauses[:12] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    assert set(pauses[12:]) == {3600}


def test_failures_are_counted_until_they_are_forgotten(context):
    assert [limits.count_failure("tries", ALICE, pausing=False) for _ in range(150)] == list(range(1, 151))
    assert limits.count_failure("tries", BOB, pausing=False) == 1
    limits.forget("tries", ALICE)
    assert [limits.count_failure("tries", subject, pausing=False) for subject in (ALICE, BOB)] == [1, 2]


def test_counting_without_pauses_neither_begins_nor_minds_one(context):
    for _ in range(10):
        limits.count_failure("tries", ALICE, pausing=False)
    assert limits.count_failure("tries", ALICE, pausing=True) == 11
    with pytest.raises(Limited):
        limits.count_failure("tries", ALICE, pausing=True)
    assert limits.count_failure("tries", ALICE, pausing=False) == 12


def spent(name, most):
    """How often so many of a quota can be used up."""
    for times in range(most + 10):
        try:
            limits.spend(name, most, 3600)
        except BudgetSpentError:
            return times
    return None


def test_a_quota_begins_anew_when_its_window_is_over(context):
    assert spent("letters", most=5) == 5
    pass_time(3599)
    assert spent("letters", most=5) == 0
    pass_time(2)
    assert spent("letters", most=5) == 5


def test_a_spent_quota_says_when_it_begins_anew(context):
    spent("parcels", most=1)
    pass_time(600)
    spent("letters", most=2)
    with pytest.raises(BudgetSpentError, match=r"^next in \d+ s$") as refused:
        limits.spend("letters", most=2, seconds=3600)
    assert 3590 <= refused.value.seconds <= 3600


def test_a_window_ends_an_hour_after_its_first_use_and_not_its_last(context):
    limits.spend("letters", 2, 3600)
    pass_time(3000)
    assert spent("letters", most=2) == 1
    pass_time(601)
    assert spent("letters", most=2) == 2


def test_what_is_not_spent_after_all_can_be_spent_once_more_and_no_more_often(context):
    assert (spent("letters", most=3), spent("parcels", most=3)) == (3, 3)
    for unspent, again in ((1, 1), (5, 3)):
        for _ in range(unspent):
            limits.unspend("letters")
        assert (spent("letters", most=3), spent("parcels", most=3)) == (again, 0)


def test_turned_off_nothing_is_limited_or_stored(app, context, monkeypatch):
    monkeypatch.setitem(app.config, "RATELIMIT_ENABLED", False)
    assert taken(RATE, tries=50) == 50
    assert [limits.reserve(RATE, ALICE) for _ in range(5)] == [Turn(0, mine=True)] * 5
    assert [limits.count_failure("tries", ALICE, pausing=True) for _ in range(10)] == [0] * 10
    limits.mark(RATE, ALICE)
    assert not limits.is_marked(RATE, ALICE)
    assert all(limits.allows(RATE, ALICE) for _ in range(10))
    assert db.session.scalar(select(func.count()).select_from(RateLimit)) == 0


def test_turned_off_it_leaves_alone_what_was_counted_before(app, context, monkeypatch):
    assert taken(RATE) == 3
    limits.mark(limits.COMPLAINT, ALICE)
    limits.count_failure("tries", ALICE, pausing=False)
    with monkeypatch.context() as settings:
        settings.setitem(app.config, "RATELIMIT_ENABLED", False)
        limits.give_back(RATE, ALICE)
        limits.forget("tries", ALICE)
        assert not limits.is_marked(limits.COMPLAINT, ALICE)
    assert taken(RATE) == 0
    assert limits.is_marked(limits.COMPLAINT, ALICE)
    assert limits.count_failure("tries", ALICE, pausing=False) == 2


def test_a_site_with_limits_starts_without_a_word_of_them(caplog):
    create_app("testing")
    assert "RATELIMIT_ENABLED" not in caplog.text


def test_a_site_without_limits_says_so_when_it_starts(caplog):
    create_app(type("Unlimited", (Testing,), {"RATELIMIT_ENABLED": False}))
    assert "RATELIMIT_ENABLED is off" in caplog.text


@pytest.mark.asvs("14.2.4")
def test_the_table_names_nobody(context):
    taken(RATE)
    [key] = db.session.scalars(select(RateLimit.key))
    assert "alice" not in key
    assert len(key) == 64


def test_what_was_counted_stays_counted_when_a_former_key_is_dropped(app, context, monkeypatch):
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", ["a former key of at least 32 characters"])
    assert taken(RATE) == 3
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [])
    assert taken(RATE) == 0


KNOCK = """
import json, sys
from threading import Thread
from tests.test_limits import knock_in_threads
print(json.dumps(knock_in_threads(sys.argv[1])))
"""


def knock_in_threads(url):
    """Reserve from many threads at once; how many were given a turn at once, and how many wait."""
    app = create_app(type("OneOfMany", (Testing,), {"DATABASE_URL": url}))
    turns = []

    def knock():
        with app.app_context():
            turns.append(limits.reserve(RATE, ALICE))
            db.session.commit()

    threads = [Thread(target=knock) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        db.engine.dispose()
    return [sum(turn.mine and turn.wait == 0 for turn in turns), sum(turn.mine and turn.wait > 0 for turn in turns)]


@pytest.mark.asvs("15.4.1", "15.4.2", "2.3.4")
def test_fifty_at_once_in_two_processes_share_one_burst(app):
    # The key is random in each process of the tests; the two must name the subject alike.
    command = f"import config; config.Testing.SECRET_KEY = {Testing.SECRET_KEY!r}\n{KNOCK}"
    arguments = [sys.executable, "-c", command, app.config["DATABASE_URL"]]
    processes = [subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [sum(counts) for counts in zip(*results, strict=True)] == [3, 1]
