"""Accounts as an operator reads them: lines for people, JSON for programs."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from app.auth.report import Facts


def as_json(facts: Facts) -> str:
    return json.dumps(facts, default=datetime.isoformat)


def as_json_list(pages: Iterable[list[Facts]], more: int) -> Iterator[str]:
    """Lines that are one document, made as it is read: a million accounts need no memory."""
    yield '{"users": ['
    line = ""
    for page in pages:
        for facts in page:
            if line:
                yield f"{line},"
            line = as_json(facts)
    yield f'{line}], "more": {more}}}'


def as_table(page: list[Facts]) -> Iterator[str]:
    """The name last, for its letters may be of any width."""
    width = max(len(facts["email"]) for facts in page)
    yield f"{'address':<{width}}  {'state':<11}  {'created (UTC)':<16}  {'last sign-in':<16}  name"
    for facts in page:
        created, last = _minute(facts["created_at"]), _minute(facts["last_sign_in_at"])
        yield f"{facts['email']:<{width}}  {facts['state']:<11}  {created:<16}  {last:<16}  {facts['name']}"


def waiting_as_json(people: list[Facts]) -> list[str]:
    return [json.dumps({"waiting": people}, default=datetime.isoformat)]


def waiting_as_table(people: list[Facts]) -> Iterator[str]:
    width = max((len(facts["email"]) for facts in people), default=0)
    for facts in people:
        yield (
            f"{facts['email']:<{width}}  account: {facts['account']:<8}  asked {_minute(facts['asked_at'])} UTC"
            f"  {facts['reference']}  {_place(facts)}"
        )


def as_lines(facts: Facts) -> Iterator[str]:
    for name, fact in facts.items():
        if not isinstance(fact, list):
            yield f"{name.removesuffix('_at').replace('_', ' '):<16}  {_words(fact)}"
    yield f"\nsigned in: {plural(len(facts['sessions']), 'session')}"
    for session in facts["sessions"]:
        used = f"first used {_words(session['created_at'])}, last {_words(session['last_used_at'])}"
        yield f"  {_place(session)}: {used}"
    yield f"\nlast events: {len(facts['events'])}"
    for event in facts["events"]:
        yield f"  {_words(event['created_at'])}  {event['kind'].replace('_', ' ')}: {_place(event)}"


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _place(use: Facts) -> str:
    return ", ".join(filter(None, (use["device"] or "unknown device", use["network"])))


def _words(fact: object) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, datetime):
        return f"{fact:%Y-%m-%d %H:%M:%S} UTC"
    return "-" if fact is None else str(fact)


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
