"""Short lines for text parts, in scripts with spaces and without."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

import pytest

from app.email.wrap import width, wrap
from tests.letters import columns

CHINESE = "若您並未提出這項要求，一切照舊，您可以不理會這封郵件。" * 4


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("one two", ["one two"]),
        ("one  two three", ["one  two", "three"]),
        ("eight-ch three", ["eight-ch", "three"]),
        ("unbreakable word", ["unbreakable", "word"]),
        ("", [""]),
        ("a\n\nb c d e f g", ["a", "", "b c d e", "f g"]),
        ("https://example.com/a b c", ["https://example.com/a b c"]),
        ("see https://example.com/", ["see https://example.com/"]),
        ("-- ", ["-- "]),
        ("重設您的密碼", ["重設您的", "密碼"]),
        ("重設您的，密碼", ["重設您", "的，密碼"]),
        ("重設您「密碼」", ["重設您", "「密碼」"]),
        ("重設 Rekey", ["重設", "Rekey"]),
        ("重設Rekey密碼", ["重設", "Rekey密", "碼"]),
        ("e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301", ["e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301"]),
    ],
)
def test_lines_of_eight_columns(text, lines):
    assert wrap(text, columns=8).split("\n") == lines


def test_nothing_is_lost_and_no_line_is_long():
    wrapped = wrap(CHINESE)
    assert wrapped.replace("\n", "") == CHINESE
    assert len(wrapped.split("\n")) >= 3
    assert all(70 <= columns(line) <= 78 for line in wrapped.split("\n")[:-1])


def test_no_line_begins_with_what_closes_or_ends_with_what_opens():
    for size in range(4, 40):
        for line in wrap("他說：「您好！」（真的嗎？）……然後，走了。" * 3, columns=size).split("\n"):
            assert line[0] not in "：！」）？…，。"
            assert line[-1] not in "「（"


def test_a_family_stays_together():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert set(wrap(family * 20).replace("\n", family).split(family)) == {""}


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("密碼", 4), ("ｆ", 2), ("e\u0301", 1), ("a\u200db", 2)])
def test_columns_are_counted_as_a_terminal_does(text, columns):
    assert width(text) == columns
