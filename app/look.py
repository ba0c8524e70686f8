"""Make it yours without editing the originals: see docs/customise.md.

OVERRIDES_DIR may hold `templates/` and `static/`: what is there under the name of one of ours takes its place. There,
`{% extends "original/base.html" %}` still reaches ours. Its `translations/` win message by message, English included.
BRAND_COLOR takes the place of the brass.
"""

from pathlib import Path

from flask import Flask, current_app
from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader
from werkzeug.security import safe_join

import config as settings

COLORED = ("style.css", "mark.svg")
COLORS = ("BRAND_COLOR", "BRAND_COLOR_DARK")


def init_app(app: Flask) -> None:
    ours = app.jinja_loader or FileSystemLoader("templates")
    loaders: list[BaseLoader] = [ours, PrefixLoader({"original": ours})]
    if folder := app.config["OVERRIDES_DIR"]:
        loaders.insert(0, FileSystemLoader(Path(folder, "templates")))
        app.config["BABEL_TRANSLATION_DIRECTORIES"] = f"translations;{Path(folder, 'translations')}"
    app.jinja_loader = ChoiceLoader(loaders)


def static_folder(filename: str) -> str:
    """Where the file to serve under that name is: theirs, else ours."""
    folder = current_app.config["OVERRIDES_DIR"]
    theirs = str(Path(folder, "static")) if folder else None
    path = theirs and safe_join(theirs, filename)
    return theirs if theirs and path and Path(path).is_file() else str(current_app.static_folder)


def recolored(filename: str, content: bytes) -> bytes:
    """The content of a static file with the site's own colours."""
    if filename in COLORED:
        for name in COLORS:
            ours = getattr(settings.Config, name)
            content = content.replace(ours.encode(), current_app.config[name].encode())
    return content
