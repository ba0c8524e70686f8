"""Whether the time of an answer tells who has an account: `python -m benchmarks.timing --pairs 400 --runs 3`.

Asks gunicorn, on SQLite and on PostgreSQL, for two kinds of address at a time, in random order over one kept
connection, and prints a Markdown table. AUC is how often the first kind takes longer than the second: 0.5 is a coin's
toss, and 0.45 to 0.55 over all runs is the goal. p is the chance that two equal kinds look as different (permutation of
the pairs). Rate limits are off; a machine with other work to do shows more noise, never less difference.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlencode, urlsplit

import flask_migrate
import pytest
from sqlalchemy import update

from app import create_app
from app.auth.models import User
from app.auth.passwords import hash_password
from app.database import db_now
from app.extensions import db
from config import Testing
from tests.browser import FormReader
from tests.postgres import private_server
from tests.servers import ROOT, Site, free_port

ADDRESSES = 100  # of each kind
WARM_UP = 20  # pairs
PERMUTATIONS = 5000
GOAL = 0.05  # of the AUC, either way from 0.5

# Kinds of address; the names are equally long.
KNOWN, UNKNOWN, DISABLED, EMPTY = "reader", "nobody", "closed", "hollow"


@dataclass(frozen=True)
class Case:
    """Two kinds of address that are to get the same answer in the same time."""

    title: str
    path: str
    first: str
    second: str
    status: int


CASES = [
    Case("sign-in, known and unknown", "/auth/login", KNOWN, UNKNOWN, 422),
    Case("sign-in, known and disabled", "/auth/login", KNOWN, DISABLED, 422),
    Case("sign-in, known and without password", "/auth/login", KNOWN, EMPTY, 422),
    Case("reset, known and unknown", "/auth/reset_password_request", KNOWN, UNKNOWN, 303),
    Case("register, known and unknown", "/auth/register", KNOWN, UNKNOWN, 303),
]
Sample = list[tuple[float, float]]  # seconds for the first and the second kind, pair by pair


class Asker:
    """One kept connection, with the cookie and the CSRF token of a form that was loaded before."""

    def __init__(self, url: str, path: str) -> None:
        self.path = path
        self.connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        self.fields = FormReader(answer.read().decode()).fields
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        self.headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}

    def ask(self, kind: str, status: int) -> float:
        """Seconds from sending the form to the end of the answer."""
        address = f"{kind}{random.randrange(ADDRESSES):03}@example.com"
        body = urlencode(self.fields | {"email": address, "password": "wrong, but long enough"})
        start = perf_counter()
        self.connection.request("POST", self.path, body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        seconds = perf_counter() - start
        assert answer.status == status, answer.status
        return seconds


def measure(url: str, case: Case, pairs: int) -> Sample:
    asker = Asker(url, case.path)
    return [one_pair(asker, case) for _ in range(WARM_UP + pairs)][WARM_UP:]


def one_pair(asker: Asker, case: Case) -> tuple[float, float]:
    kinds = [case.first, case.second]
    random.shuffle(kinds)
    seconds = {kind: asker.ask(kind, case.status) for kind in kinds}
    return seconds[case.first], seconds[case.second]


def ranks(sample: Sample) -> Sample:
    """The place of every time among all of them; equal ones share the mean of theirs."""
    times = sorted(seconds for pair in sample for seconds in pair)
    first, last = {}, {}
    for place, seconds in enumerate(times, 1):
        first.setdefault(seconds, place)
        last[seconds] = place
    mean = {seconds: (first[seconds] + last[seconds]) / 2 for seconds in first}
    return [(mean[one], mean[other]) for one, other in sample]


def area(sample: Sample) -> float:
    """How often a time of the first kind is longer than one of the second (Mann-Whitney)."""
    count = len(sample)
    return (sum(one for one, _ in ranks(sample)) - count * (count + 1) / 2) / count**2


def chance(sample: Sample) -> float:
    """How often the two look at least as different when the times of random pairs are swapped."""
    differences = [one - other for one, other in ranks(sample)]
    seen, count = abs(sum(differences)), 0
    for _ in range(PERMUTATIONS):
        swaps = random.getrandbits(len(differences))
        count += abs(sum(-d if swaps >> i & 1 else d for i, d in enumerate(differences))) >= seen
    return (count + 1) / (PERMUTATIONS + 1)


def row(title: str, run: str, sample: Sample) -> str:
    one, other = (1000 * median(times) for times in zip(*sample, strict=True))
    auc = area(sample)
    within = "" if abs(auc - 0.5) <= GOAL else " (!)"
    figures = f"{one:.2f} | {other:.2f} | {one - other:+.2f} | {100 * (one - other) / other:+.1f}"
    return f"| {title} | {run} | {figures} | {auc:.3f}{within} | {chance(sample):.3f} |"


def people(database: str) -> None:
    """Accounts of every kind."""
    app = create_app(type("Timing", (Testing,), {"DATABASE_URL": database}))
    with app.app_context():
        flask_migrate.upgrade()
        password_hash = hash_password("a password that nobody tries here")
        for kind in (KNOWN, DISABLED, EMPTY):
            for number in range(ADDRESSES):
                User.create(f"{kind}{number:03}@example.com", "Somebody", password_hash)
        db.session.execute(update(User).where(User.email.startswith(DISABLED)).values(disabled_at=db_now()))
        db.session.execute(update(User).where(User.email.startswith(EMPTY)).values(password_hash=None))
        db.session.commit()
        db.engine.dispose()


@contextmanager
def site(database: str, delivery: str) -> Iterator[Site]:
    people(database)
    port = free_port()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = subprocess.Popen([sys.executable, "-m", "benchmarks.sink", str(port)], cwd=ROOT)
        stack.callback(sink.kill)
        stack.enter_context(redirect_stdout(StringIO()))  # Site prints the log when it ends
        site = stack.enter_context(Site(directory, DATABASE_URL=database, MAIL_PORT=port, MAIL_DELIVERY=delivery))
        site.settings["RATELIMIT_ENABLED"] = 0
        site.start()
        yield site


def report(name: str, database: str, options: argparse.Namespace) -> None:
    with site(database, options.delivery) as running:
        samples = [[measure(running.url, case, options.pairs) for case in CASES] for _ in range(options.runs)]
    print(f"\n{name}: {options.runs} runs of {options.pairs} pairs, mail by {options.delivery}; milliseconds\n")
    print("| case | run | first | second | difference | % | AUC | p |\n|---|---|---|---|---|---|---|---|")
    for case, runs in zip(CASES, zip(*samples, strict=True), strict=True):
        for number, sample in enumerate(runs, 1):
            print(row(case.title, str(number), sample))
        print(row(case.title, "all", [pair for sample in runs for pair in sample]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--delivery", choices=["thread", "worker"], default="worker", help="MAIL_DELIVERY of the site")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        report("SQLite", f"sqlite:///{directory}/rekey.db", options)
    try:
        with private_server() as server:
            report("PostgreSQL", server.url, options)
    except pytest.skip.Exception as reason:
        print(f"\n{reason}")


if __name__ == "__main__":
    main()
