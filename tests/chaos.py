"""The seeded random campaign against the outbox: `python -m tests.chaos --rounds 200 --seed 1 --database sqlite`.

Each round asks for reset links from several threads while the mail server, the workers and gunicorn come to harm. At
the end all is made well, the outbox is drained, and every request has to be accounted for. Exit status 1 if one is not.
"""

import argparse
import io
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from threading import Thread

import flask_migrate

from app import create_app
from app.auth.models import User
from app.auth.passwords import hash_password
from app.extensions import db
from config import Testing
from tests.chaos_report import Report, try_links
from tests.chaos_time import Leases
from tests.hurried import QUICK
from tests.postgres import private_server
from tests.promises import Promises, read_rows, row_id
from tests.servers import Program, Site, wait_for
from tests.smtp_script import ScriptedSmtp, hang_up, take_and_hang_up

KNOWN = [f"reader{number}@example.com" for number in range(40)]
UNKNOWN = [f"stranger{number}@example.com" for number in range(20)]
ASKERS = 4
WORKERS = 2


class Campaign:
    """A site with its mail server and workers, and what is done to them."""

    def __init__(self, url, directory, seed):
        self.random = random.Random(seed)
        self.stack = ExitStack()
        self.report = Report(seed=seed)
        self.app = create_app(type("Campaign", (Testing,), {"DATABASE_URL": url}))
        self.smtp = self.stack.enter_context(ScriptedSmtp())
        self.stack.enter_context(redirect_stdout(io.StringIO()))  # Site prints the output of every program
        self.site = self.stack.enter_context(Site(directory, DATABASE_URL=url, MAIL_PORT=self.smtp.port))
        self.site.settings |= {"MAIL_DELIVERY": "worker", "RATELIMIT_ENABLED": 0, "MAIL_TIMEOUT": 2}
        self.promises = Promises(self.app, self.site.url)
        self.leases = Leases(self.app, self.report)
        self.workers: list[Program] = []
        self.stopped: list[Program] = []

    def __enter__(self):
        with self.app.app_context():
            flask_migrate.upgrade()
            password = hash_password("correct horse battery staple")
            for address in KNOWN:
                User.create(address, "Reader", password)
            db.session.commit()
        self.start_web()
        self.start_workers()
        return self

    def __exit__(self, *exc_info):
        self.wake_all()
        self.stack.close()
        with self.app.app_context():
            db.engine.dispose()

    def start_web(self):
        self.web = self.site.start("--workers", "2")

    def start_workers(self):
        """Replace those that are dead. They need no time to get ready: the next round may begin without them."""
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        while len(self.workers) < WORKERS:
            self.workers.append(self.site.start_worker_unseen(**QUICK, RENEW_SECONDS=0.2))
            self.report.restarts += 1

    def round(self):
        """One mood of the mail server, one harmful deed, and requests meanwhile."""
        self.set_mood(self.random.choice(MOODS))
        deed = self.random.choice(DEEDS)
        moment = self.random.uniform(0, 0.4)
        addresses = [self.random.choice(KNOWN + UNKNOWN) for _ in range(self.random.randint(4, 30))]
        with ThreadPoolExecutor(ASKERS) as pool:
            answers = pool.map(self.promises.ask, addresses)
            time.sleep(moment)  # a deed comes at any moment
            deed(self)
            list(answers)
        self.wake_all()
        if self.web.process.poll() is not None:
            self.start_web()
            self.report.restarts += 1
        if self.random.random() < 0.7:
            self.start_workers()
        self.leases.let_time_pass()
        self.report.rounds += 1

    def set_mood(self, mood):
        self.smtp.script, self.smtp.byte_seconds = {}, 0
        if mood == "down":
            self.smtp.stop()
            return
        if self.smtp.stopping.is_set():
            self.smtp.start()
        self.smtp.byte_seconds = 0.003 if mood == "slow" else 0
        self.smtp.script = self.scripts().get(mood, {})

    def scripts(self):
        return {
            "451": {"DOT": [self.sometimes("451 4.3.0 later") for _ in range(50)]},
            "421": {self.random.choice(["CONNECT", "MAIL", "RCPT"]): ["421 4.3.2 shutting down"] * 5},
            "drops before the dot": {"BODY": [self.sometimes(hang_up) for _ in range(50)]},
            "drops after the dot": {"DOT": [self.take_and_hang_up] + [self.sometimes(self.take_and_hang_up)] * 5},
            "kills as it answers": {"DOT": [None] * self.random.randint(0, 3) + [self.take_and_kill]},
        }

    def sometimes(self, entry):
        return entry if self.random.random() < 0.5 else None

    def take_and_hang_up(self, dialogue):
        self.report.excuse([row_id(dialogue.mail)])
        take_and_hang_up(dialogue)

    def take_and_kill(self, dialogue):
        """Kill the worker that sends this mail when the 250 is on its way to it."""
        sender = next((worker for worker in self.workers if worker.owns_connection(dialogue.session)), None)
        if sender is not None:
            os.kill(sender.process.pid, signal.SIGSTOP)
            self.report.excuse([row_id(dialogue.mail)])
            Thread(target=self.kill, args=(sender,)).start()

    def kill(self, worker):
        worker.kill()
        self.report.kills += 1
        self.leases.abandon()

    def kill_a_worker(self):
        if self.workers:
            self.kill(self.random.choice(self.workers))

    def kill_all_workers(self):
        for worker in self.workers:
            if worker.process.poll() is None:
                self.kill(worker)

    def tell_a_worker_to_stop(self):
        if self.workers:
            self.random.choice(self.workers).process.terminate()
            self.report.terminations += 1

    def stop_a_worker_for_a_while(self):
        """A worker that stands still, as a machine does that is short of memory, until its leases have ended."""
        worker = self.random.choice(self.workers) if self.workers else None
        if worker and worker.process.poll() is None:
            os.kill(worker.process.pid, signal.SIGSTOP)
            self.stopped.append(worker)
            self.report.pauses += 1
            self.leases.abandon()
            time.sleep(self.random.uniform(0.3, 1.5))  # if it has the lock of SQLite, posts get 503s
            self.leases.let_time_pass()

    def wake_all(self):
        for worker in self.stopped:
            if worker.process.poll() is None:
                os.kill(worker.process.pid, signal.SIGCONT)
        self.stopped.clear()

    def kill_a_web_process(self):
        """gunicorn starts another one."""
        if children := self.web.children():
            os.kill(self.random.choice(children), signal.SIGKILL)
            self.report.kills += 1

    def kill_the_web_server(self):
        self.web.kill()
        self.report.kills += 1

    def restart_the_web_server(self):
        self.web.stop()
        self.report.terminations += 1

    def nothing(self):
        pass

    def finish(self):
        """Make all well, drain, and see who is missing."""
        self.set_mood("ok")
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.wait()
        self.leases.end_all()
        self.start_workers()
        wait_for(lambda: all(row.done_at for row in read_rows(self.app)), "the outbox to drain", 120)
        self.report.count(self.promises, self.smtp.mails, self.site)
        self.promises.check(self.smtp.mails)
        try_links(self)


MOODS = ["ok", "ok", "slow", "451", "421", "drops before the dot", "drops after the dot", "down", "kills as it answers"]
DEEDS = [
    Campaign.nothing,
    Campaign.kill_a_worker,
    Campaign.kill_all_workers,
    Campaign.tell_a_worker_to_stop,
    Campaign.stop_a_worker_for_a_while,
    Campaign.kill_a_web_process,
    Campaign.kill_the_web_server,
    Campaign.restart_the_web_server,
]


def run(url, directory, rounds, seed, progress=lambda report: None) -> Report:
    with Campaign(url, directory, seed) as campaign:
        for _ in range(rounds):
            campaign.round()
            progress(campaign.report)
        try:
            campaign.finish()
        except AssertionError:
            campaign.report.trouble = traceback.format_exc()
    return campaign.report


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos")))
        url = f"sqlite:///{directory}/rekey.db"
        if options.database == "postgresql":
            url = stack.enter_context(private_server()).url
        report = run(url, directory, options.rounds, options.seed, show_progress)
    print(f"{options.database}: {report}")
    sys.exit(0 if report.is_good else 1)


def show_progress(report):
    if sys.stderr.isatty():
        print(f"\rround {report.rounds} ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
