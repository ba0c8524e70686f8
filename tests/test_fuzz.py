"""Random and hostile input against the small functions that everything else trusts.

The suite tries the same few hundred inputs every time; `FUZZ=20000 pytest tests/test_fuzz.py` tries so many new ones.
"""

import os
import re
import time
from base64 import b64encode
from hashlib import pbkdf2_hmac, scrypt, sha256
from unicodedata import normalize

import bcrypt
import pytest
from argon2 import PasswordHasher
from flask import redirect
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from itsdangerous import BadData
from werkzeug.security import generate_password_hash

from app import create_app
from app.auth import tokens
from app.auth.password_hashes import read
from app.auth.passwords import verify_password
from app.email import address_key, parse_address
from app.security import BROWSERS, SYSTEMS, client, safe_next
from tests.whatwg import origin

EXAMPLES = int(os.environ.get("FUZZ", "0"))


def fuzz(examples, *, derandomize=not EXAMPLES):
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )


any_text = st.text(st.characters())  # lone surrogates and all


def mutations_of(texts, alphabet):
    """One of the texts with one to three places replaced, removed, doubled or inserted."""
    edits = st.tuples(st.integers(0, 999), st.sampled_from(["replace", "remove", "double", "insert", "cut"]), alphabet)
    return st.builds(mutated, texts, st.lists(edits, min_size=1, max_size=3))


def mutated(text, edits):
    for place, how, letter in edits:
        place %= len(text) + 1
        head, here, tail = text[:place], text[place : place + 1], text[place + 1 :]
        text = {
            "replace": head + letter + tail,
            "remove": head + tail,
            "double": head + here + here + tail,
            "insert": head + letter + here + tail,
            "cut": head,
        }[how]
    return text


@pytest.fixture(scope="module")
def app():
    return create_app("testing")


@pytest.fixture(scope="module", autouse=True)
def context(app):
    with app.app_context() as context:
        yield context


# Tokens

purposes = st.sampled_from(sorted(tokens.PURPOSES))
payloads = st.text("abcXYZ019-_", max_size=40) | st.text("a", max_size=300)  # a long one is sent compressed
token_letters = st.sampled_from("ABab01-_=.+/ \r\n\0é\ud800") | st.characters()


@pytest.mark.asvs("9.2.2")
@fuzz(200)
@given(purposes, payloads)
def test_every_token_gives_its_payload_back_to_its_own_purpose_only(purpose, payload):
    token = tokens.issue(purpose, payload)
    assert tokens.redeem(purpose, token) == payload
    for other in tokens.PURPOSES.keys() - {purpose}:
        with pytest.raises(BadData):
            tokens.redeem(other, token)


@pytest.mark.asvs("11.2.5", "6.6.3")
@fuzz(200)
@given(purposes, any_text | st.text("Aa0-_.", min_size=1, max_size=600))
def test_no_text_is_a_token_and_none_is_an_error(purpose, text):
    with pytest.raises(BadData):
        tokens.redeem(purpose, text)


@pytest.mark.asvs("9.1.1", "6.6.3")
@fuzz(500)
@given(purposes, payloads, st.data())
def test_a_changed_token_is_none(purpose, payload, data):
    token = tokens.issue(purpose, payload)
    changed = data.draw(mutations_of(st.just(token), token_letters))
    assume(changed != token)
    with pytest.raises(BadData):
        tokens.redeem(purpose, changed)


@fuzz(200)
@given(purposes, payloads, payloads, st.data())
def test_parts_of_two_tokens_make_no_third(purpose, first, second, data):
    one, two = (tokens.issue(purpose, payload, life) for payload, life in ((first, 100), (second, 200)))
    mixed = ".".join(data.draw(st.sampled_from(pair)) for pair in zip(one.split("."), two.split("."), strict=False))
    assume(mixed not in (one, two))
    with pytest.raises(BadData):
        tokens.redeem(purpose, mixed)


# Addresses

