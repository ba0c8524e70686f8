"""Static files are cached for a year under an address that holds a hash of their content."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, current_app


def init_app(app: Flask) -> None:
    app.url_defaults(add_content_hash)


def add_content_hash(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static" and "filename" in values:
        path = Path(str(current_app.static_folder), values["filename"])
        values["v"] = _content_hash(path, path.stat().st_mtime_ns if current_app.debug else 0)


@cache
def _content_hash(path: Path, changed: int) -> str:
    return sha256(path.read_bytes()).hexdigest()[:12]
