"""What operators see of accounts, and what they do to them."""

import json
import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from app.auth import report
from app.auth.models import Registration, SecurityEvent, User, UserSession
from app.database import utcnow
from app.email import OutboxMessage
from app.extensions import db
from tests.conftest import NEW_PASSWORD, PASSWORD, link_in

OF_ONE = [["show"], ["disable"], ["enable"], ["sign-out"], ["send-reset"], ["reset-link"], ["delete", "--yes"]]


@pytest.fixture
def run(runner):
    """Runs `flask users …`; any other exit status than the one expected fails the test."""

    def run(*args, status=0, text=None):
        result = runner.invoke(args=["users", *args], input=text)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def outcomes(app):
    """How the mails of the outbox ended."""

    def outcomes():
        with app.app_context():
            return db.session.scalars(select(OutboxMessage.outcome).order_by(OutboxMessage.id)).all()

    return outcomes


@pytest.fixture
def events(app):
    """The kinds of all security events, in order."""

    def events():
        with app.app_context():
            return db.session.scalars(select(SecurityEvent.kind).order_by(SecurityEvent.id)).all()

    return events


def stamps(app):
    with app.app_context():
        return db.session.scalars(select(User.security_stamp).order_by(User.id)).all()


def without_password(app, email):
    with app.app_context():
        db.session.execute(update(User).where(User.email == email).values(password_hash=None))
        db.session.commit()


# List


def listed(result):
    return [user["email"] for user in json.loads(result.stdout)["users"]]


def test_accounts_are_listed_newest_first(run, alice, bob):
    header, first, second = run("list").stdout.splitlines()
    assert header.split()[0] == "address"
    assert re.fullmatch(r"bob@example\.com +active +20\d\d-\d\d-\d\d \d\d:\d\d  - +Bob", first)
    assert second.startswith("alice@example.com  active")
    assert listed(run("list", "--json")) == [bob, alice]


def test_json_tells_every_fact_with_its_zone(run, browser, alice):
    browser.sign_in(alice, PASSWORD)
    [user] = json.loads(run("list", "--json").stdout)["users"]
    assert set(user) == {"id", "email", "name", "state", "created_at", "last_sign_in_at"}
    assert (user["email"], user["name"], user["state"]) == (alice, "Alice", "active")
    for moment in (user["created_at"], user["last_sign_in_at"]):
        age = utcnow() - datetime.fromisoformat(moment)
        assert timedelta() <= age < timedelta(hours=1)


def test_states_are_told_apart_and_disabled_accounts_listed_alone(app, run, add_user, alice, bob):
    add_user("carol@example.com", "Carol")
    without_password(app, "carol@example.com")
    run("disable", bob)
    states = {user["email"]: user["state"] for user in json.loads(run("list", "--json").stdout)["users"]}
    assert states == {alice: "active", bob: "disabled", "carol@example.com": "no password"}
    assert listed(run("list", "--disabled", "--json")) == [bob]


@pytest.mark.parametrize(
    ("text", "found"),
    [("ALICE@", ["alice@example.com"]), ("example", 2), ("_", []), ("%", []), ("\\", []), ("nobody", []), ("", 2)],
)
def test_a_part_of_the_address_finds_accounts_as_it_stands(run, alice, bob, text, found):
    emails = listed(run("list", "--search", text, "--json"))
    assert emails == found or len(emails) == found


@pytest.mark.parametrize("text", ["bücher", "a\0b", "\udcff"])
def test_what_no_address_can_hold_is_refused_as_a_search(run, alice, text):
    assert "ASCII" in run("list", "--search", text, status=2).output


def test_it_says_how_many_more_there_are(run, add_user):
    for number in range(5):
        add_user(f"user{number}@example.com")
    result = run("list", "--limit", "2")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["user4@example.com", "user3@example.com"]
    assert result.stderr == "3 more: see --limit and --search.\n"
    document = json.loads(run("list", "--limit", "2", "--json").stdout)
    assert (len(document["users"]), document["more"]) == (2, 3)
    assert run("list", "--limit", "5").stderr == ""
    run("list", "--limit", "0", status=2)


def test_pages_join_without_gap_or_repeat(run, add_user, monkeypatch):
    monkeypatch.setattr(report, "PAGE", 2)
    for number in range(5):
        add_user(f"user{number}@example.com")
    everybody = [f"user{number}@example.com" for number in (4, 3, 2, 1, 0)]
    assert listed(run("list", "--json")) == everybody
    assert listed(run("list", "--json", "--limit", "3")) == everybody[:3]


def test_an_empty_site_lists_nobody(run):
    result = run("list")
    assert (result.stdout, result.stderr) == ("", "None.\n")
    assert json.loads(run("list", "--json").stdout) == {"users": [], "more": 0}


