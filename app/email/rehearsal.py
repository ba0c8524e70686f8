"""The way to the mail server, step by step, without a mail."""

from threading import Thread

from flask import Flask, current_app

from app.email.diagnosis import explain, step_of
from app.email.smtp import STEPS, Connection

SECONDS = 30  # for all steps together; each has MAIL_TIMEOUT


def rehearse() -> dict[str, str | None]:
    """What goes wrong at each of STEPS, in words; None for one that goes well. The steps after the first that fails
    are missing."""
    config = current_app.config
    if current_app.extensions["mail"].suppress or not config["MAIL_SERVER"]:
        return {}
    rehearsal = _Rehearsal(current_app._get_current_object())  # type: ignore[attr-defined]
    rehearsal.start()
    rehearsal.join(SECONDS)
    is_late = rehearsal.is_alive()  # looked at before hanging up, of which it would die with other words
    failed_at, words = rehearsal.failed_at, rehearsal.words
    if is_late:
        failed_at = rehearsal.connection.step or STEPS[0]
        words = f"{config['MAIL_SERVER']} took longer than {SECONDS} seconds. Check MAIL_SERVER and MAIL_PORT."
    rehearsal.connection.abort()
    if failed_at is None:
        return dict.fromkeys(STEPS)
    return dict.fromkeys(STEPS[: STEPS.index(failed_at)]) | {failed_at: words}


class _Rehearsal(Thread):
    """In a thread, because a name server may take its time, and a mail server send its answer byte by byte."""

    def __init__(self, app: Flask) -> None:
        super().__init__(name="rehearsal", daemon=True)
        self.app = app
        self.connection = Connection()
        self.failed_at: str | None = None
        self.words = ""

    def run(self) -> None:
        with self.app.app_context():
            try:
                with self.connection:
                    self.connection.rehearse()
            except Exception as error:
                self.failed_at, self.words = step_of(error, self.connection.step), explain(error)
