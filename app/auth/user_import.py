"""Accounts from a CSV file of another system, read line by line: a million of them fit into little memory.

A record is a line: no value that we would take holds a line break. So a quotation mark that is never closed costs one
line, and every reason has the line's own number.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOWrapper
from itertools import count, islice
from typing import Any, BinaryIO

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from app.auth.forms import name_problem
from app.auth.models import EmailChange, User
from app.auth.passwords import is_known_hash
from app.database import utcnow
from app.email import address_key, parse_address
from app.extensions import db

COLUMNS = ("email", "name", "password_hash", "created_at")
LONGEST_LINE = 4096  # characters; of a file that is no CSV, no more than that is in memory at once
LONGEST_ADDRESS = 254
LONGEST_HASH = 255
BATCH = 1000  # lines that are inserted at once, in one short transaction

# What most addresses look like. No capitals: parse_address spells some names of mailboxes its own way.
PLAIN_ADDRESS = re.compile(r"([a-z0-9_+-]{1,64}(?:\.[a-z0-9_+-]{1,64}){0,9})@([A-Za-z0-9.-]+)")
AS_A_NAME = str.maketrans("./", " -")  # else a mail program may make a link of it: see forms.LIKE_A_LINK

Row = dict[str, Any]


@dataclass(frozen=True)
class BadLine:
    """A line that is left out, and why. The reason holds no hash, whichever column it stood in."""

    number: int
    reason: str


@dataclass(frozen=True)
class Batch:
    """What became of some lines: accounts that are new, addresses that had one, lines that are bad."""

    new: int
    skipped: int
    bad: list[BadLine]

    @property
    def lines(self) -> int:
        return self.new + self.skipped + len(self.bad)


class HeaderError(ValueError):
    """The first line does not name the columns."""


def load(file: BinaryIO, *, dry_run: bool = False) -> Iterator[Batch]:
    """Add the accounts in a CSV file, some at a time, each time for the caller to commit. Raises HeaderError."""
    records = read(file)
    while batch := list(islice(records, BATCH)):
        rows = [record for record in batch if not isinstance(record, BadLine)]
        kept = EmailChange.kept_keys([row["email_key"] for row in rows])
        free = [row for row in rows if row["email_key"] not in kept]
        new = count_new(free) if dry_run else insert(free)
        yield Batch(new, len(rows) - new, [record for record in batch if isinstance(record, BadLine)])


def read(file: BinaryIO) -> Iterator[Row | BadLine]:
    """Each line of a CSV file as values for `users`, or as a BadLine. Raises HeaderError."""
    lines = _lines(file)
    columns = _columns(next(lines, (1, ""))[1])
    seen: set[int] = set()  # hashes of strings, which are keyed: of a million addresses, two agree once in 10**7 files
    for number, line in lines:
        try:
            if line is None or line.strip():
                row = _row(columns, _fields(line))
                _refuse_repeated(row["email_key"], seen)
                yield row
        except ValueError as error:
            yield BadLine(number, str(error))


def insert(rows: Sequence[Row]) -> int:
    """Add accounts to the transaction and say how many; those with an address that has one stay as they are."""
    if not rows:
        return 0
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    new = insert(User).on_conflict_do_nothing(index_elements=["email_key"]).returning(User.id)
    # In one order, whatever the file's: two imports at once would wait for each other.
    ordered = sorted(rows, key=lambda row: row["email_key"])
    return len(db.session.connection().execute(new, ordered).all())


def count_new(rows: Iterable[Row]) -> int:
    """How many of the addresses have no account yet."""
    keys = [row["email_key"] for row in rows]
    with db.engine.connect().execution_options(sqlite_begin="DEFERRED") as reader:
        known = reader.scalar(select(func.count()).select_from(User).where(User.email_key.in_(keys)))
    return len(keys) - (known or 0)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str | None]]:
    """Each line with its number; None for one that is too long."""
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
    try:
        for number in count(1):
            line = text.readline(LONGEST_LINE)
            if not line:
                return
            yield number, line if len(line) < LONGEST_LINE else None
            while len(line) == LONGEST_LINE and not line.endswith("\n"):
                line = text.readline(LONGEST_LINE)
    finally:
        with suppress(ValueError):  # the file is closed
            text.detach()  # or it would close a file that is not ours


def _columns(line: str | None) -> list[str]:
    try:
        columns = [name.lower() for name in _fields(line)]
    except ValueError as error:
        raise HeaderError(str(error)) from None
    for place, name in enumerate(columns, 1):
        if name not in COLUMNS:  # not shown: where the header is missing, it may be a hash
            raise HeaderError(f"the name of column {place} is none of {', '.join(COLUMNS)}; commas separate columns")
        if columns.index(name) != place - 1:
            raise HeaderError(f"there are two columns {name}")
    if "email" not in columns:
        raise HeaderError("it is to name the columns, and one of them is email")
    return columns


def _fields(line: str | None) -> list[str]:
    if line is None:
        raise ValueError(f"too long: {LONGEST_LINE} characters or more")
    if "\0" in line:
        raise ValueError("a NUL character")
    if not line.isascii() and any("\ud800" <= letter <= "\udfff" for letter in line):
        raise ValueError("not in UTF-8")
    try:
        return [field.strip() for field in next(csv.reader([line], strict=True), [])]
    except csv.Error:
        raise ValueError("quotation marks that do not match, or a line break between them") from None


def _row(columns: Sequence[str], fields: Sequence[str]) -> Row:
    """Values for `users`. Raises ValueError with what is wrong."""
    if len(fields) != len(columns):
        raise ValueError(f"columns: {len(fields)} instead of {len(columns)}")
    values = dict(zip(columns, fields, strict=True))
    email = _address(values["email"])
    return {
        "email": email,
        "email_key": address_key(email),
        "name": _name(values.get("name") or email.partition("@")[0].translate(AS_A_NAME)),
        "password_hash": _hash(values.get("password_hash")),
        "created_at": _moment(values.get("created_at")),
    }


def _address(text: str) -> str:
    """The same as parse_address, and several times as fast where the address is a plain one."""
    if len(text) > LONGEST_ADDRESS:
        raise ValueError(f"email: longer than {LONGEST_ADDRESS} characters")
    found = PLAIN_ADDRESS.fullmatch(text)
    try:
        # "--" marks an international domain, whose length counts in more ways than one.
        if found is None or len(found[1]) > 64 or "--" in found[2]:
            return parse_address(text)
        return f"{found[1]}@{_domain(found[2])}"
    except ValueError as error:
        raise ValueError(f"email: {error}") from error


@lru_cache(maxsize=10_000)
def _domain(domain: str) -> str:
    return parse_address(f"x@{domain}")[2:]


def _name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(f"name: {problem}")
    return name


def _hash(text: str | None) -> str | None:
    if text and (len(text) > LONGEST_HASH or not is_known_hash(text)):
        raise ValueError("password_hash: of no kind that can be checked here")
    return text or None


def _moment(text: str | None) -> datetime:
    """A date and time of ISO 8601; without zone, in UTC."""
    if not text:
        return utcnow()
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("created_at: no date like 2026-11-20T12:00:00Z") from None


def _refuse_repeated(key: str, seen: set[int]) -> None:
    if hash(key) in seen:
        raise ValueError(f"email: {key} is on an earlier line too")
    seen.add(hash(key))