# Show


def test_an_account_is_shown_with_its_sessions_and_events(run, browser, alice):
    browser.sign_in(alice, PASSWORD)
    shown = run("show", "ALICE@Example.com").stdout
    for fact in (r"email +alice@example\.com", "name +Alice", "state +active", "has password +yes", "disabled +-"):
        assert re.search(f"^{fact}$", shown, re.MULTILINE)
    assert re.search(r"^created +20\S+ \S+ UTC$", shown, re.MULTILINE)
    place = r"Firefox \(Linux\), 127\.0\.0\.1"
    assert re.search(f"^signed in: 1 session\n  {place}: first used .* UTC, last ", shown, re.MULTILINE)
    assert re.search(f"^  20.* UTC  signed in: {place}$", shown, re.MULTILINE)


def test_json_shows_the_same(run, browser, alice):
    browser.sign_in(alice, PASSWORD)
    shown = json.loads(run("show", alice, "--json").stdout)
    assert (shown["email"], shown["state"], shown["disabled_at"]) == (alice, "active", None)
    assert shown["has_password"] is True
    [session] = shown["sessions"]
    assert (session["device"], session["network"]) == ("Firefox (Linux)", "127.0.0.1")
    assert {"created_at", "last_used_at"} <= set(session)
    [event] = shown["events"]
    assert (event["kind"], event["device"]) == ("signed_in", "Firefox (Linux)")
    moments = [shown["created_at"], shown["password_changed_at"], shown["last_sign_in_at"], event["created_at"]]
    assert all(datetime.fromisoformat(moment).utcoffset() == timedelta() for moment in moments)


def test_the_last_ten_events_are_shown_newest_first(app, run, alice):
    with app.app_context():
        user = User.by_email(alice)
        for number in range(12):
            user.record(f"event_{number}", {"device": "", "network": ""})
        db.session.commit()
    kinds = [event["kind"] for event in json.loads(run("show", alice, "--json").stdout)["events"]]
    assert kinds == [f"event_{number}" for number in range(11, 1, -1)]
    assert "event 11: unknown device" in run("show", alice).stdout


