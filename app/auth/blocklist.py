"""What an attacker tries first: the list of common passwords, and what is left of one when everything obvious is gone.

The list is made by scripts/make_blocklist.py, which names its sources and their licences.
"""

import gzip
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

COMMON_PASSWORDS = Path(__file__).with_name("common_passwords.txt.gz")

# Ways to go along a keyboard or to count, to be read in both directions.
LINES = (
    *("01234567890123456789", "abcdefghijklmnopqrstuvwxyzabc", "a1b2c3d4e5f6g7h8i9j0", "1a2b3c4d5e6f7g8h9i0j"),
    *("qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-", "!@#$%^&*()_+"),
    *("azertyuiop", "qsdfghjklm", "wxcvbn", "00112233445566778899", "aabbccddeeffgghh"),
    *("1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.", "qazwsxedcrfvtgbyhnujmikolp", "1qazxsw23edcvfr45tgbnhy67ujm"),
    *("1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "1qa2ws3ed4rf5tg6yh7uj8ik9ol"),
)
STEPS = {way[i : i + 3] for line in LINES for way in (line, line[::-1]) for i in range(len(way) - 2)}
REPEATS = re.compile(r"(.)\1\1+|(.{2,16}?)\2+", re.DOTALL)  # bounded, so that 1024 characters take a millisecond or two
YEARS = re.compile(r"(?:19|20)[0-9]{2}")
WORDS = re.compile(r"[^\W_]{3,}")
ROUNDS = 3  # what goes may bring together what was apart; a fixed number, or a hostile password would keep us busy


def is_common(password: str) -> bool:
    """Whether the list has this password, in whatever case, as a whole (NIST SP 800-63B-4, 3.1.1.2)."""
    return password.casefold() in _common_passwords()


@lru_cache(maxsize=1)
def _common_passwords() -> frozenset[str]:
    _, _, entries = gzip.decompress(COMMON_PASSWORDS.read_bytes()).decode().partition("\n\n")
    return frozenset(entries.splitlines())


def what_is_left(password: str, about: Iterable[str] = ()) -> str:
    """The password without what can be guessed: repeats but for the first, runs on the keyboard or of letters and
    digits, years, and the words (of three letters and more) of `about`."""
    left = password.casefold()
    words = {word for text in about for word in WORDS.findall(text.casefold())}
    for _ in range(ROUNDS):
        left = _without(words, left)
        left = REPEATS.sub(r"\1\2", left)
        left = _without_runs(YEARS.sub("", left))
    return left


def _without(words: Iterable[str], text: str) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "", text)


def _without_runs(text: str) -> str:
    """Leave out every character that is one of three in a row along a line."""
    in_run = {i + step for i in range(len(text) - 2) if text[i : i + 3] in STEPS for step in range(3)}
    return "".join(letter for i, letter in enumerate(text) if i not in in_run)
