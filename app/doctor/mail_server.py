"""The mail server: each step of the way to it, up to the sender. No mail is sent."""

from collections.abc import Iterator

from flask import current_app

from app.email import STEPS, rehearse
from config_checks import LOOPBACK, NOT_CHECKED, OK, WARNING, WRONG, Finding

WELL = {
    "name": "The name of the mail server resolves.",
    "connection": "The mail server answers.",
    "TLS": "The mail server speaks TLS.",
    "certificate": "The certificate of the mail server is trusted.",
    "login": "The login is accepted.",
    "sender": "The sender is accepted.",
}


def check() -> Iterator[Finding]:
    config = current_app.config
    if config["MAIL_DELIVERY"] == "off":
        yield Finding("mail server", OK, "MAIL_DELIVERY is off: none is needed.")
        return
    if not config["MAIL_SERVER"]:
        yield Finding("mail server", OK, "Mail goes to the mailbox of development.")
        return
    told = rehearse()
    for step in STEPS:
        name = f"mail: {step}"
        if step not in told:
            yield Finding(name, NOT_CHECKED, "Not reached.")
        elif words := told[step]:
            yield Finding(name, WRONG, *_sentence_and_fix(words))
        else:
            yield _well(name, step)


def _sentence_and_fix(words: str) -> tuple[str, str]:
    """Diagnoses begin with what is wrong, and most end with a setting to check."""
    what, mark, fix = words.partition(". Check ")
    return (f"{what}.", f"Check {fix}") if mark else (words, "")


def _well(name: str, step: str) -> Finding:
    config = current_app.config
    if step in ("TLS", "certificate") and not (config["MAIL_USE_TLS"] or config["MAIL_USE_SSL"]):
        level = OK if config["MAIL_SERVER"] in LOOPBACK else WARNING
        return Finding(name, level, "The settings ask for no TLS.")
    if step == "login" and not config["MAIL_USERNAME"]:
        return Finding(name, OK, "The settings ask for no login.")
    return Finding(name, OK, WELL[step])
