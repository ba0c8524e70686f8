"""What SpamAssassin says of mails: offline, without memory, and all of them in one process."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from email import message_from_bytes, policy

import pytest

PROGRAM = shutil.which("spamassassin")
needs_spamassassin = pytest.mark.skipif(PROGRAM is None, reason="spamassassin is not installed")

MOST = 1.0  # points; a mail is spam at 5
SEPARATOR = b"From MAILER-DAEMON Fri Nov 20 12:00:00 2026\n"

# What the recipient's server puts on top, without which the program cannot tell how a mail came and tries fewer rules.
# The address was example.com's: one that is kept for documentation costs 1.3 points (RCVD_ILLEGAL_IP). It asks nobody.
RECEIVED = (
    b"Received: from mail.rekey.example (mail.rekey.example [93.184.216.34])\n"
    b"\tby mx.example.com (Postfix) with ESMTPS id 4D2F81A2\n"
    b"\tfor <ann@example.com>; %s\n"
)


@dataclass(frozen=True)
class Verdict:
    score: float
    rules: str


def judge(sources: list[bytes], directory) -> dict[str, Verdict]:
    """The verdict on each mail, by its Message-ID; what the program keeps goes into the directory."""
    command = [PROGRAM, "--local", "--nocreate-prefs", "--cf=use_bayes 0", "--mbox"]
    box = b"".join(SEPARATOR + _received(source) + b"\n" for source in sources)
    environment = {**os.environ, "HOME": str(directory)}
    judged = subprocess.run(command, input=box, env=environment, capture_output=True, timeout=300, check=True)
    verdicts = dict(map(_verdict, judged.stdout.split(SEPARATOR)[1:]))
    assert len(verdicts) == len(sources)
    return verdicts


def _received(source: bytes) -> bytes:
    date = re.search(rb"^Date: (.*)\r$", source, re.MULTILINE).group(1)
    return RECEIVED % date + source.replace(b"\r\n", b"\n")


def _verdict(source: bytes) -> tuple[str, Verdict]:
    message = message_from_bytes(source, policy=policy.default)
    score, rules = re.match(
        r"\w+, score=(-?[\d.]+) .*?tests=(.*?) autolearn", " ".join(message["X-Spam-Status"].split())
    ).groups()
    return message["Message-ID"], Verdict(float(score), rules)
