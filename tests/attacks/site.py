"""What is attacked: a site that runs here, its mail and its database in view; or one of which only the URL is known."""

from contextlib import contextmanager
from functools import cache
from itertools import count
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app.auth.models import SecurityEvent, User
from app.auth.passwords import hash_password
from app.database import db_now
from app.email import OutboxMessage
from app.email.outbox import claim, deliver
from app.email.smtp import Connection
from app.extensions import db
from tests.servers import HttpBrowser, Site, SmtpSink
from tests.time_passing import pass_time

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "a stitch in time saves nine"
INBOX = "/auth/check_your_inbox"
RESET, REGISTER, SIGN_IN = "/auth/reset_password_request", "/auth/register", "/auth/login"
RESET_LINK, REGISTER_LINK, NOT_ME_LINK = "/auth/reset_password/", "/auth/register/", "/auth/not_me/"
FORMS = {  # every form that is open to a stranger, and what a person types into it
    RESET: {"email": "stranger@example.com"},
    REGISTER: {"email": "stranger@example.com"},
    SIGN_IN: {"email": "stranger@example.com", "password": PASSWORD},
}

_numbers = count(1)
_hash = cache(hash_password)  # 20 ms each, and hundreds of accounts have the same password


def fresh_address() -> str:
    """An address that no other test uses; all have the same length."""
    return f"person{next(_numbers):06}@example.com"


def fresh_network() -> str:
    """An IP address that no other test uses (RFC 2544 keeps these for tests)."""
    number = next(_numbers)
    return f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"


class Visitor(HttpBrowser):
    """A browser on a network of its own."""

    def __init__(self, url: str, network: str | None = None) -> None:
        super().__init__(url, {"X-Forwarded-For": network or fresh_network()})

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value for cookie in self.client.cookies}

    def take_cookies_of(self, other: "Visitor") -> None:
        self.client.cookies.clear()
        for cookie in other.client.cookies:
            self.client.cookies.set_cookie(cookie)

    @property
    def csrf_token(self) -> str:
        return self.form.fields["csrf_token"]

    def guess(self, email: str, password: str = "not the password at all") -> int:
        return self.sign_in(email, password).status_code


class RemoteVisitor(Visitor):
    """A browser whose network the site limits like any other's: the site, not a test, decides when that is enough."""

    def submit(self, **fields):
        answer = super().submit(**fields)
        if answer.status_code == 429:
            pytest.skip(f"{self.client.url} limits this network: try again in {answer.headers.get('Retry-After')} s")
        return answer


class RemoteSite:
    """A running instance, of which only the URL is known."""

    visitor_type = RemoteVisitor

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def visitor(self, network: str | None = None) -> Visitor:
        return self.visitor_type(self.url, network)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class LocalSite(RemoteSite):
    """A site whose mail server is ours, and whose database `app`, an application in this process, can look into."""

    visitor_type = Visitor

    def __init__(self, site: Site, app, sink: SmtpSink) -> None:
        super().__init__(site.url)
        self.site = site
        self.app = app
        self.sink = sink

    @property
    def settings(self) -> dict:
        return self.site.settings

    @property
    def log(self) -> str:
        """What the server has printed so far."""
        return "".join(program.output for program in self.site.programs)

    @contextmanager
    def database(self):
        """A session on the site's database; what is changed in it is committed."""
        with self.app.app_context():
            yield db.session
            db.session.commit()

    def account(self, name: str = "Somebody", *, email: str | None = None, password: str = PASSWORD, **columns) -> str:
        """A new account, as `flask users create` would make it; its address."""
        email = email or fresh_address()
        with self.database():
            user = User.create(email, name, _hash_in(self.app, password))
            for column, value in columns.items():
                setattr(user, column, value)
        return email

    def change(self, email: str, **columns) -> None:
        with self.database() as session:
            session.execute(update(User).where(User.email == email).values(**columns))

    def reset_token(self, email: str) -> str:
        """What a link in the mail would carry, without the mail."""
        with self.database():
            return User.by_email(email).get_reset_password_token()

    def rows(self, statement):
        with self.app.app_context():
            db.session.connection(execution_options={"sqlite_begin": "DEFERRED"})  # looking on must not lock anyone out
            return db.session.execute(statement).all()

    def dump(self, *but: str) -> dict[str, list[tuple]]:
        """Every row of every table, except the tables named."""
        tables = [table for table in db.metadata.sorted_tables if table.name not in but]
        return {table.name: sorted(map(tuple, self.rows(select(table))), key=repr) for table in tables}

    def settle(self) -> None:
        """Let all mail that is due leave. The server's own threads do so too; a row is only ever in one hand."""
        with self.app.app_context(), Connection() as connection:
            while self._has_work():
                for row in claim():
                    deliver(row, connection)

    def _has_work(self) -> bool:
        now = (OutboxMessage.due_at <= db_now()) | OutboxMessage.leased
        return bool(self.rows(select(OutboxMessage.id).where(OutboxMessage.done_at.is_(None), now).limit(1)))

    def waiting(self, email: str) -> list:
        """The open outbox rows for an address, as (kind, due_at)."""
        mine = OutboxMessage.args["email"].as_string() == email
        open_rows = select(OutboxMessage.kind, OutboxMessage.due_at).where(OutboxMessage.done_at.is_(None), mine)
        return self.rows(open_rows)

    def mails_to(self, *addresses: str) -> list:
        """All mails an address was ever sent, after what is due has left."""
        self.settle()
        return [mail for mail in self.sink.mails if set(addresses) & set(mail.recipients)]

    def last_link(self, email: str, path: str = RESET_LINK) -> str:
        return [mail.link_to(path) for mail in self.mails_to(email) if path in mail.text][-1]

    def reset_link(self, email: str) -> str:
        """Ask for a reset from a network of its own, and take the link out of the mail."""
        self.visitor().ask_for_reset(email)
        return self.last_link(email)

    def registration_link(self, email: str) -> str:
        self.visitor().register(email)
        return self.last_link(email, REGISTER_LINK)

    def pass_time(self, seconds: float) -> None:
        """As if so many seconds went by: every moment in the limiter and in open promises moves back."""
        with self.database():
            pass_time(seconds)

    def events(self, email: str) -> list[str]:
        """The kinds of security events of an account, oldest first."""
        mine = select(SecurityEvent.kind).join(User, User.id == SecurityEvent.user_id).where(User.email == email)
        return [kind for (kind,) in self.rows(mine.order_by(SecurityEvent.id))]


def _hash_in(app, password: str) -> str:
    with app.app_context():
        return _hash(password)
