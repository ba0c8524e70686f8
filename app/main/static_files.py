"""Static files are cached for a year under an address that holds a hash of their content."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, request


def init_app(app: Flask) -> None:
    app.url_defaults(add_content_hash)
    app.after_request(cache_what_was_asked_for)


def add_content_hash(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static" and "filename" in values:
        values["v"] = content_hash(values["filename"])


def cache_what_was_asked_for(response: Response) -> Response:
    """For a year, but only under the hash of this content: during a release an older node may answer for a newer."""
    if request.endpoint == "static":
        # OPTIONS is answered before anybody has looked at the path, which may lead anywhere.
        found = request.method != "OPTIONS" and response.status_code in (200, 304)
        current = found and request.args.get("v") == content_hash((request.view_args or {})["filename"])
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
    return response


def content_hash(filename: str) -> str:
    path = Path(str(current_app.static_folder), filename)
    may_change = current_app.config["TEMPLATES_AUTO_RELOAD"]  # in development, under the running server
    return _hash(path, path.stat().st_mtime_ns if may_change else 0)


@cache
def _hash(path: Path, changed: int) -> str:
    return sha256(path.read_bytes()).hexdigest()[:12]
