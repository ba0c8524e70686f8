"""`python -m tests.hurried NAME=SECONDS ... outbox work`: the `flask` command, with other pauses than the usual.

For tests that would else wait for minutes. The names are those of constants in app.email.outbox and app.email.worker.
"""

import sys
from contextlib import contextmanager

from flask.cli import main

from app.email import outbox, worker
from tests.servers import Site

QUICK = {
    "POLL_SECONDS": 0.05,
    "FIRST_RETRY_SECONDS": 0.05,
    "LAST_RETRY_SECONDS": 0.05,
    "LONGEST_REST": 0.1,
    "TROUBLE_SECONDS": 0.1,
}


@contextmanager
def site_with_worker(app, directory, smtp, worker_settings, **pauses):
    """gunicorn and one quick worker, on the database of `app`; `pauses` are the worker's own."""
    with Site(directory, DATABASE_URL=app.config["DATABASE_URL"], MAIL_PORT=smtp.port) as site:
        site.settings |= {"MAIL_DELIVERY": "worker", "RATELIMIT_ENABLED": 0, "MAIL_TIMEOUT": 1}
        site.start()
        site.settings |= worker_settings
        site.start_worker(**QUICK, **pauses)
        yield site


def set_pause(assignment):
    name, _, seconds = assignment.partition("=")
    [module] = [module for module in (outbox, worker) if hasattr(module, name)]
    setattr(module, name, float(seconds))


if __name__ == "__main__":
    while "=" in sys.argv[1]:
        set_pause(sys.argv.pop(1))
    main()
