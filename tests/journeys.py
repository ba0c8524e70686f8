"""The model beside the real site in tests/test_journeys.py: accounts, links, sessions, visitors and the post.

It knows the rules of the product and none of its code; `World.check` says whether the database agrees.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field

from hypothesis.stateful import multiple
from sqlalchemy import delete, select, text

from app.auth.models import User, UserSession
from app.auth.passwords import hash_password, verify_password
from app.auth.tokens import PURPOSES
from app.email.outbox import claim, deliver
from app.email.smtp import Connection
from app.extensions import db, mail
from tests.browser import Browser

HOUR, DAY = 3600, 86_400
FINISH_SECONDS = 15 * 60
LINK_LIFE = {"reset_password": HOUR, "not_me": DAY, "register": DAY}
LINKS_IN = {"reset_password": {"reset_password", "not_me"} & PURPOSES.keys(), "register": {"register"}}
FORM_OF = {"reset_password": "/auth/reset_password", "not_me": "/auth/not_me", "register": "/auth/register/finish"}
SESSION_LIFE = {False: (DAY, 14 * DAY), True: (14 * DAY, 30 * DAY)}  # idle, absolute
TOUCH_SECONDS = 60
PASSWORD_CHANGE = {"password_hash", "security_stamp", "password_changed_at"}
OPEN, DEAD, NO_LONGER_VALID = 200, {404, 410}, 410


@dataclass(eq=False)
class Account:
    email: str
    password: str
    former: list[str] = field(default_factory=list)
    row: dict = field(default_factory=dict)  # as the database had it after the last step
    changing: set[str] = field(default_factory=set)  # the columns this step has to change, and no other
    kept: list["Session"] = field(default_factory=list)  # those that a new stamp does not end
    signed_in: bool = False  # ever
    disabled: bool = False
    deleted: bool = False


@dataclass(eq=False)
class Link:
    purpose: str
    url: str
    mailbox: str
    born: float
    account: Account | None = None
    stamp: str = ""
    used: bool = False


@dataclass(eq=False)
class Session:
    account: Account
    stamp: str
    remember: bool
    secret: str
    cookie: str
    born: float
    last_used: float
    ended: bool = False


class Visitor(Browser):
    """A browser, and what the model knows of its cookie: who is signed in, and which links it has opened."""

    def __init__(self, app, name=""):
        super().__init__(app.test_client())
        self.name = name
        self.session: Session | None = None
        self.opened: dict[str, tuple[Link, float]] = {}
        self.knows: set[Account] = set()  # that have signed in here, for good
        self.held = None  # a form still open in a tab: page, purpose, link and epoch
        self.epoch = 0  # of its cookie: a form of an earlier one is refused

    def forget(self):
        """What signing in and out and finishing a link do to the cookie."""
        if self.session:
            self.session.ended = True
        self.session, self.opened = None, {}
        self.epoch += 1

    def post(self, path, **fields):
        """Send a form that was loaded just now."""
        self.get("/auth/reset_password_request")
        answer = self.client.post(path, data={"csrf_token": self.form.fields["csrf_token"]} | fields)
        self.page = self.get(answer.location) if answer.status_code == 303 else answer
        return answer

    @property
    def cookie(self):
        return self.client.get_cookie("session").value


class World:
    """The model of everything, on an empty database, at a time that only `clock` moves."""

    def __init__(self, app, clock):
        self.app, self.clock = app, clock
        self.accounts: list[Account] = []
        self.links: list[Link] = []
        self.sessions: list[Session] = []
        self.promised: Counter = Counter()  # mails that wait: (kind, address)
        self.touched: set[Visitor] = set()  # by this step
        self.presented: set[Session] = set()

    # What the product promises.

    def owner_of(self, address):
        return next((account for account in self.accounts if account.email.lower() == address.lower()), None)

    def is_bound(self, link):
        """Whether the link is unused and what it was made for is still as it was, whatever the time."""
        if link.purpose == "register":
            return not link.used and self.owner_of(link.mailbox) is None
        account = link.account
        return not account.deleted and not account.disabled and link.stamp == account.row["security_stamp"]

    def opens(self, link):
        return self.is_bound(link) and time.time() < link.born + LINK_LIFE[link.purpose]

    def can_finish(self, visitor, purpose):
        if purpose not in visitor.opened:
            return False
        link, opened_at = visitor.opened[purpose]
        return self.opens(link) or (self.is_bound(link) and time.time() < opened_at + FINISH_SECONDS)

    def is_alive(self, session):
        account, (idle, absolute) = session.account, SESSION_LIFE[session.remember]
        if session.ended or account.deleted or account.disabled or session.stamp != account.row["security_stamp"]:
            return False
        return time.time() < session.last_used + idle and time.time() < session.born + absolute

    # What people do.

    def uses(self, visitor):
        """To be called before the visitor sends anything."""
        self.touched.add(visitor)
        self.presents(visitor.session)

    def presents(self, session):
        if session and self.is_alive(session):
            self.presented.add(session)

    def add_account(self, email, password, password_hash):
        with self.app.app_context():
            User.create(email, "Somebody", password_hash)
            db.session.commit()
        self.welcome(email, password)

    def welcome(self, email, password):
        """Model an account that the site has just made."""
        with self.app.app_context():
            row = db.session.execute(select(User.__table__).where(User.email == email)).mappings().one()
        self.accounts.append(Account(email, password, row=dict(row)))

    def restamp(self, account):
        """Model that the account gets a new stamp and those signed in stay so."""
        account.kept = [session for session in self.sessions if session.account is account and self.is_alive(session)]

    def count_sessions(self, account):
        return sum(session.account is account and self.is_alive(session) for session in self.sessions)

    def remove(self, account):
        with self.app.app_context():
            db.session.execute(delete(User).where(User.id == account.row["id"]))
            db.session.commit()
        self.accounts.remove(account)
        account.deleted = True

    def signed_in(self, visitor, account, remember):
        visitor.forget()
        serializer = self.app.session_interface.get_signing_serializer(self.app)
        secret = serializer.loads(visitor.cookie)["_user_id"]
        assert secret not in {session.secret for session in self.sessions}
        stamp, now = account.row["security_stamp"], time.time()
        visitor.session = Session(account, stamp, remember, secret, visitor.cookie, now, now)
        self.sessions.append(visitor.session)
        if account.signed_in and account not in visitor.knows:
            self.promised["new_sign_in", account.email] += 1
        account.signed_in = True
        visitor.knows.add(account)
        return visitor.session

    # The post.

    def deliver(self):
        """Deliver what is due; the links that came. Who gets what is as the model says."""
        came, arrived = [], Counter()
        with self.app.app_context(), mail.record_messages() as messages, Connection() as connection:
            for row in iter(lambda: next(iter(claim()), None), None):
                kind, args, before = row.kind, row.args, len(messages)
                deliver(row, connection)
                arrived[kind, args["email"]] += 1
                came += self._links_of(kind, args, messages[before:])
        assert arrived == self.promised
        self.promised.clear()
        return self.keep(*came)

    def keep(self, *links):
        """Remember links, for the rules and for the search in the database."""
        self.links += links
        return multiple(*links)

    def _links_of(self, kind, args, mails):
        recipient, carries = EXPECTED[kind](self, args)
        assert [mail.recipients for mail in mails] == ([[recipient]] if recipient else [])
        links = self._links(mails)
        assert {link.purpose for link in links} == carries
        return links

    def _links(self, mails):
        return [
            self.link(url, mail.recipients[0])
            for mail in mails
            for url in re.findall(r"^http://localhost/auth/\w+/\S+$", mail.body, re.MULTILINE)
        ]

    def link(self, url, mailbox):
        purpose, account = url.split("/")[-2], self.owner_of(mailbox)
        stamp = account.row["security_stamp"] if account else ""
        return Link(purpose, url, mailbox, time.time(), account, stamp)

    # Whether all is as the model says.

    def check(self):
        with self.app.app_context():
            self._check_accounts()
            db.session.rollback()
        for visitor in self.touched:
            assert visitor.is_signed_in == bool(visitor.session and self.is_alive(visitor.session))
        with self.app.app_context():
            self._check_sessions()
            self._check_nothing_usable_is_at_rest()
            db.session.rollback()
        self.touched.clear()
        self.presented.clear()

    def _check_accounts(self):
        rows = {row["id"]: dict(row) for row in db.session.execute(select(User.__table__)).mappings()}
        assert rows.keys() == {account.row["id"] for account in self.accounts}
        for account in self.accounts:
            row = rows[account.row["id"]]
            assert {column for column in row if row[column] != account.row[column]} == account.changing
            if "password_hash" in account.changing:
                assert verify_password(account.password, row["password_hash"])
            account.row, account.changing = row, set()
            for session in account.kept:
                session.stamp = row["security_stamp"]
            account.kept = []

    def _check_sessions(self):
        rows = {row.token_digest: row for row in db.session.scalars(select(UserSession))}
        known = {UserSession.digest(session.secret): session for session in self.sessions}
        assert rows.keys() <= known.keys()
        for digest, session in known.items():
            alive = self.is_alive(session)
            assert (UserSession.find(session.secret) is not None) == alive
            if digest in rows:
                self._check_last_use(session, rows[digest].last_used_at.timestamp())

    def _check_last_use(self, session, noted):
        """Noted once a minute, and only when the session was presented."""
        if session in self.presented and not session.ended:
            now = time.time()
            expected = now if now >= session.last_used + TOUCH_SECONDS else session.last_used
            assert noted == expected
            session.last_used = expected
        assert noted == session.last_used

    def _check_nothing_usable_is_at_rest(self):
        dump = dump_of_the_database()
        for link in self.links:
            assert link.url.rpartition("/")[2] not in dump
        for session in self.sessions:
            assert session.secret not in dump


def dump_of_the_database():
    tables = [db.session.execute(text(f"SELECT * FROM {table}")).all() for table in db.metadata.tables]
    return repr(tables)


def _reset_mail(world, args):
    account = world.owner_of(args["email"])
    return (account.email, LINKS_IN["reset_password"]) if account and not account.disabled else (None, set())


def _register_mail(world, args):
    account = world.owner_of(args["email"])
    if account is None:
        return args["email"], LINKS_IN["register"]
    return _reset_mail(world, args)  # "you have an account already", and the way back into it


def _notice(world, args):
    account = next((account for account in world.accounts if account.row["id"] == args["user_id"]), None)
    return (account.email if account and not account.disabled else None), set()


# Kind of mail -> who gets it (or nobody), and which links it carries.
EXPECTED = {"reset_password": _reset_mail, "register": _register_mail}
EXPECTED |= {"password_changed": _notice, "new_sign_in": _notice}


def empty(app):
    with app.app_context():
        for table in reversed(db.metadata.sorted_tables):
            db.session.execute(table.delete())
        db.session.commit()


def hash_of(app, password):
    with app.app_context():
        return hash_password(password)
