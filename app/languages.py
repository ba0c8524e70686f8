"""Which of our languages a browser asks for, by RFC 4647 and the likely subtags of CLDR. Knows no request."""

import re
from collections.abc import Sequence
from functools import lru_cache

from babel import Locale
from babel.core import get_global
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

LONGEST_HEADER = 512  # characters that are looked at; browsers send a tenth of it
TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_].*)?", re.IGNORECASE)


def negotiate(header: str, languages: Sequence[str]) -> str:
    """The language an Accept-Language header likes best among ours, else the first of ours.

    One in the script they read comes first, in the order of their preferences; then one they may understand when heard:
    `zh-CN` reads Simplified Chinese, and gets English before Traditional Chinese where it lists English.
    """
    return _negotiate(header[:LONGEST_HEADER], tuple(languages))


@lru_cache(maxsize=1024)
def _negotiate(header: str, languages: tuple[str, ...]) -> str:
    wanted = _wanted(header)
    for same in (_is_read_by, _is_spoken_by):
        for tag in wanted:
            if found := [language for language in languages if same(tag, language)]:
                return max(found, key=lambda language: _parts(language)[2] == _parts(tag)[2])
    return languages[0]


def own_name(language: str) -> str:
    """What its speakers call it, as in `Português (Brasil)` and `繁體中文`."""
    locale = Locale.parse(language)
    names = (locale.languages.get(tag) for tag in (language, f"{locale.language}_{locale.script}"))
    name = next(filter(None, names), None) or locale.get_display_name() or language
    return name[0].upper() + name[1:]


def _wanted(header: str) -> list[str]:
    """Their tags, the best first. Neither garbage nor `*` is one: all that is left to say then is the first of ours."""
    accepted = parse_accept_header(header, LanguageAccept)
    return [tag for tag, quality in accepted if quality > 0 and TAG.fullmatch(tag)]


def _is_read_by(tag: str, language: str) -> bool:
    return _parts(tag)[:2] == _parts(language)[:2]


def _is_spoken_by(tag: str, language: str) -> bool:
    return _parts(tag)[0] == _parts(language)[0]


@lru_cache(maxsize=1024)
def _parts(tag: str) -> tuple[str, str, str]:
    """Language, script and territory; the script is the likely one where none is named."""
    found = TAG.fullmatch(tag)
    language, script, territory = (part or "" for part in found.groups()) if found else ("", "", "")
    language, script, territory = language.lower(), script.title(), territory.upper()
    likely = get_global("likely_subtags")
    full = likely.get(f"{language}_{territory}") or likely.get(language) or ""
    return language, script or "".join(full.split("_")[1:2]), territory
