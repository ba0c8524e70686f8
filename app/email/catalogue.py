"""Every mail with made-up facts: for the catalogue and the preview. Nothing is sent, and no database is needed."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from flask import current_app

from app.email.models import OutboxMessage, new_message_id
from app.email.render import Draft, render
from app.email.smtp import Message

Samples = Callable[[], Mapping[str, Draft]]

_sources: list[Samples] = []


def samples(source: Samples) -> Samples:
    """Register a function that returns a draft for each folder of templates its mails have, by the folder's name."""
    _sources.append(source)
    return source


def drafts() -> dict[str, Draft]:
    """A draft for every folder of templates, by its name."""
    found = {name: draft for source in _sources for name, draft in source().items()}
    return dict(sorted(found.items()))


def preview(kind: str, locale: str) -> Message:
    """The mail of that folder of templates in one of LANGUAGES. Raises KeyError where there is no such folder."""
    row = OutboxMessage(kind=kind, message_id=new_message_id())
    return render(row, replace(drafts()[kind], locale=locale))


@samples
def _own() -> Mapping[str, Draft]:
    return {"test": Draft("ann@example.com", {"home": current_app.config["BASE_URL"]})}
