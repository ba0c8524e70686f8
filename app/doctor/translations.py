"""Whether every language is compiled: what is not is shown in English."""

from collections.abc import Iterator

from flask import current_app

from app import translate
from config_checks import OK, WRONG, Finding


def check() -> Iterator[Finding]:
    if stale := translate.stale(current_app.config["LANGUAGES"]):
        what = f"Not compiled, and so shown in English: {', '.join(stale)}"
        yield Finding("translations", WRONG, what, "run: flask translate compile")
    else:
        yield Finding("translations", OK, "Every language is compiled.")
