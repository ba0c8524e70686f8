"""All checks at once, each topic in a thread of its own: together they take as long as the slowest may."""

from collections.abc import Callable, Iterator
from threading import Thread
from time import monotonic

from flask import Flask, current_app
from sqlalchemy.exc import ProgrammingError

from app.database import DATABASE_AWAY
from app.doctor import database, delivery, files, mail_server, sender_domain, translations
from config_checks import NOT_CHECKED, UNSAFE, WRONG, Finding

BAD = (WRONG, UNSAFE)

Topic = Callable[[], Iterator[Finding]]
# With the seconds that each may take; what they ask has time-outs of its own, but for a database that hangs.
TOPICS: dict[str, tuple[Topic, float]] = {
    "files": (files.check, 10),
    "translations": (translations.check, 10),
    "database": (database.check, 15),
    "delivery": (delivery.check, 15),
    "mail server": (mail_server.check, 40),
    "sender's domain": (sender_domain.check, 40),
}


def examine() -> list[Finding]:
    """Every finding, in the order of the lists."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    looks = [_Look(app, name, *topic) for name, topic in TOPICS.items()]
    for look in looks:
        look.start()
    return [*app.config["FINDINGS"], *(finding for look in looks for finding in look.results())]


class _Look(Thread):
    """One topic. A daemon: what hangs must not keep the command from ending."""

    def __init__(self, app: Flask, topic: str, check: Topic, seconds: float) -> None:
        super().__init__(name=f"doctor: {topic}", daemon=True)
        self.app, self.topic, self.check = app, topic, check
        self.until = monotonic() + seconds
        self.found: list[Finding] = []

    def run(self) -> None:
        with self.app.app_context():
            try:
                for finding in self.check():
                    self.found.append(finding)
            except (*DATABASE_AWAY, ProgrammingError):
                self._add(NOT_CHECKED, "The database is away, or its tables are not those of this code.")
            except Exception as error:  # of ours; told by its name, for what it says may hold anything
                self._add(WRONG, f"The check itself failed: {type(error).__name__}.")

    def _add(self, level: str, what: str) -> None:
        self.found.append(Finding(self.topic, level, what))

    def results(self) -> list[Finding]:
        self.join(max(0, self.until - monotonic()))
        if self.is_alive():
            return [*self.found, Finding(self.topic, WRONG, "No answer in time", "see whether it hangs.")]
        return self.found
