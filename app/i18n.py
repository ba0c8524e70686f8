"""Languages, and how times and durations are put into words."""

import logging
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_gmt, get_timezone_name
from flask import Flask, Response, current_app, has_request_context, request
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _
from flask_login import current_user
from jinja2 import pass_context
from jinja2.runtime import Context

from app import translate
from app.extensions import babel
from app.languages import negotiate, own_name
from app.security import delete_cookie, read_cookie, set_cookie, this_page

logger = logging.getLogger(__name__)
COOKIE = "language"


def init_app(app: Flask) -> None:
    babel.init_app(app, locale_selector=select_locale, default_locale=app.config["LANGUAGES"][0])
    app.cli.add_command(translate.group)
    app.add_template_filter(duration)
    app.add_template_filter(moment)
    app.add_template_filter(in_utc)
    for helper in (get_locale, language_attributes, own_names, this_page):
        app.add_template_global(helper)
    if not app.testing and (stale := translate.stale(app.config["LANGUAGES"])):
        logger.warning("not compiled, and so shown in English: %s. Run: flask translate compile", ", ".join(stale))


def select_locale() -> str | None:
    """The account's language, else that of this browser; outside a request the caller forces one."""
    if not has_request_context():
        return None
    chosen = getattr(current_user, "locale", None)
    return str(chosen) if chosen in current_app.config["LANGUAGES"] else browser_language()


def browser_language() -> str:
    """What was chosen in this browser, else what it asks for, else the first of ours; needs no database."""
    languages = current_app.config["LANGUAGES"]
    chosen = read_cookie(COOKIE) or ""
    return chosen if chosen in languages else negotiate(request.headers.get("Accept-Language", ""), languages)


def keep_choice(response: Response, language: str) -> None:
    """Have this browser keep a language for a year, whoever is signed in."""
    set_cookie(response, COOKIE, language)


def forget_choice(response: Response) -> None:
    """Go by what the browser asks for."""
    delete_cookie(response, COOKIE)


def own_names() -> dict[str, str]:
    """Our languages, each with what its speakers call it."""
    return {language: own_name(language) for language in current_app.config["LANGUAGES"]}


def language_attributes(language: str | None = None) -> dict[str, str]:
    """The attributes `lang` (BCP 47) and `dir` of a text in this language, by default that of the page; for xmlattr."""
    locale = Locale.parse(language) if language else get_locale()
    return {"lang": str(locale).replace("_", "-"), "dir": locale.text_direction}


def duration(seconds: int) -> str:
    """Whole hours, else whole minutes: never rounded up, or a link would die before its time. Below one, seconds."""
    if seconds < 60:
        return ngettext("%(num)d second", "%(num)d seconds", seconds)
    hours, rest = divmod(seconds, 3600)
    if rest == 0:
        return ngettext("%(num)d hour", "%(num)d hours", hours)
    return ngettext("%(num)d minute", "%(num)d minutes", seconds // 60)


@pass_context
def moment(context: Context, value: datetime) -> str:
    """Date and clock time as the reader's language writes them, in the reader's zone, which is named."""
    reader = context.get("reader") or current_user
    value = value.astimezone(ZoneInfo(getattr(reader, "time_zone", None) or "UTC"))
    locale = get_locale()
    clock = format_time(value, "short", locale=locale).replace("\u202f", " ")  # few fonts have that space
    date = format_date(value, "long", locale)
    return _("%(date)s, %(clock)s %(zone)s", date=date, clock=clock, zone=_zone(value, locale))


def in_utc(value: datetime) -> str:
    """The same for machines."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _zone(value: datetime, locale: Locale) -> str:
    """The short name that readers of this language know, such as EST and BRT, else the distance from Greenwich."""
    name = get_timezone_name(value, "short", locale=locale)
    return name if name.isalpha() else get_timezone_gmt(value, "long", locale=locale)