ADDRESSES = ["ann@example.com", "O'Neil+x@Example.COM", "a.b-c@xn--bcher-kva.example", "x@bücher.example", '"a b"@c.de']
address_letters = (
    st.sampled_from("@.\"'\\ \t\r\n\0<>(),;:=?%!-+_\u0131\u017fK\u00e9\uff21\u202e\u00ad\ufeff\ud800") | st.characters()
)
short_addresses = st.from_regex(r"[aAbB.]{1,2}@[aA]\.[bB]c", fullmatch=True)
typed = any_text | mutations_of(st.sampled_from(ADDRESSES), address_letters)


def parsed(text):
    try:
        return parse_address(text)
    except ValueError:
        return None


@pytest.mark.asvs("1.1.1", "1.3.3", "1.3.11", "1.5.3")
@fuzz(600)
@given(typed)
def test_an_accepted_address_is_ascii_without_controls_and_stays_as_it_is(text):
    address = parsed(text)
    if address is None:
        return
    local, _, domain = address.rpartition("@")
    assert address.isascii()
    assert address.isprintable()
    assert re.fullmatch(r"[^\s@<>(),;:\\\"]{1,64}", local)
    assert re.fullmatch(r"[a-z0-9.-]{1,253}", domain)
    assert not address.startswith("=?")
    assert parse_address(address) == address


@pytest.mark.asvs("1.1.1")
@fuzz(300)
@given(short_addresses | typed, short_addresses | typed)
@example("Ann@example.com", "aNN@EXAMPLE.com")
@example("k@example.com", "\u212a@example.com")
@example("\u0131@example.com", "i@example.com")
def test_two_addresses_share_a_key_when_they_differ_in_the_case_of_ascii_letters_only(one, two):
    one, two = parsed(one), parsed(two)
    if one is None or two is None:
        return
    same = one.translate(ASCII_LOWER) == two.translate(ASCII_LOWER)
    assert (address_key(one) == address_key(two)) == same
    assert address_key(address_key(one)) == address_key(one)
    assert parse_address(address_key(one)) == address_key(one)


ASCII_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
SHAPES = [
    *("a", "a.", ".", "@", '"', '"\\', "(", "()", "<", "é", "e\u0301", "\u0301", "\0", " ", "=?", ","),
    *("a@", "a@b.", "a@xn--", "a@é.", "a@[", "a@[IPv6:", "a@1.", "a@-"),
]


@pytest.mark.asvs("1.3.12")
@pytest.mark.parametrize("shape", SHAPES)
def test_as_much_as_a_form_can_carry_is_refused_in_a_blink(shape):
    """In CPU time. email-validator by itself takes 9 seconds for 32,000 accents, which 64 KiB hold."""
    repeated = shape.rpartition("@")[2] or shape
    text = shape[: len(shape) - len(repeated)] + repeated * (32_000 // len(repeated))
    start = time.process_time()
    for candidate in (text, f"{text}@example.com", f"a@{text}"):
        assert parsed(candidate) is None
    assert time.process_time() - start < 1


# Where to go after signing in

HOSTILE = [
    *(
        "/",
        "//",
        "\\",
        "\t",
        "\n",
        "\r",
        " ",
        "\0",
        "\x19",
        "\x7f",
        "\x85",
        "\u2028",
        "\uff0f",
        "\u3002",
        "é",
        "\ud800",
    ),
    *("evil.example", "localhost", "@", ":", "http:", "HTTPS:", "javascript:", "data:", "//localhost", "localhost:80"),
    *("%2f", "%5c", "%09", "%00", ".", "..", "/..", "/.", "?", "#", "&next=", ";", "a", "account"),
]
hostile_paths = st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join) | st.text("/\\\t\n :@.a", max_size=8)


@pytest.mark.asvs("3.7.2", "1.2.2")
@fuzz(800)
@given(hostile_paths | any_text)
def test_a_safe_next_never_leads_a_browser_to_another_site(app, path):
    with app.test_request_context("/auth/login", query_string={"next": path.encode(errors="surrogatepass")}) as context:
        chosen = safe_next()
        if chosen is None:
            return
        location = redirect(chosen, 303).get_wsgi_headers(context.request.environ)["Location"]
    for base in ("http://localhost/auth/login", "https://localhost/auth/login"):
        assert origin(chosen, base) == origin(location, base) == origin("/", base)


