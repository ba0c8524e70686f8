"""Static files are cached for a year under an address that holds a hash of their content."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, request, send_from_directory

from app import look


def init_app(app: Flask) -> None:
    app.view_functions["static"] = send
    app.url_defaults(add_content_hash)
    app.after_request(cache_what_was_asked_for)


def send(filename: str) -> Response:
    folder = look.static_folder(filename)
    if filename not in look.COLORED:
        return send_from_directory(folder, filename)
    response = send_from_directory(folder, filename, conditional=False, etag=False)
    response.direct_passthrough = False
    content = response.get_data()
    response.close()  # the file; what follows is sent from memory
    response.set_data(look.recolored(filename, content))
    response.add_etag()
    response.make_conditional(request)
    return response


def add_content_hash(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static" and "filename" in values:
        values["v"] = content_hash(values["filename"])


def cache_what_was_asked_for(response: Response) -> Response:
    """For a year, but only under the hash of this content: during a release an older node may answer for a newer."""
    # OPTIONS is answered before anybody has looked at the path, which may lead anywhere.
    if request.endpoint == "static" and request.method != "OPTIONS" and response.status_code in (200, 304):
        current = request.args.get("v") == content_hash((request.view_args or {})["filename"])
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
    return response


def content_hash(filename: str) -> str:
    path = Path(look.static_folder(filename), filename)
    may_change = current_app.config["TEMPLATES_AUTO_RELOAD"]  # in development, under the running server
    colors = tuple(current_app.config[name] for name in look.COLORS)
    return _hash(filename, path, path.stat().st_mtime_ns if may_change else 0, colors)


@cache
def _hash(filename: str, path: Path, changed: int, colors: tuple[str, ...]) -> str:
    return sha256(look.recolored(filename, path.read_bytes())).hexdigest()[:12]
