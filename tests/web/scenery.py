"""What the tour needs to be there: people signed in, links alive and dead, a site without its database, dev pages."""

from contextlib import contextmanager
from mailbox import Maildir
from threading import Thread

from werkzeug.serving import make_server

from app import create_app
from app.auth.events import WORDS
from app.auth.models import User
from app.extensions import db
from config import Testing
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.servers import HOST, Site
from tests.web.stage import LONG_ADDRESS, LONG_NAME

PURPOSES = ("reset_password", "not_me", "register", "change_email", "undo_email_change")
LONGEST_CLIENT = {"network": "2001:db8:85a3:8d3::/64", "device": "Mobile Safari UI/WKWebView (iPadOS)"}


class Scenery:
    """Links by purpose: live, used, expired, broken. Who is signed in: cookies. Other sites: away and dev."""

    def __init__(self, stage, away, dev):
        self.stage = stage
        self.away, self.dev = away, dev
        self.member = stage.add_account(LONG_ADDRESS, LONG_NAME)
        self.mover, moved = stage.add_account(), stage.add_account()
        self.cookies = {"a visitor": [], "a member": self._sign_in(self.member), "a mover": self._sign_in(self.mover)}
        self.live, self.used = self._live_links(moved), self._used_links()
        self.expired = {purpose: stage.expired(link) for purpose, link in self.live.items()}
        self.broken = {purpose: link[:-3] for purpose, link in self.live.items()}
        self._fill_the_account()

    def _sign_in(self, address):
        """Sign in twice; the cookies of the second device."""
        self._signed_in(address)
        return [
            {"name": cookie.name, "value": cookie.value, "url": self.stage.url}
            for cookie in self._signed_in(address).client.cookies
        ]

    def _signed_in(self, address, password=PASSWORD):
        visitor = self.stage.visitor()
        assert visitor.sign_in(address, password).status_code == 303
        return visitor

    def _live_links(self, moved):
        newcomer = self.stage.new_address()
        return {
            **self._ask_for_reset(self.member),
            "register": self._register(newcomer),
            "change_email": self._change_address(self.mover, PASSWORD),
            "undo_email_change": self._finish_change(moved, PASSWORD)[1],
        }

    def _used_links(self):
        """Of an account that went the whole way."""
        address = self.stage.new_address()
        register = self._register(address)
        self.stage.visitor().fill(register, name="Robin", password=PASSWORD, password2=PASSWORD)
        links = self._ask_for_reset(address)
        self.stage.visitor().reset(links["reset_password"], NEW_PASSWORD)
        change, undo = self._finish_change(address, NEW_PASSWORD)
        self.stage.visitor().fill(undo)
        return {**links, "register": register, "change_email": change, "undo_email_change": undo}

    def _ask_for_reset(self, address):
        self.stage.visitor().ask_for_reset(address)
        mail = self.stage.mailbox.links(address, "/auth/reset_password/")
        return {purpose: mail.link_to(f"/auth/{purpose}/") for purpose in ("reset_password", "not_me")}

    def _register(self, address):
        self.stage.visitor().register(address)
        return self.stage.mailbox.link(address, "/auth/register/")

    def _change_address(self, address, password):
        new = self.stage.new_address(LONG_ADDRESS)
        self._signed_in(address, password).fill("/account/email", email=new, current_password=password)
        return self.stage.mailbox.link(new, "/auth/change_email/")

    def _finish_change(self, address, password):
        link = self._change_address(address, password)
        assert self.stage.visitor().fill(link).status_code == 303
        return link, self.stage.mailbox.link(address, "/auth/undo_email_change/")

    def _fill_the_account(self):
        """Everything that can happen to an account, and more of it than one page shows."""
        with self.stage.app.app_context():
            member = User.by_email(self.member)
            for kind in (*WORDS, *WORDS):
                member.record(kind, LONGEST_CLIENT)
            db.session.commit()


@contextmanager
def site_without_database(directory):
    """Pages that need no database answer, and the others say that they cannot."""
    with Site(directory, DATABASE_URL=f"postgresql://{HOST}:1/none", MAIL_DELIVERY="off") as site:
        site.start()
        yield site.url


class DevelopmentSite:
    """The pages of development, and the mailbox behind them."""

    def __init__(self, directory):
        self.app = create_app(type("Development", (Testing,), {"DEV_MAILBOX": True, "MAIL_SERVER": ""}))
        self.app.instance_path = str(directory)
        self.mailbox = Maildir(directory / "mailbox")
        self.server = make_server(HOST, 0, self.app, threaded=True)
        self.url = f"http://{HOST}:{self.server.port}"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        with self.app.app_context():
            db.engine.dispose()
