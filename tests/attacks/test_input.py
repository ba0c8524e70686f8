"""Attacks by input that no page of ours sends: repeated, mistyped, broken, oversized, and written for other parsers."""

import time
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from tests.attacks import raw
from tests.attacks.conftest import once
from tests.attacks.site import (
    FORMS,
    REGISTER,
    RESET,
    RESET_LINK,
    SIGN_IN,
    fresh_address,
)

EVIL = "attacker@evil.example"
SLOW = 5  # seconds; a refusal that takes longer has done work
MULTIPART = "Content-Type: multipart/form-data; boundary=frontier"


def refused(answer):
    return 400 <= answer.status_code < 500


def multipart(*parts):
    """Parts as (disposition, content)."""
    lines = [f"--frontier\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n" for head, content in parts]
    return "".join([*lines, "--frontier--\r\n"]).encode()


@pytest.mark.asvs("15.3.7", "2.2.3")
@pytest.mark.parametrize("path", [RESET, REGISTER])
def test_b69_a_repeated_address_is_refused_and_mailed_to_nobody(local, visitor, path):
    victim = local.account()
    visitor.get(path)
    token = ("csrf_token", visitor.csrf_token)
    bodies = [
        [token, ("email", victim), ("email", EVIL)],
        [token, ("email", EVIL), ("email", victim)],
        [token, ("email[]", victim), ("email[]", EVIL)],
        [token, ("email[0]", victim), ("email[1]", EVIL)],
        [token, token, ("email", victim)],
        [token, ("email", f"{victim},{EVIL}")],
        [token, ("email", f'["{victim}","{EVIL}"]')],
    ]
    for body in bodies:
        assert refused(visitor.client.post(path, data=body)), body
    assert local.mails_to(victim, EVIL) == []


@pytest.mark.asvs("15.3.7")
def test_b69_an_address_in_the_url_does_not_count(local, visitor):
    victim = local.account()
    visitor.get(RESET)
    fields = {"email": victim, "csrf_token": visitor.csrf_token}
    assert visitor.client.post(f"{RESET}?email={EVIL}&email={EVIL}", data=fields).status_code == 303
    assert [mail.recipients for mail in local.mails_to(victim, EVIL)] == [[victim]]


@once
@pytest.mark.asvs("15.3.7")
def test_b69_a_multipart_form_is_held_to_the_same(target, visitor):
    visitor.get(RESET)
    token = ('name="csrf_token"', visitor.csrf_token)
    address = ('name="email"', "victim@example.com")
    bodies = [
        multipart(token, address, ('name="email"', EVIL)),
        multipart(token, ('name="email"; filename="a.txt"', EVIL)),
        multipart(token, address, ('name="avatar"; filename="a.png"', "x")),
        multipart(*[token, address, *[(f'name="{number}"', "x") for number in range(1500)]])[:65_000],
    ]
    for body in bodies:
        request = raw.form_post(visitor, RESET, body).replace(raw.FORM.encode(), MULTIPART.encode())
        [answer] = raw.volley(target.url, [request])
        assert refused(answer)


JSON_BODIES = [
    '{"email": "victim@example.com"}',
    '{"email": ["victim@example.com", "attacker@evil.example"]}',
    '{"email": {"$ne": null}}',
    '{"email": 1}',
    '{"email": true}',
    '{"email": "\\ud800"}',
    '{"email": "\\u0000"}',
    '["victim@example.com", "attacker@evil.example"]',
    '"victim@example.com"',
    "true",
    "0",
    "null",
    "{",
    "[" * 5000,
    "",
]
OTHER_TYPES = ["application/json", "text/json", "application/vnd.api+json", "text/plain", "text/xml", "application/xml"]


