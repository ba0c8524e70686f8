"""The database: whether it answers, has the right schema, tells the same time, and is of a kind for so many hosts."""

import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.database import db_now
from app.email import live_workers
from app.extensions import db
from config_checks import NOT_CHECKED, OK, WARNING, WRONG, Finding

DRIFT_SECONDS = 5
MOST_DRIFT_SECONDS = 60  # a link dated further ahead is refused (see tokens.py)
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "afs", "ceph", "gluster", "lustre", "9p", "fuse.sshfs", "fuse.glusterfs")

SCHEMAS = {
    schema.State.AT_HEAD: (OK, "The schema is the one this code needs.", ""),
    schema.State.EMPTY: (WRONG, "The database has no tables yet", "run: flask db upgrade"),
    schema.State.BEHIND: (WRONG, "The schema is older than this code", "run: flask db upgrade"),
    schema.State.AHEAD: (
        WARNING,
        "The schema is newer than this code",
        "fine during a release; else deploy the newer code.",
    ),
}


def check() -> Iterator[Finding]:
    try:
        with db.engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
            connection.scalar(select(db_now()))
            yield Finding("database", OK, "The database answers.")
            state = schema.state_of(connection)
            yield Finding("schema", *SCHEMAS[state])
            yield _clock(connection)
    except SQLAlchemyError as error:
        yield Finding(
            "database", WRONG, f"The database cannot be used: {_reason(error)}", "check DATABASE_URL and the server."
        )
        return
    if db.engine.dialect.name == "sqlite":
        yield _file_system()
        if state in (schema.State.AT_HEAD, schema.State.AHEAD):
            yield _hosts()


def _reason(error: SQLAlchemyError) -> str:
    """The first line of what the driver says: it names hosts and users, and no password."""
    return str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]


def _clock(connection: Connection) -> Finding:
    if connection.dialect.name == "sqlite":
        return Finding("clock", OK, "SQLite takes the time from this machine.")
    before = datetime.now(UTC)
    theirs = connection.scalar(select(db_now()))
    after = datetime.now(UTC)
    assert theirs is not None  # noqa: S101 - for mypy # nosec B101
    drift = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0)
    if drift <= DRIFT_SECONDS:
        return Finding("clock", OK, "This machine and the database agree on the time.")
    level = WRONG if drift > MOST_DRIFT_SECONDS else WARNING
    what = f"The clocks of this machine and of the database differ by {drift:.0f} seconds"
    return Finding("clock", level, what, "let both machines take the time from NTP; links die early or late else.")


def _hosts() -> Finding:
    hosts = {worker.host for worker in live_workers()} | {platform.node()}
    if len(hosts) == 1:
        return Finding("hosts", OK, "Only this machine is seen to use the SQLite file.")
    what = f"The SQLite file is in use under several host names: {', '.join(sorted(hosts))}"
    return Finding("hosts", WARNING, what, "use PostgreSQL, unless these are containers on one machine.")


def _file_system() -> Finding:
    path = Path(make_url(str(db.engine.url)).database or ".").resolve()
    kind = file_system_of(path, Path("/proc/self/mounts"))
    if kind is None:
        return Finding("file system", NOT_CHECKED, "This system does not tell where the SQLite file lies.")
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        what = f"The SQLite file lies on a network file system ({kind}), where its locks cannot be relied upon"
        return Finding("file system", WRONG, what, "move it to a local disk, or use PostgreSQL.")
    return Finding("file system", OK, "The SQLite file lies on a local disk.")


def file_system_of(path: Path, mounts: Path) -> str | None:
    """Its kind, after the kernel's table of mounts; None where there is none (Linux only)."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    table = [(Path(where), kind) for _, where, kind, *_ in map(str.split, lines)]
    around = [(where, kind) for where, kind in table if path.is_relative_to(where)]
    return max(around, key=lambda mount: len(mount[0].parts), default=(None, None))[1]
