"""The outbox: promised mail leaves, or is visibly given up."""

import smtplib
from itertools import chain, repeat
from threading import Event, Thread

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError

from app.auth.models import Registration, SecurityEvent
from app.database import db_now, utcnow
from app.email import LINK, NOTICE, Draft, OutboxMessage, composes, enqueue, outbox, worker
from app.email.outbox import LEASE_SECONDS, claim, claiming, deliver, hand_back, pause, renew, waiting
from app.email.smtp import Connection, UnreachableError
from app.extensions import db, mail
from tests.servers import wait_for

ADDRESS = "alice@example.com"
FACTS = {
    "name": "Alice",
    "happened_at": utcnow(),
    "client": {"device": "", "network": ""},
    "reset_link": "http://localhost/",
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Kinds of mail for these tests only."""
    monkeypatch.setattr(outbox, "_composers", dict(outbox._composers))
    composes("hello", LINK)(lambda row: Draft(row.args["to"], FACTS, template="new_sign_in"))
    composes("notice", NOTICE)(lambda row: Draft(row.args["to"], FACTS, template="new_sign_in"))
    composes("untemplated", LINK)(lambda row: Draft(row.args["to"], FACTS))
    composes("broken", LINK)(lambda row: row.args["no such thing"])


@pytest.fixture
def context(app):
    with app.app_context() as context:
        yield context


@pytest.fixture
def promise(context):
    def promise(kind="hello", **kwargs):
        row = enqueue(kind, {"to": ADDRESS}, address=ADDRESS, locale="en", **kwargs)
        db.session.commit()
        return row.id

    return promise


class Refusing(Connection):
    """A connection whose server answers every mail with this error."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def send(self, message, envelope_from=None):
        raise self.error


def reread(row_id):
    """The row as the database has it; holds no lock."""
    db.session.rollback()
    row = db.session.get(OutboxMessage, row_id)
    db.session.expunge_all()
    db.session.rollback()
    return row


def seconds_until_due(row_id):
    now = db.session.scalar(select(db_now()))
    return (reread(row_id).due_at - now).total_seconds()


def make_due():
    db.session.execute(update(OutboxMessage).values(due_at=db_now()))
    db.session.commit()


def claim_one():
    [row] = claim()
    return row


def try_all(error):
    make_due()
    for row in claim(100):
        deliver(row, Refusing(error))


@pytest.mark.asvs("2.3.3", "16.5.3")
def test_a_mail_is_promised_only_if_the_transaction_commits(context):
    enqueue("hello", {"to": ADDRESS}, address=ADDRESS, locale="en")
    db.session.rollback()
    assert claim() == []


@pytest.mark.asvs("14.2.4", "14.2.7")
def test_a_delivered_row_is_marked_and_its_arguments_are_wiped(promise):
    row_id = promise()
    with mail.record_messages() as messages:
        deliver(claim_one(), Connection())
    row = reread(row_id)
    assert len(messages) == 1
    assert (row.outcome, row.args, row.attempts) == ("sent", {}, 1)
    assert row.done_at is not None
    assert claim() == []


def test_a_claimed_row_is_nobody_elses_until_its_lease_ends(promise):
    row_id = promise()
    assert claim_one().id == row_id
    assert claim() == []
    assert LEASE_SECONDS - 5 < seconds_until_due(row_id) <= LEASE_SECONDS
    make_due()  # the worker died, and a minute has passed
    assert claim_one().id == row_id
    assert reread(row_id).attempts == 2


@pytest.mark.asvs("15.4.1", "15.4.2")
def test_of_many_workers_each_row_is_claimed_by_one(app, promise):
    ids = {promise() for _ in range(40)}
    claimed = []

    def take_all():
        with app.app_context():
            while rows := claim(3):
                claimed.extend(row.id for row in rows)

    threads = [Thread(target=take_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


@pytest.mark.asvs("15.4.4")
def test_a_link_overtakes_a_backlog_of_notices(promise):
    for _ in range(5):
        promise("notice")
    link = promise("hello")
    assert claim_one().id == link


def test_among_equals_the_oldest_goes_first(promise):
    ids = [promise() for _ in range(3)]
    assert [claim_one().id for _ in ids] == ids


def test_what_is_due_for_longest_goes_first(promise):
    ids = [promise(wait=seconds) for seconds in (-10, -20, -30)]
    assert [claim_one().id for _ in ids] == ids[::-1]


def test_a_batch_comes_with_its_most_urgent_row_first(promise):
    for kind in ("notice", "hello", "notice", "hello"):
        promise(kind)
    assert [row.kind for row in claim(10)] == ["hello", "hello", "notice", "notice"]


def test_a_row_that_another_worker_is_claiming_is_passed_over(promise):
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    first, second = promise(), promise()
    with db.engine.connect() as rival:
        rival.execute(claiming(1))
        db.session.execute(db.text("SET LOCAL lock_timeout = '3s'"))
        assert claim_one().id == second
    assert claim_one().id == first


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError("timed out"),
        smtplib.SMTPServerDisconnected("gone"),
        smtplib.SMTPRecipientsRefused({ADDRESS: (450, b"greylisted")}),
        smtplib.SMTPAuthenticationError(535, b"bad login"),
        smtplib.SMTPSenderRefused(550, b"not you", "us@example.com"),
    ],
)
def test_a_mail_that_cannot_leave_now_is_kept(promise, error):
    row_id = promise()
    try_all(error)
    row = reread(row_id)
    assert row.done_at is None
    assert type(error).__name__ in row.last_error
    assert ADDRESS not in row.last_error
    assert 3.9 < seconds_until_due(row_id) <= 6


@pytest.mark.asvs("13.2.6")
def test_pauses_double_up_to_five_minutes(promise):
    row_id = promise()
    pauses = []
    for _ in range(9):
        try_all(TimeoutError())
        pauses.append(seconds_until_due(row_id))
    expected = [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert all(0.75 * wanted < pause < 1.25 * wanted for pause, wanted in zip(pauses, expected, strict=True))


@pytest.mark.parametrize(("tries", "seconds"), [(1, 5), (2, 10), (7, 300), (10_000, 300)])
def test_a_pause_varies_by_a_fifth(monkeypatch, tries, seconds):
    for bound, factor in ((min, 0.8), (max, 1.2)):
        monkeypatch.setattr(outbox.random, "uniform", bound)
        assert pause(tries) == pytest.approx(seconds * factor)


def test_a_recipient_refused_for_good_is_given_up_at_once(promise):
    row_id = promise()
    try_all(smtplib.SMTPRecipientsRefused({ADDRESS: (550, b"5.1.1 <alice@example.com>: no such user")}))
    row = reread(row_id)
    assert (row.outcome, row.args) == ("failed", {})
    assert row.last_error == "SMTPRecipientsRefused: 550 5.1.1 no such user"


@pytest.mark.asvs("15.4.4")
@pytest.mark.parametrize("kind", ["untemplated", "broken"])
def test_a_broken_mail_fails_alone_after_five_tries(promise, kind):
    broken, good = promise(kind), promise("hello")
    for _ in range(5):
        make_due()
        for row in claim(10):
            deliver(row, Connection())
    assert reread(broken).outcome == "failed"
    assert reread(broken).attempts == 5
    assert reread(broken).last_error.startswith({"untemplated": "TemplateNotFound", "broken": "KeyError"}[kind])
    assert reread(good).outcome == "sent"


def test_a_mail_for_nobody_is_done_at_the_first_try(promise):
    composes("hello", LINK)(lambda row: None)
    row_id = promise()
    with mail.record_messages() as messages:
        deliver(claim_one(), Connection())
    row = reread(row_id)
    assert (row.outcome, row.attempts, row.last_error, messages) == ("nobody", 1, None, [])


def test_a_mail_that_outlived_its_use_is_not_sent(promise):
    row_id = promise()
    db.session.execute(update(OutboxMessage).values(expires_at=db_now()))
    db.session.commit()
    with mail.record_messages() as messages:
        deliver(claim_one(), Connection())
    assert reread(row_id).outcome == "expired"
    assert messages == []


def test_a_mail_is_of_use_to_the_last_second(promise):
    row_id = promise()
    db.session.execute(update(OutboxMessage).values(expires_at=db_now(30)))  # less than a lease
    db.session.commit()
    deliver(claim_one(), Connection())
    assert reread(row_id).outcome == "sent"


def test_a_link_is_worth_six_hours_and_a_notice_three_days(promise):
    for kind, hours in (("hello", 6), ("notice", 72)):
        row = reread(promise(kind))
        assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(hours * 3600, abs=0.5)
        assert (row.due_at - row.created_at).total_seconds() == pytest.approx(0, abs=0.5)


def test_what_waits_for_an_address_is_its_last_open_mail_of_the_kind_in_nobodys_hand(promise):
    done, in_hand = promise(), promise()
    deliver(claim_one(), Connection())
    assert (claim_one().id, reread(done).outcome) == (in_hand, "sent")
    assert waiting(ADDRESS, ["hello"]) is None
    first, last = promise(wait=100), promise(wait=200)
    promise("notice", wait=300)
    enqueue("hello", {"to": ADDRESS}, address="bob@example.com", locale="en", wait=400)
    assert waiting(ADDRESS, ["hello"]).id == last > first
    assert waiting("ALICE@example.com", ["hello"]).id == last
    assert waiting("carol@example.com", ["hello"]) is None


def test_a_mail_whose_kind_is_about_to_change_does_not_leave_before(app, promise):
    promise()
    claimed = []

    def take():
        with app.app_context():
            claimed.extend(row.kind for row in claim())

    row = waiting(ADDRESS, ["hello"])
    rival = Thread(target=take)
    rival.start()
    rival.join(0.5)  # PostgreSQL passes over the row, SQLite waits for the commit
    row.kind = "notice"
    db.session.commit()
    rival.join(10)
    assert claimed in ([], ["notice"])


def test_an_idle_worker_does_not_wait_for_whoever_writes(context):
    with db.engine.connect() as writer:
        writer.execute(update(OutboxMessage).values(attempts=0))
        assert claim() == []


def test_every_try_carries_the_same_message_id(promise):
    promise()
    with mail.record_messages() as messages:
        for _ in range(2):
            make_due()
            deliver(claim_one(), Connection())
            db.session.execute(update(OutboxMessage).values(done_at=None, args={"to": ADDRESS}))
            db.session.commit()
    first, second = (message.extra_headers["Message-ID"] for message in messages)
    assert first == second
    assert first.endswith("@rekey.example>")


def test_an_idle_worker_is_at_work_within_half_a_second_and_stops_when_told(app, promise):
    stop, sent = Event(), Event()
    with mail.record_messages():
        thread = Thread(target=worker.work, args=(app, stop), daemon=True)
        thread.start()
        stop.wait(0.4)
        row_id = promise()
        for _ in range(20):
            if reread(row_id).outcome == "sent":
                sent.set()
                break
            stop.wait(0.05)
        stop.set()
        thread.join(5)
    assert sent.is_set()
    assert not thread.is_alive()


def test_the_worker_outlives_trouble_with_the_database(app, promise, monkeypatch, caplog):
    troubled = Event()

    def trouble(most, before=None):
        troubled.set()
        raise RuntimeError("the database is away")

    monkeypatch.setattr(worker, "TROUBLE_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "claim", trouble)
    stop = Event()
    thread = Thread(target=worker.work, args=(app, stop), daemon=True)
    thread.start()
    assert troubled.wait(5)
    monkeypatch.setattr(outbox, "claim", claim)
    row_id = promise()
    for _ in range(100):
        if reread(row_id).done_at:
            break
        stop.wait(0.05)
    stop.set()
    thread.join(5)
    assert reread(row_id).outcome == "sent"
    assert "delivery is interrupted" in caplog.text


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True, scope="session")
def test_a_long_purge_holds_up_no_heartbeat_no_lease_and_no_stop_and_is_the_only_one(app, monkeypatch):
    purges, beats, renewals, go_on = [], [], [], Event()
    monkeypatch.setattr(worker, "purge", lambda: purges.append(1) or go_on.wait(30))
    monkeypatch.setattr(worker.Heartbeat, "beat", lambda self: beats.append(len(purges)))
    monkeypatch.setattr(worker.Courier, "look_after", lambda self: renewals.append(len(purges)))
    for name, seconds in {"PURGE_SECONDS": 0, "RENEW_SECONDS": 0, "SUPERVISE_SECONDS": 0.01}.items():
        monkeypatch.setattr(worker, name, seconds)
    stop = Event()
    thread = Thread(target=worker.work, args=(app, stop), daemon=True)
    thread.start()
    try:
        wait_for(lambda: beats.count(1) > 3 and renewals.count(1) > 3, "heartbeats and leases during the purge")
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        assert purges == [1]
    finally:
        stop.set()
        go_on.set()


def courier(app, error=None, stop=None):
    courier = worker.Courier(app, stop or Event())
    if error:
        courier.connection = Refusing(error)
    return courier


def test_a_batch_is_delivered_over_one_connection(app, promise):
    ids = [promise() for _ in range(3)]
    with mail.record_messages() as messages:
        assert courier(app).deliver_batch() == 3
    assert len(messages) == 3
    assert {reread(row_id).outcome for row_id in ids} == {"sent"}


def test_a_server_that_is_away_stops_the_worker_and_not_each_row(app, promise):
    first, second = promise(), promise()
    away = courier(app, UnreachableError())
    with pytest.raises(UnreachableError):
        away.deliver_batch()
    for row_id, attempts in ((first, 1), (second, 0)):
        assert reread(row_id).attempts == attempts
        assert seconds_until_due(row_id) <= 0
    assert courier(app).deliver_batch() == 2


def test_the_worker_looks_for_a_lost_server_at_growing_intervals(app, promise):
    promise()
    away = courier(app, UnreachableError())
    rests = []
    for _ in range(6):
        rests.append(away._round())
    assert rests == sorted(rests, key=lambda seconds: min(seconds, 24))
    assert 4 <= rests[0] <= 6
    assert 24 <= rests[-1] <= worker.LONGEST_REST
    away.connection = Connection()
    assert away._round() == 0
    assert away.rebuffs == 0


def test_a_worker_told_to_stop_hands_back_what_it_has_not_begun(app, promise):
    ids = [promise() for _ in range(3)]
    stop = Event()
    composes("hello", LINK)(lambda row: stop.set() or Draft(ADDRESS, FACTS, template="new_sign_in"))
    courier(app, stop=stop).deliver_batch()
    assert [reread(row_id).outcome for row_id in ids] == ["sent", None, None]
    assert [reread(row_id).attempts for row_id in ids] == [1, 0, 0]
    assert [row.id for row in claim(10)] == ids[1:]


def test_a_slow_batch_is_cut_short_so_that_a_link_can_overtake(app, promise, monkeypatch):
    monkeypatch.setattr(worker, "BATCH_SECONDS", 0)
    promise("notice")
    assert courier(app).deliver_batch() == 1
    assert claim_one().kind == "notice"  # nothing was begun, all was handed back


def test_a_lease_is_renewed_while_its_row_is_in_hand(promise):
    row_id = promise()
    rows = claim()
    db.session.execute(update(OutboxMessage).values(due_at=db_now(5)).returning(OutboxMessage.due_at))
    db.session.commit()
    rows[0].due_at = reread(row_id).due_at
    renew(rows)
    assert seconds_until_due(row_id) > LEASE_SECONDS - 5
    assert rows[0].due_at == reread(row_id).due_at


def test_a_lease_that_was_lost_is_neither_renewed_nor_handed_back(promise):
    row_id = promise()
    mine = claim()
    make_due()  # while this worker was stopped, the lease ended ...
    theirs = claim()  # ... and another has the row now
    hand_back(mine)
    assert reread(row_id).due_at == theirs[0].due_at
    assert reread(row_id).attempts == 2
    renew(mine)
    assert reread(row_id).due_at == theirs[0].due_at


def test_a_row_in_hand_says_so(promise):
    row_id = promise()
    [row] = claim()
    assert reread(row_id).leased
    hand_back([row])
    assert not reread(row_id).leased
    deliver(claim_one(), Refusing(TimeoutError()))
    assert not reread(row_id).leased


def test_a_row_that_is_done_stays_done(promise):
    row_id = promise()
    rows = claim()
    deliver(rows[0], Connection())
    renew(rows)
    hand_back(rows)
    deliver(rows[0], Refusing(TimeoutError()))
    row = reread(row_id)
    assert (row.outcome, row.attempts, row.last_error) == ("sent", 1, None)


def test_what_is_to_be_recorded_is_written_once_the_mail_has_left(promise):
    record = insert(SecurityEvent).values(user_id=None, kind="reset_asked")
    composes("hello", LINK)(lambda row: Draft(ADDRESS, FACTS, template="new_sign_in", once_sent=[record]))
    promise()
    deliver(claim_one(), Refusing(TimeoutError()))
    assert db.session.scalar(select(func.count()).select_from(SecurityEvent)) == 0
    db.session.rollback()
    make_due()
    deliver(claim_one(), Connection())
    assert db.session.scalar(select(func.count()).select_from(SecurityEvent)) == 1


def test_an_account_deleted_while_its_mail_was_sent_leaves_a_mark(promise):
    record = insert(SecurityEvent).values(user_id=4711, kind="reset_asked")
    composes("hello", LINK)(lambda row: Draft(ADDRESS, FACTS, template="new_sign_in", once_sent=[record]))
    row_id = promise()
    deliver(claim_one(), Connection())
    assert reread(row_id).outcome == "sent"


def test_no_transaction_is_open_while_the_server_is_spoken_to(app, promise, add_user):
    add_user("carol@example.com")
    composes("hello", LINK)(_writing)
    row_id = promise()
    deliver(claim_one(), Watching())
    assert reread(row_id).outcome == "sent"  # what Watching asserts is kept as one more reason to try later


def _writing(row):
    db.session.add(Registration(nonce=row.message_id, email=ADDRESS))
    return Draft(ADDRESS, FACTS, template="new_sign_in")


class Watching(Connection):
    def send(self, message, envelope_from=None):
        assert not db.session().in_transaction()
        assert db.session.scalar(select(func.count()).select_from(Registration)) == 1
        db.session.rollback()


def test_a_mail_is_written_in_its_readers_language(promise):
    composes("hello", LINK)(lambda row: Draft(ADDRESS, FACTS, locale="pt_BR", template="new_sign_in"))
    promise()
    with mail.record_messages() as messages:
        deliver(claim_one(), Connection())
    assert messages[0].extra_headers["Content-Language"] == "pt-BR"


def test_the_thread_starts_anew_after_a_fork(app, monkeypatch):
    monkeypatch.setattr(worker, "work", lambda app, stop, kind: stop.wait())
    delivery = worker.DeliveryThread(app)
    delivery.start()
    first = delivery.thread
    delivery.start()
    assert delivery.thread is first
    delivery.process = -1  # as a child sees its parent's
    delivery.start()
    assert delivery.thread is not first
    delivery.stop()
    first.join(5)


def test_a_record_that_cannot_be_written_does_not_send_the_mail_again(promise):
    faulty = insert(SecurityEvent).values(user_id=1, kind="reset_asked", created_at="no date")
    composes("hello", LINK)(lambda row: Draft(ADDRESS, FACTS, template="new_sign_in", once_sent=[faulty]))
    row_id = promise()
    deliver(claim_one(), Connection())
    assert reread(row_id).outcome == "sent"


def test_a_database_that_goes_away_in_mid_batch_leaves_the_rest_to_others(app, promise):
    def composer(row):
        db.session.execute(select(1))
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    composes("hello", LINK)(composer)
    ids = [promise() for _ in range(3)]
    with pytest.raises(OperationalError):
        courier(app).deliver_batch()
    assert [reread(row_id).attempts for row_id in ids] == [1, 0, 0]
    assert [row.id for row in claim(10)] == ids[1:]


def test_what_a_lost_database_did_not_take_back_is_handed_back_when_it_returns(app, promise, monkeypatch):
    def away(rows):
        if rows:
            raise OperationalError("UPDATE", {}, Exception("the database system is starting up"))

    ids = [promise() for _ in range(3)]
    mine = courier(app, error=OperationalError("SELECT", {}, Exception("server closed the connection")))
    with monkeypatch.context() as lost:
        lost.setattr(outbox, "hand_back", away)
        with pytest.raises(OperationalError):
            mine.deliver_batch()
    assert claim(10) == []
    mine.connection = Connection()
    assert mine.deliver_batch() == 2
    assert [reread(row_id).outcome for row_id in ids] == [None, "sent", "sent"]


def test_every_try_is_noted(promise):
    row_id = promise()
    try_all(smtplib.SMTPRecipientsRefused({ADDRESS: (450, b"4.2.0 greylisted")}))
    make_due()
    deliver(claim_one(), Connection())
    row = reread(row_id)
    assert [words for _, words in row.tries] == ["SMTPRecipientsRefused: 450 4.2.0 greylisted", "suppressed"]
    assert row.last_error == "SMTPRecipientsRefused: 450 4.2.0 greylisted"


def test_of_many_tries_the_last_fifty_are_kept(promise):
    row_id = promise()
    for number in range(52):
        try_all(smtplib.SMTPRecipientsRefused({ADDRESS: (450, f"try {number}".encode())}))
    assert [words.rpartition(" ")[2] for _, words in reread(row_id).tries] == [str(number) for number in range(2, 52)]


@pytest.mark.parametrize(("code", "level"), [(450, "WARNING"), (550, "ERROR")])
def test_a_mail_given_up_is_an_error_and_one_kept_a_warning(promise, caplog, code, level):
    promise()
    try_all(smtplib.SMTPRecipientsRefused({ADDRESS: (code, b"no")}))
    assert [record.levelname for record in caplog.records if "try 1" in record.message] == [level]


def test_what_a_composer_recorded_goes_with_its_failure(promise):
    def composer(row):
        _writing(row)
        db.session.flush()
        raise RuntimeError

    composes("hello", LINK)(composer)
    promise()
    deliver(claim_one(), Connection())
    assert db.session.scalar(select(func.count()).select_from(Registration)) == 0


@pytest.fixture
def trouble_with_marks(monkeypatch):
    """Lets writing the mark fail so, then succeed; the pauses that are made meanwhile, none of them slept through."""

    def trouble(*errors, forever=False):
        note, rests = outbox._note, []
        coming = chain(errors, repeat(errors[-1] if forever else None))

        def troubled(row, words, **values):
            if error := next(coming):
                raise error
            note(row, words, **values)

        monkeypatch.setattr(outbox, "_note", troubled)
        monkeypatch.setattr(outbox.time, "sleep", rests.append)
        return rests

    return trouble


AWAY = OperationalError("UPDATE", {}, Exception("server closed the connection"))


def test_a_mail_that_has_left_is_marked_if_the_database_returns_within_fifteen_seconds(promise, trouble_with_marks):
    row_id = promise()
    row, rests = claim_one(), trouble_with_marks(*[AWAY] * 6)
    deliver(row, Connection())
    assert rests == [0.2, 0.5, 1, 2, 4, 8]
    assert reread(row_id).outcome == "sent"


def test_a_database_that_stays_away_is_waited_for_no_longer(promise, trouble_with_marks):
    promise()
    row, rests = claim_one(), trouble_with_marks(AWAY, forever=True)
    with pytest.raises(OperationalError):
        deliver(row, Connection())
    assert len(rests) == 6


def test_a_mail_that_has_not_left_waits_for_no_mark(promise, trouble_with_marks):
    composes("hello", LINK)(lambda row: None)
    promise()
    row, rests = claim_one(), trouble_with_marks(AWAY, forever=True)
    with pytest.raises(OperationalError):
        deliver(row, Connection())
    assert rests == []


def test_a_mark_that_cannot_be_written_for_any_other_reason_is_told(promise, trouble_with_marks):
    promise()
    row = claim_one()
    trouble_with_marks(RuntimeError("no such column"))
    with pytest.raises(RuntimeError, match="no such column"):
        deliver(row, Connection())


def test_a_kind_that_only_a_newer_release_knows_waits(promise):
    row_id = promise()
    db.session.execute(update(OutboxMessage).values(kind="from the future"))
    db.session.commit()
    for _ in range(8):
        make_due()
        deliver(claim_one(), Connection())
    assert reread(row_id).done_at is None
    assert reread(row_id).last_error == "UnknownKindError"


def test_an_address_that_smtp_cannot_carry_fails_alone(promise):
    composes("hello", LINK)(lambda row: Draft("\u00e9va@example.com", FACTS, template="new_sign_in"))
    row_id = promise()
    for _ in range(5):
        make_due()
        deliver(claim_one(), Connection())
    assert reread(row_id).outcome == "failed"


def test_a_claim_reads_the_index_of_open_rows(context):
    """So finished rows cost nothing, however many there are; benchmarks/claim.py shows it with a million."""
    sql = str(claiming(20).compile(db.engine, compile_kwargs={"literal_binds": True})).replace(":", "\\:")
    explain = "EXPLAIN QUERY PLAN "
    if db.engine.dialect.name == "postgresql":
        explain = "EXPLAIN "
        db.session.execute(db.text("SET LOCAL enable_seqscan = off"))  # which an empty table would invite
    plan = " ".join(str(line) for line in db.session.execute(db.text(explain + sql)))
    assert "ix_outbox_messages_open" in plan


def test_the_database_keeps_time(context):
    early, late = db.session.execute(select(db_now(), db_now(90))).one()
    assert (late - early).total_seconds() == pytest.approx(90, abs=0.01)
    assert early.tzinfo is not None
    assert db.session.scalar(select(func.count()).where(db_now() < db_now(1), db_now(1) > db_now())) == 1