@once
@pytest.mark.asvs("3.5.2", "15.3.5", "4.1.1")
@pytest.mark.parametrize("path", FORMS)
def test_b70_a_body_that_is_no_form_is_refused(target, visitor, path):
    visitor.get(path)
    form = urlencode(FORMS[path] | {"csrf_token": visitor.csrf_token})
    bodies = [(kind, body) for kind in OTHER_TYPES[:2] for body in JSON_BODIES] + [(kind, form) for kind in OTHER_TYPES]
    for kind, body in bodies:
        own = f"X-CSRFToken: {visitor.csrf_token}"
        request = raw.form_post(visitor, path, body.encode(), own)
        [answer] = raw.volley(target.url, [request.replace(raw.FORM.encode(), f"Content-Type: {kind}".encode())])
        assert answer.status_code in (400, 415), (kind, body)


LOOKALIKES = [
    "m\u0131ke",  # dotless i
    "mi\u212ae",  # Kelvin sign
    "\uff4dike",  # full-width m
    "mike\u200b",
    "mike\u0301",
    "m\u00edke",
    "\u043cike",  # Cyrillic
    "mi\u202eek",
]


@pytest.mark.asvs("1.1.1", "6.3.4")
def test_b71_an_address_that_looks_or_folds_like_another_gets_no_mail(local, visitor):
    stored = fresh_address().replace("person", "mike")
    local.account(email=stored)
    rest = stored.removeprefix("mike")
    typed = [f"{mike}{rest}" for mike in LOOKALIKES]
    typed += [stored.replace("example", "ex\u00e4mple"), stored.replace("example", "exam\u017fple")]
    for address in typed:
        visitor.fill(RESET, email=address)
    assert local.mails_to(stored) == []
    assert {recipient for mail in local.sink.mails for recipient in mail.recipients if not recipient.isascii()} == set()


@pytest.mark.asvs("1.1.1", "1.4.2")
def test_b71_another_way_to_type_the_domain_mails_to_the_stored_spelling(local, visitor):
    stored = local.account()
    number = stored.partition("@")[0]
    for typed in (f"{number}@\uff45xample.com", f"{number.upper()}@EXAMPLE.com", f" {stored} "):
        visitor.fill(RESET, email=typed)
    assert {tuple(mail.recipients) for mail in local.mails_to(stored)} == {(stored,)}


FIFTEEN = "".join(map(chr, range(0x1F400, 0x1F40F)))  # beyond 16 bits, each one code point
LONGEST = "Long pass phrase" * 64


@pytest.mark.asvs("6.2.9", "6.2.8")
@pytest.mark.parametrize(
    ("password", "status"),
    [("x" * 14, 422), (FIFTEEN, 303), (LONGEST, 303), (LONGEST + "e", 422)],
    ids=["14", "15 keys", "1024", "1025"],
)
def test_b76_passwords_of_15_to_1024_characters_are_taken_whole(local, visitor, alice, password, status):
    assert visitor.reset(f"{RESET_LINK}{local.reset_token(alice)}", password).status_code == status
    if status == 303:
        assert visitor.guess(alice, password[:-1]) == 422
        assert visitor.guess(alice, f"{password} ") == 422
        assert visitor.guess(alice, password) == 303


@once
@pytest.mark.asvs("15.2.2", "4.2.5")
@pytest.mark.parametrize("path", FORMS)
def test_b76_a_body_too_large_is_refused_at_once(target, visitor, path):
    visitor.get(path)
    begun = time.monotonic()
    fields = FORMS[path] | {"csrf_token": visitor.csrf_token}
    many = "&".join(f"{number}=" for number in range(100_000)).encode()
    long = urlencode(fields | {"password": "x" * 1_000_000}).encode()
    for body in (long, many, urlencode(fields).encode() + b"&a" * 30_000):
        [answer] = raw.volley(target.url, [raw.form_post(visitor, path, body)])
        assert answer.status_code in (400, 413, raw.HUNG_UP.status_code)
    assert time.monotonic() - begun < SLOW


