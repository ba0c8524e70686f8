"""Short lines for a text part, in any script.

A simple form of Unicode's line breaking (UAX 14): after spaces, and beside letters two columns wide, as Chinese has
them, where there are no spaces. Nothing else is cut, a link least of all.
"""

import re
from itertools import pairwise
from unicodedata import category, east_asian_width

COLUMNS = 78  # RFC 5322, 2.1.1

ENDS_NO_LINE = {"Ps", "Pi"}  # opening brackets and quotes
BEGINS_NO_LINE = {"Pe", "Pf", "Po", "Pd", "Mn", "Mc", "Me", "Cf"}  # what closes, and what belongs to the letter before


def wrap(text: str, columns: int = COLUMNS) -> str:
    """Break the lines that are longer than so many columns, but for those that hold a link."""
    return "\n".join(line if _fits(line, columns) else _wrapped(line, columns) for line in text.split("\n"))


def width(text: str) -> int:
    """Columns on a terminal: an ideograph takes two, a mark on another letter none."""
    return len(text) if text.isascii() else sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if _is_wide(letter) else 1


def _is_wide(letter: str) -> bool:
    return east_asian_width(letter) in "WF"


def _fits(line: str, columns: int) -> bool:
    return "://" in line or width(line) <= columns


def _wrapped(line: str, columns: int) -> str:
    lines = [""]
    for piece in _pieces(line):
        if lines[-1] and width(lines[-1] + piece.rstrip()) > columns:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _pieces(line: str) -> list[str]:
    """What is not to be cut, with the spaces after it."""
    words = re.findall(r" *[^ ]+ *|^ +$", line)
    return [piece for word in words for piece in ([word] if word.isascii() else _cut(word))]


def _cut(word: str) -> list[str]:
    pieces = [word[:1]]
    for before, after in pairwise(word):
        if _may_break(before, after):
            pieces.append(after)
        else:
            pieces[-1] += after
    return pieces


def _may_break(before: str, after: str) -> bool:
    beside_wide = _is_wide(before) or _is_wide(after)
    joined = category(before) in {*ENDS_NO_LINE, "Cf"} or category(after) in {*BEGINS_NO_LINE, "Zs"}
    return beside_wide and not joined
