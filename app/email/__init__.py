"""The mail service: it knows messages, not users."""

from flask import Flask

from app.email.addresses import address_key, masked, parse_address
from app.email.by_hand import answer, requests
from app.email.catalogue import samples
from app.email.heartbeat import live_workers
from app.email.models import FIRST_LINK, LINK, NOTICE, OutboxMessage
from app.email.outbox import composes, enqueue, waiting
from app.email.purge import purges
from app.email.rehearsal import rehearse
from app.email.render import Draft, HeldBackError
from app.email.report import oldest_due_seconds, queue
from app.email.smtp import STEPS
from app.email.worker import start_in_server, stop_claiming_in_server, stop_in_server

__all__ = [
    "FIRST_LINK",
    "LINK",
    "NOTICE",
    "STEPS",
    "Draft",
    "HeldBackError",
    "OutboxMessage",
    "address_key",
    "answer",
    "composes",
    "enqueue",
    "init_app",
    "live_workers",
    "masked",
    "oldest_due_seconds",
    "parse_address",
    "purges",
    "queue",
    "rehearse",
    "requests",
    "samples",
    "start_in_server",
    "stop_claiming_in_server",
    "stop_in_server",
    "waiting",
]


def init_app(app: Flask) -> None:
    from app.email import cli, worker

    worker.init_app(app)
    app.register_blueprint(cli.bp)
    app.register_blueprint(cli.mail_bp)
    if app.config["DEV_MAILBOX"]:
        from app.email import mailbox  # needs aiosmtpd, which production does not install

        mailbox.init_app(app)
