"""Random journeys of users, attackers, mail scanners and operators, checked after every step against a model.

The suite walks a few, always the same ones. A long campaign, new every time, is `JOURNEYS=2000 pytest
tests/test_journeys.py`; a failure prints the steps that lead to it, cut down to those that matter.
"""

import os
import re
import time

import flask_migrate
import time_machine
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from app import create_app
from app.auth.models import User, random_id
from app.auth.tokens import PURPOSES
from app.database import db_now
from app.extensions import db
from config import Testing
from tests import journeys
from tests.journeys import DAY, DEAD, FORM_OF, HOUR, PASSWORD_CHANGE, Visitor, World

CAMPAIGN = int(os.environ.get("JOURNEYS", "0"))
ANN, BOB, MALLORY = "Ann@example.com", "bob@example.com", "mallory@evil.example"
SPELLINGS = [ANN, "ann@EXAMPLE.com", BOB, " BOB@example.com ", MALLORY, "Mallory@evil.example"]
FIRST_PASSWORDS = {ANN: "seven green kettles sing at dawn", MALLORY: "eleven crows borrow a ladder"}
PAGE_OF = {"reset_password": "/auth/reset_password_request", "register": "/auth/register"}
MOST_SESSIONS = 15  # of one account; at 20 the site begins to end them
STEPS = 50 if CAMPAIGN else 30

visitors = st.sampled_from(["owner", "attacker", "shared"])
addresses = st.sampled_from(SPELLINGS)
accounts = st.integers(0, len(SPELLINGS) - 1)
purposes = st.sampled_from(sorted(PURPOSES))
picks = st.integers(0, 9)
delays = st.sampled_from([0, 0, 0, 1, 899, 900, HOUR])
habits = st.sampled_from([(DAY - 1, 15), (DAY, 1), (14 * DAY - 1, 3), (14 * DAY, 1)])
# Half of them short: whoever sleeps for weeks between any two steps has no live link and no session left.
pauses = st.sampled_from([0, 1, 58, 59, 60, 61, 898, 899, 900]) | st.sampled_from(
    [HOUR - 900, HOUR - 1, HOUR, DAY - HOUR, DAY - 1, DAY, 14 * DAY - 1, 16 * DAY]
)


def as_stored(typed):
    local, _, domain = typed.strip().partition("@")
    return f"{local}@{domain.lower()}"