@once
@pytest.mark.asvs("15.2.2")
@pytest.mark.parametrize("length", ["10485760", "99999999999999999999", "65537"])
def test_b76_a_body_announced_too_large_is_not_waited_for(target, length):
    begun = time.monotonic()
    answer = raw.send(target.url, f"POST {SIGN_IN}", raw.FORM, f"Content-Length: {length}")
    assert answer.status_code in (400, 413)
    assert time.monotonic() - begun < SLOW


@pytest.mark.asvs("15.2.2", "16.5.2")
def test_b76_bodies_that_never_end_hold_nobody_else_up(local):
    """Fewer than a process has threads; more of them are for the proxy in front, which reads whole requests first."""
    request = raw.request(local.url, f"POST {SIGN_IN}", raw.FORM, "Content-Length: 1000", body=b"email=")
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(raw.connect(local.url)).sendall(request)
        begun = time.monotonic()
        for _ in range(10):
            assert raw.send(local.url, f"GET {SIGN_IN}").status_code == 200
        assert time.monotonic() - begun < SLOW


SMUGGLING = [
    ["Content-Length: 5", "Content-Length: 6"],
    ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Content-Length: -5"],
    ["Content-Length: +5"],
    ["Content-Length: 0x5"],
    ["Transfer-Encoding: chunked, identity"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding : chunked"],
    ["Content-Length : 5"],
]


@once
@pytest.mark.asvs("4.2.1")
@pytest.mark.parametrize("headers", SMUGGLING, ids=" ".join)
def test_a_request_whose_end_is_in_doubt_is_refused(local, headers):
    answer = raw.send(local.url, f"POST {SIGN_IN}", raw.FORM, *headers, body=b"0\r\n\r\n")
    assert 400 <= answer.status_code < 502
    assert answer.status_code != 500


@once
@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "PUT", "DELETE", "PATCH", "PROPFIND", "get", "A" * 500]
)
def test_other_methods_are_refused(target, method):
    assert raw.send(target.url, f"{method} {SIGN_IN}").status_code in (400, 405, 501)


ADDRESSES = {
    "a" * 57 + "0000001@example.com": 303,
    "a" * 65 + "@example.com": 422,
    "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".com": 303,  # 254 characters
    "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".info": 422,
    "a" * 64 + "@" + ".".join(["b" * 60] * 4) + ".example.com": 422,
    "a@" + "b" * 64 + ".com": 422,
    "-dash@example.com": 303,
    "a@-example.com": 422,
    "a@example-.com": 422,
    ".a@example.com": 422,
    "a.@example.com": 422,
    "a..b@example.com": 422,
    '"a b"@example.com': 422,
    "a@[127.0.0.1]": 422,
    "a@[IPv6:::1]": 422,
    "a@127.0.0.1": 422,
    "a@localhost": 422,
    "a@example": 422,
    "a@@example.com": 422,
    "a@b\u00fccher.example": 303,
    "a@xn--80ak6aa92e.com": 303,
    "a@\u0430\u0440\u0440\u04cf\u0435.com": 303,
    "\u0430@example.com": 422,
    "a@xn--\u00fc.com": 422,
    "a" * 50_000 + "@example.com": 422,
}


@once
@pytest.mark.asvs("2.2.1", "1.2.9")
def test_b78_addresses_are_taken_or_refused_by_the_written_rule(target, visitor, other_visitor):
    answers = {}
    for number, address in enumerate(ADDRESSES):
        client = visitor if number % 2 else other_visitor
        answers[address] = client.fill(RESET, email=address).status_code
    assert answers == ADDRESSES


@once
@pytest.mark.asvs("1.2.1")
def test_b78_a_domain_that_looks_like_another_is_shown_in_ascii(target, visitor):
    for address in ("a@xn--80ak6aa92e.com", "a@\u0430\u0440\u0440\u04cf\u0435.com"):
        visitor.ask_for_reset(address)
        assert "a@xn--80ak6aa92e.com" in visitor.page.text
        assert "\u0430\u0440\u0440\u04cf\u0435" not in visitor.page.text
