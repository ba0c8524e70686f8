"""A site to visit: gunicorn as in production, a mail server, accounts, and links alive and dead."""

import ssl
from contextlib import suppress
from functools import cached_property
from itertools import count
from urllib.request import urlopen

import flask_migrate
from sqlalchemy import delete

from app import create_app, limits
from app.auth import tokens
from app.auth.models import User
from app.auth.passwords import hash_password
from app.extensions import db
from config import Testing
from tests.conftest import PASSWORD
from tests.servers import HOST, HttpBrowser, Site, make_certificate, wait_for

PATIENCE_MS = 15_000
LONG_ADDRESS = "a.rather.long.mailbox.name.{}+and-a-tag@mail.subdomain.of-a-long-name.example.org"
LONG_NAME = "Maximiliane-Wilhelmine Freifrau von und zu Donaudampfschiffhausen"[:64]


class SecureSite(Site):
    """The same over HTTPS, with a certificate that nobody else trusts."""

    def __init__(self, directory, **settings):
        super().__init__(directory, **settings)
        self.url = self.settings["BASE_URL"] = f"https://{HOST}:{self.port}"
        self.certificate = make_certificate(directory, f"IP:{HOST}")

    def start_unseen(self, *options):
        files = ("--certfile", str(self.certificate.certificate), "--keyfile", str(self.certificate.key))
        return super().start_unseen(*files, *options)

    def _answers(self, server):
        assert server.process.poll() is None, server.output
        trust = ssl.create_default_context(cafile=self.certificate.certificate)
        with suppress(OSError), urlopen(f"{self.url}/healthz", context=trust) as answer:
            return answer.status == 200


class Mailbox:
    """All mail of a site, whoever it is for."""

    def __init__(self, sink):
        self.sink = sink
        self.read = []

    def links(self, address, path):
        """The links of the next mail to that address with one under that path; waits for it."""
        mail = wait_for(lambda: self._next(address, path), f"a mail to {address} with a link to {path}")
        self.read.append(mail)
        return mail

    def link(self, address, path):
        return self.links(address, path).link_to(path)

    def _next(self, address, path):
        for mail in self.sink.mails:
            if mail.recipients == [address] and path in mail.text and mail not in self.read:
                return mail
        return None


class Stage:
    """A running site, and the application beside it, to set up what is to be seen."""

    def __init__(self, directory, mailbox, *, secure=False):
        self.mailbox = mailbox
        self.site = (SecureSite if secure else Site)(
            directory,
            DATABASE_URL=f"sqlite:///{directory}/rekey.db",
            MAIL_PORT=mailbox.sink.port,
            SUPPORT_EMAIL="help@rekey.example",
        )
        self.url = self.site.url
        self.numbers = count(1)

    def __enter__(self):
        with self.app.app_context():
            flask_migrate.upgrade()
        self.site.__enter__().start()
        return self

    def __exit__(self, *exc_info):
        self.site.__exit__(*exc_info)
        with self.app.app_context():
            db.engine.dispose()

    @cached_property
    def app(self):
        settings = {"DATABASE_URL": self.site.settings["DATABASE_URL"], "BASE_URL": self.url}
        return create_app(type("Beside", (Testing,), settings))

    def new_address(self, pattern="person{}@example.com"):
        return pattern.format(next(self.numbers))

    def add_account(self, pattern="person{}@example.com", name="Robin", password=PASSWORD):
        """Add an account as `flask users create` would; its address."""
        address = self.new_address(pattern)
        with self.app.app_context():
            User.create(address, name, hash_password(password))
            db.session.commit()
        return address

    def forget_limits(self):
        with self.app.app_context():
            db.session.execute(delete(limits.RateLimit))
            db.session.commit()

    def use_up(self, rate, subject):
        """As if somebody had asked as often as they may."""
        with self.app.app_context():
            while limits.allows(rate, subject):
                pass
            db.session.commit()

    def expired(self, link):
        """The same link, out of a mail that is too old."""
        start, _, token = link.rpartition("/")
        purpose = start.rpartition("/")[2]
        with self.app.app_context():
            return f"{start}/{tokens.issue(purpose, tokens.redeem(purpose, token), expires_in=0)}"

    def visitor(self):
        return HttpBrowser(self.url)
