"""From a draft to a message: templates/email/<kind>/{subject.txt,body.txt,body.html}, in the reader's language."""

from dataclasses import dataclass, field
from typing import Any

from flask import current_app, render_template
from flask_babel import force_locale, get_locale
from sqlalchemy import Insert

from app.email import words
from app.email.models import OutboxMessage
from app.email.smtp import Message, sender_domain
from app.email.wrap import wrap


@dataclass(frozen=True)
class Draft:
    """What a composer returns: to whom, and the facts its templates tell."""

    to: str
    context: dict[str, Any]
    locale: str | None = None  # the reader's own; else that of the page that asked
    time_zone: str | None = None  # the reader's own; else UTC
    template: str | None = None  # where one kind has two letters; else the kind's own
    once_sent: list[Insert] = field(default_factory=list)  # what to record when it has left: once, unlike a try


class HeldBackError(Exception):
    """Raised by a composer: not yet, but in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def render(row: OutboxMessage, draft: Draft) -> Message:
    """The message, in the reader's language and time zone."""
    folder = f"email/{draft.template or row.kind}"
    context = {
        "app_name": current_app.config["APP_NAME"],
        "reference": row.reference,
        "reader": draft,
        "words": words,
        **draft.context,
    }
    with force_locale(_language(row, draft)):
        subject = render_template(f"{folder}/subject.txt", **context).strip()
        body = wrap(render_template(f"{folder}/body.txt", **context).strip()) + "\n"
        html = render_template(f"{folder}/body.html", **context, subject=subject)
        language = str(get_locale()).replace("_", "-")
    headers = {
        "Message-ID": f"<{row.message_id}@{sender_domain()}>",
        "Content-Language": language,
        "Auto-Submitted": "auto-generated",  # RFC 3834: no vacation replies, please
        "X-Auto-Response-Suppress": "All",  # the same for Exchange
    }
    return Message(draft.to, subject, body, html, headers)


def _language(row: OutboxMessage, draft: Draft) -> str:
    """The draft's, else the row's, since a worker has no page to take one from; else, or where a release has dropped
    that language meanwhile, our first."""
    languages: tuple[str, ...] = current_app.config["LANGUAGES"]
    return next((tag for tag in (draft.locale, row.locale) if tag in languages), languages[0])