class Journeys(RuleBasedStateMachine):
    """Every rule is something somebody does; the model says beforehand what must come of it."""

    app = None
    hashes: dict[str, str] = {}  # of the first passwords
    links = Bundle("links")
    sessions = Bundle("sessions")

    def __init__(self):
        super().__init__()
        journeys.empty(self.app)
        self.travel = time_machine.travel("2026-11-20T12:00:00+00:00", tick=False)
        self.world = World(self.app, self.travel.start())
        self.visitors = {name: Visitor(self.app, name) for name in ("owner", "attacker", "shared")}
        self.passwords = 0

    def teardown(self):
        self.travel.stop()

    @initialize(target=sessions, remember=st.booleans())
    def two_people_are_signed_in(self, remember):
        self.found_accounts()
        pairs = (("owner", ANN), ("attacker", MALLORY))
        return multiple(*(self.enter(name, address, "right", remember) for name, address in pairs))

    @initialize(target=links)
    def and_have_mail(self):
        self.found_accounts()
        for address in SPELLINGS:
            self.ask("register" if address == BOB else "reset_password", "shared", address, soon=False)
        return self.world.deliver()

    def found_accounts(self):
        """Once; hypothesis calls the two above in either order."""
        if not self.world.accounts:
            for address, password in FIRST_PASSWORDS.items():
                self.world.add_account(address, password, self.hashes[address])

    @invariant()
    def all_is_as_the_model_says(self):
        self.world.check()

    def visitor(self, name):
        visitor = self.visitors[name]
        self.world.uses(visitor)
        return visitor

    def reader(self, name, link):
        """Who opens a link: an attacker has none but those mailed to himself, though anybody may be led to open his."""
        his = link.mailbox.lower() == MALLORY
        return self.visitor("owner" if name == "attacker" and not his else name)

    def address_of(self, who):
        """One spelling of the address of one of those who have an account."""
        everybody = [typed for typed in SPELLINGS if self.world.owner_of(typed.strip())]
        return everybody[who % len(everybody)] if everybody else BOB

    def new_password(self):
        self.passwords += 1
        return f"four walnuts and a compass, said the crow for time {self.passwords}"

    # Asking for mail, and getting it.

    @rule(target=links, name=visitors, kind=st.sampled_from(sorted(PAGE_OF)), address=addresses, soon=st.booleans())
    def ask_for_a_link(self, name, kind, address, soon):
        return self.ask(kind, name, address, soon)

    def ask(self, kind, name, address, soon):
        answer = self.visitor(name).fill(PAGE_OF[kind], email=address)
        assert answer.location == "/auth/check_your_inbox"
        self.world.promised[kind, as_stored(address)] += 1
        return self.world.deliver() if soon else multiple()

    @rule(target=links)
    def the_post_arrives(self):
        return self.world.deliver()

    # Links.

    @rule(name=visitors, link=links, method=st.sampled_from(["GET", "HEAD"]))
    def open_link(self, name, link, method):
        self.open(self.reader(name, link), link, method)

    def open(self, visitor, link, method="GET"):
        answer = visitor.client.open(link.url, method=method)
        if self.world.opens(link):
            assert (answer.status_code, answer.location) == (303, FORM_OF[link.purpose])
            visitor.opened[link.purpose] = (link, time.time())
        else:
            assert answer.status_code == 410

    @rule(link=links, times=st.integers(1, 3))
    def a_mail_scanner_opens_it(self, link, times):
        scanner = self.app.test_client()
        expected = 200 if self.world.opens(link) else 410
        for _ in range(times):
            assert scanner.get(link.url, follow_redirects=True).status_code == expected
            assert scanner.head(link.url, follow_redirects=True).status_code == expected

    @rule(link=links, place=st.integers(0, 200), cut=st.booleans(), letter=st.sampled_from("Aa0_-=. ~"))
    def somebody_changes_a_letter_of_it(self, link, place, cut, letter):
        head, _, token = link.url.rpartition("/")
        place %= len(token) + 1
        respelled = {token[:place] + letter + token[place + cut :], f"{token}=", f"{token}!!"}
        for changed in respelled - {token}:
            assert self.app.test_client().get(f"{head}/{changed}").status_code == 404

    @rule(link=links, purpose=purposes)
    def somebody_tries_it_on_another_page(self, link, purpose):
        token = link.url.rpartition("/")[2]
        if purpose != link.purpose:
            assert self.app.test_client().get(f"/auth/{purpose}/{token}").status_code == 404

    @rule(name=visitors, purpose=st.sampled_from(sorted(FORM_OF)))
    def load_form(self, name, purpose):
        visitor = self.visitor(name)
        self.load(visitor, next(iter(visitor.opened), purpose))

    def load(self, visitor, purpose):
        page = visitor.get(FORM_OF[purpose])
        if self.world.can_finish(visitor, purpose):
            assert page.status_code == 200
            visitor.held = (page, purpose, visitor.opened[purpose][0], visitor.epoch)
        else:
            assert page.status_code in DEAD
            visitor.held = None

    @rule(name=visitors, victim=addresses)
    def send_form(self, name, victim):
        """The one that is open in a tab: the link may have died since, and another may have been opened."""
        visitor = self.visitor(name)
        if visitor.held:
            self.send(visitor, victim)

    @rule(name=visitors, which=picks, victim=addresses, before=delays, after=delays)
    def use_a_good_link(self, name, which, victim, before, after):
        """Open it, go for a walk, load its form, go for another, and send it."""
        if link := self.pick(which):
            visitor = self.reader(name, link)
            self.open(visitor, link)
            self.walk(visitor, before)
            self.load(visitor, link.purpose)
            self.walk(visitor, after)
            if visitor.held:
                self.send(visitor, victim)

    def walk(self, visitor, seconds):
        self.world.check()
        self.world.clock.shift(seconds)
        self.world.uses(visitor)

    @rule(name=visitors, one=picks, other=picks, victim=addresses)
    def open_two_tabs(self, name, one, other, victim):
        """The form of one link is sent when another has been opened since."""
        if link := self.pick(one):
            second = self.pick(other, link.purpose)
            visitor = self.reader(name, link)
            self.open(visitor, link)
            self.load(visitor, link.purpose)
            if visitor is self.reader(name, second):
                self.open(visitor, second)
            self.send(visitor, victim)

    def pick(self, which, purpose=None):
        """One of the links that open."""
        good = [link for link in self.world.links if self.world.opens(link) and purpose in (None, link.purpose)]
        return good[which % len(good)] if good else None

    def use(self, visitor, link, victim):
        self.open(visitor, link)
        self.load(visitor, link.purpose)
        if visitor.held:
            self.send(visitor, victim)

    @rule(target=links, name=visitors, who=accounts, victim=addresses)
    def recover(self, name, who, victim):
        address = self.address_of(who)
        return self.go_all_the_way("reset_password", name, address, victim)

    @rule(target=links, name=visitors, address=addresses, victim=addresses)
    def join(self, name, address, victim):
        return self.go_all_the_way("register", name, address, victim)

    def go_all_the_way(self, kind, name, address, victim):
        """Ask for a link, get it and use it."""
        self.ask(kind, name, address, soon=False)
        came = self.world.deliver()
        for link in came.values:
            if (link.purpose, link.mailbox.lower()) == (kind, as_stored(address).lower()):
                self.use(self.reader(name, link), link, victim)
                break
        return came

    def send(self, visitor, victim):
        """Send the form that is open, with the address of somebody else added, which must mean nothing."""
        page, purpose, link, epoch = visitor.held
        password = self.new_password()
        visitor.page, visitor.held = page, None
        fields = {"password": password, "password2": password, "name": "Somebody", "email": victim}
        opened, alive = visitor.opened.get(purpose), self.world.can_finish(visitor, purpose)
        status = visitor.submit(**fields).status_code
        if epoch != visitor.epoch:
            assert status == 400
        elif not alive:
            assert status in {400, *DEAD}
        elif opened[0].url != link.url:  # two mails of one second carry the same link
            assert status == 422
        else:
            assert status == 303
            getattr(self, f"finish_{purpose}")(visitor, link, password)

    def finish_reset_password(self, visitor, link, password):
        account = link.account
        account.former.append(account.password)
        account.password, account.changing = password, account.changing | PASSWORD_CHANGE
        self.world.promised["password_changed", account.email] += 1
        visitor.forget()

    def finish_register(self, visitor, link, password):
        link.used = True
        self.world.welcome(link.mailbox, password)
        visitor.forget()

    @rule(name=visitors)
    def send_a_new_password_without_a_link(self, name):
        visitor, password = self.visitor(name), self.new_password()
        if "reset_password" not in visitor.opened:
            answer = visitor.post("/auth/reset_password", password=password, password2=password, email=ANN)
            assert answer.status_code == 404

    def finish_not_me(self, visitor, link, password):
        """Open links die; those who are signed in stay so."""
        self.world.restamp(link.account)
        link.account.changing.add("security_stamp")
        del visitor.opened["not_me"]

    # Signing in and out.

    @rule(target=sessions, name=visitors, who=accounts, remember=st.booleans())
    def sign_in(self, name, who, remember):
        return self.enter(name, self.address_of(who), "right", remember)

    @rule(target=sessions, name=visitors, address=addresses, which=st.sampled_from(["former", "of another", "wrong"]))
    def guess_a_password(self, name, address, which):
        return self.enter(name, address, which, False)

    def enter(self, name, address, which, remember):
        visitor, account = self.visitor(name), self.world.owner_of(address.strip())
        password = self.guess(visitor, account, which)
        fields = {"email": address, "password": password} | ({"remember": "y"} if remember else {})
        status = visitor.post("/auth/login", **fields).status_code
        if account and not account.disabled and password == account.password:
            assert status == 303
            return self.world.signed_in(visitor, account, remember)
        assert status == 422
        return multiple()

    def guess(self, visitor, account, which):
        """An attacker knows every password that was, and of those that are only his own."""
        others = [other.password for other in self.world.accounts if other is not account and other.email == MALLORY]
        knows = account and (visitor.name != "attacker" or account.email == MALLORY)
        if which == "right" and knows and self.world.count_sessions(account) < MOST_SESSIONS:
            return account.password
        if which == "former" and account and account.former:
            return account.former[-1]
        return others[0] if which == "of another" and others else "a wrong password, whatever happens"

    @rule(name=visitors)
    def sign_out(self, name):
        there = [name for name, visitor in self.visitors.items() if visitor.session]
        visitor = self.visitor(name if name in there or not there else there[0])
        assert visitor.post("/auth/logout").status_code == 303
        visitor.forget()

    @rule(session=sessions)
    def somebody_replays_the_cookie(self, session):
        thief = Visitor(self.app)
        thief.client.set_cookie("session", session.cookie)
        self.world.presents(session)
        assert thief.is_signed_in == self.world.is_alive(session)

    @rule(name=visitors)
    def look_around(self, name):
        self.visitor(name)  # the check after this step visits the first page

    # Time, and the operator.

    @rule(seconds=pauses)
    def time_passes(self, seconds):
        self.world.clock.shift(seconds)

    @rule(name=visitors, habit=habits)
    def come_back_again_and_again(self, name, habit):
        """Never idle for too long, perhaps; but no session lives for ever."""
        pause, times = habit
        for _ in range(times):
            self.world.clock.shift(pause)
            self.visitor(name)
            self.world.check()

    @rule(target=links, address=addresses, deed=st.sampled_from(["disable", "enable", "enable", "delete"]))
    def the_operator_acts(self, address, deed):
        account = self.world.owner_of(address.strip())
        if account and deed == "delete":
            self.world.remove(account)
        elif account and account.disabled != (deed == "disable"):
            self.switch(account, off=deed == "disable")
            self.world.check()
            self.enter("shared", address, "right", False)
            return self.ask("reset_password", "shared", address, soon=True)
        return multiple()

    def switch(self, account, off):
        values = {"disabled_at": db_now(), "security_stamp": random_id()} if off else {"disabled_at": None}
        with self.app.app_context():
            db.session.execute(update(User).where(User.id == account.row["id"]).values(values))
            db.session.commit()
        account.disabled, account.changing = off, set(values)

    @rule(target=links, address=addresses)
    def the_operator_prints_a_link(self, address):
        account = self.world.owner_of(address.strip())
        printed = self.app.test_cli_runner().invoke(args=["users", "reset-link", address])
        if account is None or account.disabled:
            assert printed.exit_code != 0
            return multiple()
        [url] = re.findall(r"^http://localhost/auth/\w+/\S+$", printed.output, re.MULTILINE)
        return self.world.keep(self.world.link(url, account.email))


SEED = 7  # of the few: one that gives every rule its turn


def test_random_journeys_go_as_the_model_says(make_database):
    changes = {"DATABASE_URL": make_database("journeys"), "RATELIMIT_ENABLED": False}
    app = create_app(type("Journey", (Testing,), changes))
    with app.app_context():
        flask_migrate.upgrade()
    hashes = {name: journeys.hash_of(app, text) for name, text in FIRST_PASSWORDS.items()}
    machine = type("JourneysHere", (Journeys,), {"app": app, "hashes": hashes})
    machine = machine if CAMPAIGN else seed(SEED)(machine)
    options = settings(
        max_examples=CAMPAIGN or 16,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=options)
    finally:
        with app.app_context():
            db.engine.dispose()
