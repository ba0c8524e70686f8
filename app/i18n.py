"""Languages, and how times and durations are put into words."""

from datetime import UTC, datetime

from babel.dates import format_date
from flask import Flask, current_app, has_request_context, request
from flask_babel import get_locale, ngettext

from app.extensions import babel


def init_app(app: Flask) -> None:
    babel.init_app(app, locale_selector=select_locale)
    app.add_template_filter(duration)
    app.add_template_filter(moment)
    app.add_template_global(get_locale)


def select_locale() -> str | None:
    """The visitor's language among ours; outside a request the caller forces one."""
    if not has_request_context():
        return None
    return request.accept_languages.best_match(current_app.config["LANGUAGES"])


def duration(seconds: int) -> str:
    """Whole hours, else whole minutes: never rounded up, or a link would die before its time."""
    hours, rest = divmod(seconds, 3600)
    if rest == 0:
        return ngettext("%(num)d hour", "%(num)d hours", hours)
    return ngettext("%(num)d minute", "%(num)d minutes", seconds // 60)


def moment(value: datetime) -> str:
    """Date and clock time with the zone named."""
    value = value.astimezone(UTC)
    return f"{format_date(value, 'long', get_locale())}, {value:%H:%M} UTC"
