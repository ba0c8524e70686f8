"""The promise and how it was kept: who asked for a reset link, what the site answered, and what became of the mail."""

from http.client import HTTPException
from http.cookies import SimpleCookie
from threading import Lock

from sqlalchemy import select

from app.email import OutboxMessage
from app.extensions import db
from tests.browser import FormReader
from tests.servers import HttpClient

FORM = "/auth/reset_password_request"
GIVEN_UP = ("nobody", "expired", "failed")


def read_rows(app):
    """The outbox as it stands."""
    with app.app_context():
        db.session.connection(execution_options={"sqlite_begin": "DEFERRED"})  # looking on must not lock anyone out
        return db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()


def row_id(mail):
    """The part of a mail's Message-ID that belongs to its row."""
    return mail.message_id.strip("<>").partition("@")[0]


class Promises:
    """Asks for reset links, from any thread, and remembers every answer.

    `accepted` holds the references of what was promised. A request without an answer may have left a row or not.
    """

    def __init__(self, app, url):
        self.app = app
        self.url = url
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.unanswered = 0
        self.lock = Lock()

    def ask(self, address) -> int | None:
        """Ask as a browser does. The status of the answer, if there was one."""
        client = HttpClient(self.url)
        try:
            form = FormReader(client.get(FORM).text)
        except (OSError, HTTPException):
            return None  # nothing was asked
        if "csrf_token" not in form.fields:
            return None
        try:
            answer = client.post(FORM, data=form.fields | {"email": address})
        except (OSError, HTTPException):
            with self.lock:
                self.unanswered += 1
            return None
        self._note(answer)
        return answer.status_code

    def _note(self, answer):
        with self.lock:
            if answer.location == "/auth/check_your_inbox":
                self.accepted.append(self._reference(answer))
            else:
                self.refused.append(answer.status_code)

    def _reference(self, answer):
        """What the next page would show. The site has a key of its own, so the cookie is read without one."""
        cookie = SimpleCookie(answer.headers["Set-Cookie"])["session"].value
        _, session = self.app.session_interface.get_signing_serializer(self.app).loads_unsafe(cookie)
        return session["inbox"]["reference"]

    def lost(self, mails) -> set[str]:
        """The references of which nobody can say what became of them."""
        return set(self.accepted) - {reference(message_id) for message_id in accounted_for(read_rows(self.app), mails)}

    def check(self, mails):
        """Requests accepted = mails that arrived + rows given up with a reason + rows still open."""
        rows = read_rows(self.app)
        assert {row_id(mail) for mail in mails} <= {row.message_id for row in rows}
        assert all(row.last_error for row in rows if row.outcome in ("expired", "failed"))
        assert self.lost(mails) == set()
        asked = len(self.accepted)
        assert asked <= len(accounted_for(rows, mails)) == len(rows) <= asked + self.unanswered


def accounted_for(rows, mails) -> set[str]:
    given_up = {row.message_id for row in rows if row.outcome in GIVEN_UP}
    still_open = {row.message_id for row in rows if row.done_at is None}
    return {row_id(mail) for mail in mails} | given_up | still_open


def reference(message_id):
    return OutboxMessage(message_id=message_id).reference