def test_sessions_that_are_dead_are_not_shown(app, run, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(alice, PASSWORD)
    with app.app_context():
        first, second = db.session.scalars(select(UserSession))
        first.created_at -= timedelta(days=15)
        second.security_stamp = "another"
        db.session.commit()
    assert json.loads(run("show", alice, "--json").stdout)["sessions"] == []
    assert "signed in: 0 sessions" in run("show", alice).stdout


def test_no_output_holds_a_secret(app, run, browser, alice):
    browser.sign_in(alice, PASSWORD)
    with app.app_context():
        user, session = db.session.scalar(select(User)), db.session.scalar(select(UserSession))
    secrets = (user.password_hash, user.security_stamp, session.token_digest, session.id, "argon2")
    for args in (["list"], ["show", alice], ["disable", alice], ["enable", alice], ["sign-out", alice]):
        for more in ([], ["--json"]) if args[0] in ("list", "show") else ([],):
            output = run(*args, *more).output
            assert not [secret for secret in secrets if secret in output]


# Disable and enable


@pytest.mark.asvs("6.5.6")
def test_disabling_acts_on_the_very_next_request(run, browser, alice):
    browser.sign_in(alice, PASSWORD)
    assert browser.is_signed_in
    assert run("disable", alice).stdout == "alice@example.com is disabled.\n"
    assert not browser.is_signed_in
    assert browser.sign_in(alice, PASSWORD).status_code == 422


@pytest.mark.asvs("6.5.6")
def test_links_die_with_disabling_and_stay_dead(run, browser, reset_link, alice):
    run("disable", alice)
    assert browser.get(reset_link).status_code == 410
    run("enable", alice)
    assert browser.get(reset_link).status_code == 410


def test_a_link_that_was_opened_before_sets_no_password_after(run, browser, reset_link, alice):
    browser.get(reset_link)
    run("disable", alice)
    assert browser.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 410
    run("enable", alice)
    assert browser.sign_in(alice, PASSWORD).status_code == 303


def test_mail_already_queued_goes_to_nobody(run, browser, postman, outcomes, reset_link, alice):
    browser.ask_for_reset(alice)
    browser.register(alice)
    run("disable", alice)
    assert postman.deliver() == []
    assert outcomes() == ["sent", "nobody", "nobody"]


def test_a_notice_already_queued_goes_to_nobody(run, browser, postman, outcomes, reset_link, alice):
    browser.reset(reset_link, NEW_PASSWORD)
    run("disable", alice)
    assert postman.deliver() == []
    assert outcomes() == ["sent", "nobody"]


def test_an_enabled_account_can_sign_in_again_but_old_sessions_stay_dead(run, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    run("disable", alice)
    assert run("enable", alice).stdout == "alice@example.com is enabled.\n"
    assert not browser.is_signed_in
    assert other_browser.sign_in(alice, PASSWORD).status_code == 303


def test_doing_it_twice_changes_nothing_and_is_said(app, run, events, alice):
    assert run("enable", alice).stdout == "alice@example.com was not disabled.\n"
    run("disable", alice)
    before = stamps(app)
    assert run("disable", alice).stdout == "alice@example.com was disabled already.\n"
    assert stamps(app) == before
    run("enable", alice)
    run("enable", alice)
    assert events() == ["disabled", "enabled"]


def test_enabling_an_account_without_password_says_what_it_needs(app, run, alice):
    without_password(app, alice)
    run("disable", alice)
    assert "The account has no password. See: flask users send-reset alice@example.com" in run("enable", alice).stdout


def test_others_are_left_alone(run, browser, other_browser, alice, bob):
    other_browser.sign_in(bob, PASSWORD)
    browser.sign_in(alice, PASSWORD)
    for command in (["disable", alice], ["enable", alice], ["sign-out", alice], ["delete", alice, "--yes"]):
        run(*command)
        assert other_browser.is_signed_in


# Sign out


@pytest.mark.asvs("7.4.5")
def test_signing_somebody_out_ends_sessions_and_links(run, browser, other_browser, reset_link, alice):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(alice, PASSWORD)
    assert run("sign-out", alice).stdout == "alice@example.com is signed out everywhere: 2 sessions ended.\n"
    assert not browser.is_signed_in
    assert not other_browser.is_signed_in
    assert browser.get(reset_link).status_code == 410
    assert browser.sign_in(alice, PASSWORD).status_code == 303


@pytest.mark.asvs("7.4.5")
def test_everybody_can_be_signed_out(app, run, browser, other_browser, reset_link, events, alice, bob):
    browser.sign_in(alice, PASSWORD)
    other_browser.sign_in(bob, PASSWORD)
    before = stamps(app)
    result = run("sign-out", "--all", "--yes")
    assert (result.stdout, result.stderr) == ("Everybody is signed out: 2 sessions ended.\n", "")
    assert not browser.is_signed_in
    assert not other_browser.is_signed_in
    assert browser.get(reset_link).status_code == 410
    assert len({*before, *stamps(app)}) == 4
    assert events().count("signed_out_by_operator") == 2


def test_batches_of_everybody_join_without_gap(app, run, add_user, monkeypatch):
    monkeypatch.setattr("app.auth.operations.BATCH", 2)
    for number in range(5):
        add_user(f"user{number}@example.com")
    before = stamps(app)
    run("sign-out", "--all", "--yes")
    assert len({*before, *stamps(app)}) == 10


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
@pytest.mark.parametrize("command", [["sign-out", "--all"], ["delete", "alice@example.com"]])
def test_what_cannot_be_undone_is_asked_first(app, run, alice, command, answer):
    before = stamps(app)
    assert "Aborted!" in run(*command, text=answer, status=1).output
    assert stamps(app) == before


def test_everybody_is_signed_out_after_a_yes(app, run, alice):
    before = stamps(app)
    assert "(1 account)" in run("sign-out", "--all", text="y\n").output
    assert stamps(app) != before


def test_sign_out_wants_one_or_all(run, alice):
    run("sign-out", status=2)
    run("sign-out", alice, "--all", "--yes", status=2)


# Reset


def test_a_reset_mail_is_queued_and_its_link_works(run, browser, postman, events, alice):
    reference = re.search(r"reference: (\S+)$", run("send-reset", "Alice@example.com").stdout.strip()).group(1)
    [message] = postman.deliver()
    assert reference in message.body
    assert message.recipients == [alice]
    assert browser.reset(link_in(message, "reset_password/"), NEW_PASSWORD).status_code == 303
    assert events()[:2] == ["reset_asked_by_operator", "reset_asked"]


def test_the_mail_does_not_name_the_operator(run, postman, monkeypatch, alice):
    monkeypatch.setenv("LOGNAME", "olga")
    run("send-reset", alice)
    [message] = postman.deliver()
    assert "flask users" in message.body
    assert "olga" not in message.body + message.html


def test_it_says_when_no_mail_will_leave(app, run, monkeypatch, alice):
    assert run("send-reset", alice).stderr == ""
    monkeypatch.setitem(app.config, "MAIL_DELIVERY", "off")
    result = run("send-reset", alice)
    assert "Its reference: " in result.stdout
    assert "MAIL_DELIVERY is off" in result.stderr


def test_it_goes_also_to_accounts_without_password(app, run, browser, postman, alice):
    without_password(app, alice)
    run("send-reset", alice)
    assert browser.reset(postman.link(), NEW_PASSWORD).status_code == 303
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


@pytest.mark.parametrize("command", ["send-reset", "reset-link"])
def test_a_disabled_account_gets_no_link(run, postman, events, alice, command):
    run("disable", alice)
    assert "There is no active account for alice@example.com." in run(command, alice, status=1).output
    assert postman.deliver() == []
    assert events() == ["disabled"]


# Delete


def test_a_deleted_account_is_gone_with_all_that_hangs_on_it(app, run, browser, alice, bob):
    browser.sign_in(alice, PASSWORD)
    result = run("delete", alice, text="y\n")
    assert "Delete the account of Alice <alice@example.com> for good?" in result.output
    assert not browser.is_signed_in
    assert browser.sign_in(alice, PASSWORD).status_code == 422
    with app.app_context():
        assert db.session.scalars(select(User.email)).all() == [bob]
        assert db.session.scalar(select(func.count()).select_from(UserSession)) == 0
        assert set(db.session.scalars(select(SecurityEvent.user_id))) == {None}


def register_with(link, browser, password):
    return browser.fill(link, name="Alice", password=password, password2=password)


def test_the_address_can_be_registered_anew_and_old_links_stay_dead(run, browser, postman, reset_link, alice):
    run("delete", alice, "--yes")
    assert browser.get(reset_link).status_code == 410
    browser.register(alice)
    assert register_with(postman.link(), browser, NEW_PASSWORD).status_code == 303
    assert browser.get(reset_link).status_code == 410
    assert browser.sign_in(alice, NEW_PASSWORD).status_code == 303


def test_a_second_link_to_register_does_not_come_to_life_again(app, run, browser, postman):
    browser.register("Dora@example.com")
    first = postman.link()
    browser.register("dora@example.com")
    second = postman.link()
    register_with(first, browser, PASSWORD)
    assert browser.get(second).status_code == 410
    run("delete", "dora@example.com", "--yes")
    assert browser.get(second).status_code == 410
    assert browser.get(first).status_code == 410


def test_links_of_others_to_register_live_on(app, run, browser, postman, alice):
    browser.register("dora@example.com")
    link = postman.link()
    run("delete", alice, "--yes")
    assert browser.get(link).status_code == 200
    with app.app_context():
        assert db.session.scalar(select(Registration.used_at)) is None


def test_mail_queued_for_a_deleted_account_goes_to_nobody(run, browser, postman, outcomes, alice):
    browser.ask_for_reset(alice)
    run("delete", alice, "--yes")
    assert postman.deliver() == []
    assert outcomes() == ["nobody"]


# Who did it, and mistakes


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["disable"], "disabled"),
        (["sign-out"], "signed_out_by_operator"),
        (["send-reset"], "reset_asked_by_operator"),
        (["reset-link"], "reset_link_printed"),
    ],
)
def test_the_history_says_who_did_it(run, monkeypatch, alice, command, kind):
    monkeypatch.setenv("LOGNAME", "olga")
    run(*command, alice)
    [event] = json.loads(run("show", alice, "--json").stdout)["events"]
    assert (event["kind"], event["device"], event["network"]) == (kind, "flask users (olga)", "")


def test_a_strange_name_of_the_operator_stops_nothing(run, monkeypatch, alice):
    monkeypatch.setenv("LOGNAME", "\x1b[31m\udcff" + "x" * 200)
    run("disable", alice)
    [event] = json.loads(run("show", alice, "--json").stdout)["events"]
    assert event["device"].startswith("flask users ([31mxxx")
    assert len(event["device"]) == 100


@pytest.mark.parametrize("command", OF_ONE)
def test_an_unknown_address_is_said_in_a_line(run, command):
    result = run(*command, "nobody@example.com", status=1)
    assert result.stdout == ""
    assert re.fullmatch(r"Error: There is no (active )?account for nobody@example\.com\.\n", result.stderr)


@pytest.mark.parametrize("command", OF_ONE)
def test_what_is_no_address_is_a_mistake_of_usage(run, command):
    assert "@-sign" in run(*command, "nobody", status=2).stderr


@pytest.mark.parametrize(
    "command",
    ["create", "list", "show", "disable", "enable", "sign-out", "send-reset", "reset-link", "delete", "import"],
)
def test_each_command_explains_itself(run, command):
    assert len(run(command, "--help").stdout.splitlines()) > 4
    assert command in run("--help").stdout
