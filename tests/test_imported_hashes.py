"""Accounts that come from other systems keep their passwords: each kind of hash opens, and is replaced in time."""

import base64
import hashlib
import sys
import unicodedata

import bcrypt
import pytest
from argon2 import PasswordHasher
from werkzeug.security import generate_password_hash

from app import create_app
from app.auth.passwords import hash_password, is_known_hash, needs_rehash, verify_password

OURS = "correct horse battery staple"
SALT = "saltysaltysalty"


@pytest.fixture(autouse=True)
def context():
    with create_app("testing").app_context():
        yield


def django_pbkdf2(password):
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), SALT.encode(), 1000)
    return f"pbkdf2_sha256$1000${SALT}${base64.b64encode(digest).decode()}"


def django_scrypt(password):
    digest = hashlib.scrypt(password.encode(), salt=SALT.encode(), n=1024, r=8, p=5, dklen=64)
    return f"scrypt$1024${SALT}$8$5${base64.b64encode(digest).decode()}"


def plain_bcrypt(password):
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()


def django_bcrypt_sha256(password):
    digest = hashlib.sha256(password.encode()).hexdigest()
    return "bcrypt_sha256$" + bcrypt.hashpw(digest.encode(), bcrypt.gensalt(4)).decode()


KINDS = {
    "werkzeug scrypt": lambda password: generate_password_hash(password, "scrypt:1024:8:1"),
    "werkzeug pbkdf2": lambda password: generate_password_hash(password, "pbkdf2:sha256:1000"),
    "django pbkdf2": django_pbkdf2,
    "django scrypt": django_scrypt,
    "django bcrypt_sha256": django_bcrypt_sha256,
    "django bcrypt": lambda password: "bcrypt$" + plain_bcrypt(password),
    "django argon2": lambda password: "argon2" + PasswordHasher(1, 512, 2).hash(password),
    "bcrypt 2a": lambda password: plain_bcrypt(password).replace("$2b$", "$2a$"),
    "bcrypt 2b": plain_bcrypt,
    "bcrypt 2y": lambda password: plain_bcrypt(password).replace("$2b$", "$2y$"),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@pytest.mark.asvs("11.2.2")
@every_kind
def test_the_password_opens_and_no_other_does(make):
    kept = make("zwölf kleine Pinguine")
    assert is_known_hash(kept)
    assert verify_password("zwölf kleine Pinguine", kept)
    assert not verify_password("zwölf kleine Pinguinf", kept)
    assert not verify_password("", kept)


@pytest.mark.asvs("11.2.2", "11.4.2")
@every_kind
def test_it_is_to_be_replaced_by_ours(make):
    assert needs_rehash(make(OURS))


@every_kind
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_password_opens_as_it_was_typed_there_and_in_nfc(make, form):
    typed = unicodedata.normalize("NFD", "crème brûlée à midi")
    assert verify_password(typed, make(unicodedata.normalize(form, typed)))


def test_a_composed_password_does_not_open_what_was_made_from_the_other_form():
    assert not verify_password("crème brûlée", django_pbkdf2(unicodedata.normalize("NFD", "crème brûlée")))


# Made by Django 5.2 from "zwölf kleine Pinguine".
DJANGO = [
    "pbkdf2_sha256$1000$saltysaltysalty$Ewfl0jlCqIMoAcI4r0FSvt1T72ypWpadtYrT/NRVoM8=",
    "scrypt$1024$saltysaltysalty$8$1$"
    "i4iHBLhea/q3IlFKG976LzhrY5zVWYOEhZ4xUG66q8efR7/+xMPJ3ERN3AJFuUNtrxas7tHtjhZ4YwD9COk7HQ==",
    "scrypt$16384$BDYK4EIxy1XZRJJRrrYqHy$8$5$"
    "VOwVAS1+BZ/NT/Tvw7yPTq02PKrKn7srjBbAMwImiJbqTsZmxrz6Cdv3QbHalKBdrKdP1A9BFVqUl934J/pCRA==",
    "bcrypt_sha256$$2b$04$mFqarjJqgcF323ee34LdIeRShqGj2BIVNh/zysyr05HgeD9UHj4ne",
    "bcrypt$$2b$04$OS4CCZr6dxVpyYDIIyXjoemK9876lvDZ59xXBHq6N2uUL9bKcEKzO",
    "argon2$argon2id$v=19$m=512,t=1,p=2$b09ma2VJSElsSTlWZmc5S1BqZUFqaw$Zmiu617qQUyuxiyyCj53sXq2JfbDbTIEpqA+UHWP1+c",
]


@pytest.mark.parametrize("kept", DJANGO)
def test_what_the_real_django_wrote_opens(kept):
    assert is_known_hash(kept)
    assert verify_password("zwölf kleine Pinguine", kept)
    assert not verify_password("zwölf kleine Pinguinen", kept)


def test_werkzeugs_own_defaults_open():
    assert verify_password(OURS, generate_password_hash(OURS))
    assert verify_password(OURS, generate_password_hash(OURS, "pbkdf2"))


@pytest.mark.parametrize("make", [KINDS["bcrypt 2b"], KINDS["django bcrypt"]])
def test_bcrypt_knows_72_bytes_as_it_did_where_the_hash_was_made(make):
    kept = make("é" * 36 + " and more")
    assert verify_password("é" * 36 + " and more", kept)
    assert verify_password("é" * 36 + " or anything else", kept)
    assert not verify_password("é" * 35 + "e and more", kept)


def test_django_hashed_long_passwords_first_so_all_of_them_counts():
    kept = django_bcrypt_sha256("é" * 100)
    assert verify_password("é" * 100, kept)
    assert not verify_password("é" * 99, kept)


@every_kind
def test_a_password_with_nul_is_none_of_a_shorter_one(make):
    assert not verify_password("before\0after", make("before"))


ABSURD = [
    "$argon2id$v=19$m=4194304,t=4,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=999999999,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
    "$argon2id$v=19$m=65536,t=1,p=8000$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
    "argon2$argon2id$v=19$m=999999999,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
    "pbkdf2:sha256:900000000$salt$" + "0" * 64,
    "pbkdf2_sha256$99999999999$salt$" + "A" * 43 + "=",
    "scrypt:1048576:64:64$salt$" + "0" * 128,
    "scrypt$1073741824$salt$8$1$" + "A" * 86 + "==",
    "$2b$31$" + "." * 53,
]


@pytest.mark.asvs("15.2.2", "15.2.5", "1.4.2")
@pytest.mark.parametrize("kept", ABSURD)
def test_a_hash_that_would_stop_the_site_is_not_known_and_not_tried(kept):
    assert not is_known_hash(kept)
    assert not verify_password(OURS, kept)


@every_kind
def test_a_mangled_hash_matches_nothing_and_raises_nothing(make):
    kept = make(OURS)
    for mangled in (kept[:-1], kept[:40], kept[40:], kept.replace("$", "", 1), f" {kept}", f"{kept}\n"):
        assert not verify_password(OURS, mangled)
    for position in range(0, len(kept), 7):
        assert not verify_password("wrong" + OURS, kept[:position] + "\ud800\u0663" + kept[position + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", OURS, "md5$salt$0123", "sha1$salt$0123", "5f4dcc3b5aa765d61d8327deb882cf99", "{SSHA}c2FsdA=="),
        *("scrypt:1000:8:1$salt$" + "0" * 128, "$2x$04$" + "." * 53, "$2b$03$" + "." * 53, "$2b$04$" + "a" * 53),
    ],
)
def test_other_texts_are_no_hash_that_we_know(text):
    assert not is_known_hash(text)
    assert not verify_password(OURS, text)


def test_our_own_hashes_are_known_whatever_their_parameters():
    assert is_known_hash(hash_password(OURS))
    assert is_known_hash(PasswordHasher().hash(OURS))


def checks_made(check):
    """The functions that hash a password while `check` runs, and how often."""
    names = {"verify_secret", "hash_secret_raw", "pbkdf2_hmac", "scrypt", "checkpw"}
    made = []

    def note(frame, event, function):
        name = frame.f_code.co_name if event == "call" else getattr(function, "__name__", "")
        if event in ("call", "c_call") and name in names:
            made.append("argon2" if name in ("verify_secret", "hash_secret_raw") else name)

    sys.setprofile(note)
    try:
        check()
    finally:
        sys.setprofile(None)
    return sorted(made)


SAMPLE = django_pbkdf2("somebody else's password")


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("kept", [None, "garbage", "ours", "weaker", "imported"])
def test_while_there_are_imported_hashes_every_failed_check_pays_for_both(kept):
    kinds = {
        "ours": hash_password(OURS),
        "weaker": PasswordHasher(1, 8192, 1).hash(OURS),
        "imported": django_pbkdf2(OURS),
    }
    made = checks_made(lambda: verify_password("not the password", kinds.get(kept, kept), imported=SAMPLE))
    assert set(made) == {"argon2", "pbkdf2_hmac"}
    assert made.count("pbkdf2_hmac") == 1


def test_without_a_sample_nobody_pays_for_imported_hashes():
    assert checks_made(lambda: verify_password("not the password", hash_password(OURS))) == ["argon2"]
    assert checks_made(lambda: verify_password("not the password", None)) == ["argon2"]


def test_a_right_password_pays_for_its_own_hash_only():
    kept = django_pbkdf2(OURS)
    assert checks_made(lambda: verify_password(OURS, kept, imported=SAMPLE)) == ["pbkdf2_hmac"]
    ours = hash_password(OURS)
    assert checks_made(lambda: verify_password(OURS, ours, imported=SAMPLE)) == ["argon2"]


def test_not_even_the_samples_password_opens_anything():
    assert not verify_password("somebody else's password", None, imported=SAMPLE)
    assert not verify_password("somebody else's password", hash_password(OURS), imported=SAMPLE)
