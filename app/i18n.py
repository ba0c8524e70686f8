"""Languages, and how times and durations are put into words."""

from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date
from flask import Flask, current_app, has_request_context, request
from flask_babel import get_locale, ngettext
from flask_login import current_user
from jinja2 import pass_context
from jinja2.runtime import Context

from app.extensions import babel


def init_app(app: Flask) -> None:
    babel.init_app(app, locale_selector=select_locale)
    app.add_template_filter(duration)
    app.add_template_filter(moment)
    app.add_template_global(get_locale)


def select_locale() -> str | None:
    """The language a person has chosen, else the browser's among ours; outside a request the caller forces one."""
    if not has_request_context():
        return None
    chosen = getattr(current_user, "locale", None)
    if chosen in current_app.config["LANGUAGES"]:
        return str(chosen)
    return browser_language()


def browser_language() -> str:
    """The browser's language among ours, else the first of ours; needs no database."""
    languages = current_app.config["LANGUAGES"]
    return request.accept_languages.best_match(languages, languages[0]) or languages[0]


def duration(seconds: int) -> str:
    """Whole hours, else whole minutes: never rounded up, or a link would die before its time."""
    hours, rest = divmod(seconds, 3600)
    if rest == 0:
        return ngettext("%(num)d hour", "%(num)d hours", hours)
    return ngettext("%(num)d minute", "%(num)d minutes", seconds // 60)


@pass_context
def moment(context: Context, value: datetime) -> str:
    """Date and clock time, in the reader's zone, which is named."""
    reader = context.get("reader") or context.get("current_user")
    value = value.astimezone(ZoneInfo(getattr(reader, "time_zone", None) or "UTC"))
    return f"{format_date(value, 'long', get_locale())}, {value:%H:%M %Z}"
