"""Attacks by input that is written for other parsers: SQL, shells, templates, HTML."""

import time
from urllib.parse import quote

import pytest

from tests.attacks import raw
from tests.attacks.conftest import once
from tests.attacks.site import PASSWORD, RESET, RESET_LINK, SIGN_IN

SLOW = 5  # seconds; whatever takes longer was run

INJECTIONS = [
    "' OR '1'='1",
    "' OR 1=1--",
    "'; SELECT pg_sleep(20)--",
    "' AND 1=randomblob(900000000)--",
    "1; DROP TABLE users",
    "\\' OR 1=1#",
    '{"$gt": ""}',
    "*)(uid=*))(|(uid=*",
    "{{7*7}}",
    "{{config}}",
    "${7*7}",
    "<%= 7*7 %>",
    "#{7*7}",
    "%(secret)s",
    "{0.__class__.__mro__}",
    "$(sleep 20)",
    "`sleep 20`",
    "| sleep 20",
    "() { :;}; sleep 20",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "<!--#exec cmd='id'-->",
    "=cmd|'/c calc'!A1",
]


@pytest.mark.asvs("1.2.4", "1.2.5", "1.3.2", "1.3.7")
def test_b79_nothing_that_is_typed_is_run(target):
    for payload in INJECTIONS:
        visitor, begun = target.visitor(), time.monotonic()
        email = payload if "@" in payload else f"{payload}@example.com"
        pages = [visitor.fill(RESET, email=payload), visitor.fill(RESET, email=email)]
        pages.append(visitor.fill(SIGN_IN, email="'or'1'='1@example.com", password=payload * 2))
        pages.append(visitor.client.get(f"{RESET_LINK}{quote(payload, safe='')}"))
        pages.append(visitor.client.get(f"{SIGN_IN}?next={quote(payload)}"))
        pages.append(raw.send(target.url, "GET /", f"User-Agent: {payload}", f"Accept-Language: {payload}"))
        assert time.monotonic() - begun < SLOW, payload
        for page in pages:
            assert page.status_code < 500, payload
            assert not [sign for sign in (">49<", "root:x:", "SECRET_KEY") if sign in page.text]


SCRIPTS = ['"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "</title><b>"]


@once
@pytest.mark.asvs("1.2.1", "3.2.2")
@pytest.mark.parametrize("script", SCRIPTS)
def test_b81_nothing_that_is_typed_becomes_markup(target, visitor, script):
    visitor.fill(RESET, email=script)
    pages = [visitor.page, visitor.fill(SIGN_IN, email=script, password=script)]
    pages += [
        visitor.client.get(f"{path}{quote(script)}") for path in (RESET_LINK, "/", f"{SIGN_IN}?next=", "/static/")
    ]
    pages.append(raw.send(target.url, "GET /", f"User-Agent: {script}", f"Referer: http://a/{script}"))
    for page in pages:
        assert script not in page.text
        assert not [tag for tag in ("<script>", "<img src=x", "<svg/", "</title><b>") if tag in page.text]


@pytest.mark.asvs("1.2.1")
@pytest.mark.parametrize("name", ["<b>Bob</b>", '"><img src=x>', "{{7*7}}", "Bob & <i>Eve"])
def test_b81_a_name_is_shown_as_it_was_typed(local, visitor, name):
    email = local.account(name)
    visitor.sign_in(email, PASSWORD)
    text = visitor.get("/").text
    assert name not in text or name == "{{7*7}}"
    assert "Hello" in text
    assert not [mark for mark in ("<b>Bob", "<img src=x", "Hello 49", "<i>Eve") if mark in text]