@fuzz(200)
@given(st.text("az09_.~%-/?=&:", max_size=20).map(lambda text: f"/{text.lstrip('/')}"))
def test_a_plain_path_of_ours_is_a_safe_next(app, path):
    with app.test_request_context("/auth/login", query_string={"next": path}):
        assert safe_next() == path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *(("/a", "https://ours:443"), ("a//b", "https://ours:443"), ("https:a", "https://ours:443")),
        *(("//evil", "https://evil:443"), ("/\\evil", "https://evil:443"), ("\\/evil/a", "https://evil:443")),
        *(("/\t/evil", "https://evil:443"), ("\x19//evil", "https://evil:443"), (" //evil", "https://evil:443")),
        *(("///evil", "https://evil:443"), ("https:\\\\\\evil", "https://evil:443"), ("http:evil", "http://evil:80")),
        *(("//ours@EVIL:8/", "https://evil:8"), ("ja\nvascript:alert(1)", None), ("//ours", "https://ours:443")),
    ],
)
def test_our_url_parser_reads_as_browsers_do(url, expected):
    assert origin(url, "https://ours/auth/login") == expected


# Devices

AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Edg/125.0",
    "curl/8.5.0",
]
bait = st.sampled_from(
    ["http://evil.example", "<b>", "Bot/1.0", "evil.example/1.0", "Safari", "Linux", "(", ";", "\r\n"]
)
agents = st.text(st.characters(max_codepoint=255)) | mutations_of(st.sampled_from(AGENTS), bait)


@pytest.mark.asvs("1.3.3")
@fuzz(150)
@given(agents)
def test_a_device_is_told_in_our_own_words_only(app, agent):
    with app.test_request_context(environ_overrides={"HTTP_USER_AGENT": agent}):
        device = client()["device"]
    browser, _, system = device.removesuffix(")").partition(" (")
    assert browser in BROWSERS | SYSTEMS | {""}
    assert system in SYSTEMS | {""}
    assert device in (browser, f"{browser} ({system})")


# Password hashes

RIGHT = "right password"


def hashes():
    """Of the right password, one of every kind that is read, and as cheap as each can be."""
    argon2 = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(RIGHT)
    derived = b64encode(pbkdf2_hmac("sha256", RIGHT.encode(), b"salt", 1)).decode()
    stretched = b64encode(scrypt(RIGHT.encode(), salt=b"salt", n=256, r=1, p=1, dklen=64)).decode()
    salt = bcrypt.gensalt(4)
    short = bcrypt.hashpw(RIGHT.encode(), salt).decode()
    digested = bcrypt.hashpw(sha256(RIGHT.encode()).hexdigest().encode(), salt).decode()
    werkzeug = [generate_password_hash(RIGHT, method) for method in ("scrypt:256:1:1", "pbkdf2:sha256:1")]
    django = [f"pbkdf2_sha256$1$salt${derived}", f"scrypt$256$salt$1$1${stretched}", f"argon2{argon2}"]
    return [argon2, *werkzeug, *django, f"bcrypt_sha256${digested}", f"bcrypt${short}", short]


HASHES = hashes()
COSTLY_BCRYPT = r"\$(0[6-9]|1[0-5])\$[./A-Za-z0-9]{53}"
hash_letters = st.sampled_from("$:,=./+0129ab\0é\ud800") | st.characters()


@pytest.mark.parametrize("text", HASHES, ids=lambda text: text[:6])
def test_a_hash_to_be_changed_opens_as_it_is(text):
    assert verify_password(RIGHT, text)
    assert not verify_password("a wrong password", text)


@pytest.mark.asvs("11.2.5")
@fuzz(60)
@given(any_text, any_text)
def test_no_text_is_a_hash_that_opens(password, text):
    assume(text not in HASHES)
    assert verify_password(password, text) is False


@fuzz(300)
@given(any_text, mutations_of(st.sampled_from(HASHES), hash_letters))
def test_no_changed_hash_is_an_error_or_opens_for_a_wrong_password(password, text):
    assume(password != RIGHT and not re.search(COSTLY_BCRYPT, text))
    if kept := read(text):
        assert kept.matches(password, normalize("NFC", password)) is False
