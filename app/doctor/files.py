"""Files that hold secrets, and who this process is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from flask import current_app
from sqlalchemy import make_url

from config_checks import OK, WARNING, Finding


def check() -> Iterator[Finding]:
    exposed = [path for path in _secret_files() if is_open_to_others(path)]
    for path in exposed:
        yield Finding("files", WARNING, f"Everybody on this machine can read {path}", f"run: chmod o-rwx {path}")
    if not exposed:
        yield Finding("files", OK, "No file with a secret is open to everybody.")
    if os.geteuid() == 0:
        what = "This runs as root: whoever takes over the process takes over the machine"
        yield Finding("user", WARNING, what, "give Rekey a user of its own.")
    else:
        yield Finding("user", OK, "This does not run as root.")


def _secret_files() -> Iterator[Path]:
    yield from current_app.config["SECRET_FILES"]
    url = make_url(current_app.config["SQLALCHEMY_DATABASE_URI"])
    if url.drivername == "sqlite" and url.database:
        yield Path(url.database)


def is_open_to_others(path: Path) -> bool:
    """Whether other users may read it, and get as far."""
    path = path.absolute()
    try:
        readable = path.stat().st_mode & stat.S_IROTH
        return bool(readable) and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
    except OSError:
        return False
