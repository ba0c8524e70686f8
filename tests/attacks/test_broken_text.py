"""Attacks by text that is none: NUL, controls, broken UTF-8 and lone surrogates, wherever a request has text."""

from urllib.parse import quote

import pytest

from tests.attacks import raw
from tests.attacks.conftest import once
from tests.attacks.site import FORMS, RESET_LINK, SIGN_IN


def refused(answer):
    return 400 <= answer.status_code < 500


BROKEN = {  # as bytes, and as they are written in a URL
    "NUL": b"\x00",
    "escape": b"\x1b",
    "delete": b"\x7f",
    "no UTF-8": b"\xff\xfe",
    "cut UTF-8": b"\xe2\x82",
    "overlong": b"\xc0\xaf",
    "lone surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf5\x80\x80\x80",
}
PATHS = ["/", "/auth/", RESET_LINK, "/static/", "/auth/register/", "/nothing/"]


@once
@pytest.mark.asvs("1.1.1", "2.2.1")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_b74_b75_broken_text_in_a_path_or_a_query_is_refused(target, broken):
    written = quote(broken)
    lines = [f"GET {path}a{written}b" for path in PATHS]
    queries = (f"{written}=1", f"a=b{written}")  # in `next` it leads home: see test_b66
    lines += [f"GET {path}?{query}" for path in ("/", *FORMS) for query in queries]
    answers = {line: raw.send(target.url, line).status_code for line in lines}
    assert {line: status for line, status in answers.items() if not 400 <= status < 500} == {}


@once
@pytest.mark.asvs("1.1.1", "2.2.1")
@pytest.mark.parametrize("header", [b"User-Agent: a", b"Cookie: session=", b"Cookie: other=", b"Accept-Language: a"])
def test_b74_b75_broken_text_in_a_header_or_a_cookie_is_refused(target, header):
    answers = {name: raw.send(target.url, f"GET {SIGN_IN}", header + broken) for name, broken in BROKEN.items()}
    assert {name: answer.status_code for name, answer in answers.items() if not refused(answer)} == {}


def answers_to(visitor, path, broken):
    """A form with the broken text behind each of its fields in turn, and as the name of one more: the statuses."""
    visitor.get(path)
    whole = FORMS[path] | {"csrf_token": visitor.csrf_token, "submit": "x"}
    forms = [{name: value.encode() + broken * (name == field) for name, value in whole.items()} for field in whole]
    forms.append(whole | {broken: "1"})
    posts = [raw.form_post(visitor, path, form) for form in forms]
    return [answer.status_code for answer in raw.volley(visitor.client.url, posts)]


@once
@pytest.mark.asvs("1.1.1", "2.2.1")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", FORMS)
def test_b74_b75_broken_text_in_a_field_is_refused(visitor, path, broken):
    assert set(answers_to(visitor, path, broken)) <= {400, 422}


@pytest.mark.asvs("1.1.1", "2.2.1")
@pytest.mark.parametrize("path", FORMS)
def test_b74_nul_in_a_field_is_refused_whatever_the_database_thinks_of_it(visitor, path):
    assert set(answers_to(visitor, path, b"\x00")) <= {400, 422}


@pytest.mark.asvs("1.1.1")
@pytest.mark.parametrize("odd", ["\ufeff", "\uffff", "\ufdd0", "\U0010ffff", "\u0000", "\ufffd", "e\u0301" * 20])
def test_b75_odd_letters_in_a_new_password_break_nothing(local, visitor, alice, odd):
    password = f"{odd} and fifteen letters more"
    answer = visitor.reset(f"{RESET_LINK}{local.reset_token(alice)}", password)
    assert answer.status_code in (303, 400, 422)
    if answer.status_code == 303:
        assert visitor.guess(alice, password) == 303


BEHIND_A_LINK = {"a quotation mark": b"\xc2\xbb", "a control": b"\x01", "too much": b"/" + b"a" * 5000}


@pytest.mark.asvs("16.2.5", "16.4.1")
@pytest.mark.parametrize("behind", BEHIND_A_LINK.values(), ids=BEHIND_A_LINK)
def test_b100_a_live_link_with_something_broken_behind_it_is_not_logged(local, alice, behind):
    """Mail programs take a mark behind a link for part of it. The server refuses such a line before we see it."""
    token = local.reset_token(alice)
    path = f"{RESET_LINK}{token}".encode()
    assert refused(raw.send(local.url, b"GET " + path + behind))
    assert refused(raw.send(local.url, f"GET {SIGN_IN}", b"Referer: " + path + behind + b"\x00"))
    assert token not in local.log
    assert "\x01" not in local.log
