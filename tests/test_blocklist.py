"""Which passwords are refused for being easy to guess, and which are not."""

import string
import time
from itertools import pairwise

import pytest

from app import create_app
from app.auth.blocklist import COMMON_PASSWORDS, _common_passwords, is_common, what_is_left
from app.auth.passwords import password_problem
from config import Testing
from tests.conftest import NEW_PASSWORD, PASSWORD

ALICE = ["Alice Liddell", "alice.liddell@example.com"]
COMMON = "one of the passwords that are tried first"
TOO_LITTLE = "too little is left"


@pytest.fixture(autouse=True)
def context():
    with create_app("testing").test_request_context():
        yield


@pytest.mark.asvs("6.2.4", "6.2.12")
def test_the_list_has_thousands_of_passwords_long_enough_to_be_chosen():
    assert sum(len(password) >= 15 for password in _common_passwords()) >= 3000
    assert COMMON_PASSWORDS.stat().st_size < 150_000


@pytest.mark.asvs("6.2.4", "6.2.12")
def test_every_entry_of_the_list_is_refused():
    long = [password for password in _common_passwords() if len(password) >= 15]
    assert [password for password in long if password_problem(password) is None] == []


@pytest.mark.parametrize(
    "password",
    [
        *("passwordpassword", "password1234567", "qwertyuiop12345", "iloveyouiloveyou", "correcthorsebatterystaple"),
        *("administrator123", "changemechangeme", "thisismypassword", "basketball12345", "Iloveyou2024!!!"),
        *("123456789987654321", "maytheforcebewithyou", "december2024december", "football football"),
    ],
)
def test_what_is_tried_first_is_refused_in_any_case_with_a_reason_and_advice(password):
    for spelling in (password, password.upper(), password.title()):
        problem = password_problem(spelling)
        assert COMMON in problem
        assert "Three or four words" in problem


@pytest.mark.parametrize(
    "password",
    [
        *("aaaaaaaaaaaaaaaa", "abcabcabcabcabc", "112233445566778899", "x" * 1024, " " * 15, "\U0001f511" * 15),
        *("qwertyuiopasdfghjkl", "poiuytrewqlkjhgfdsa", "qwertzuiopasdfghj", "azertyuiopqsdfghjklm", "!@#$%^&*()!@#$%"),
        *("123456789012345", "543210987654321", "abcdefghijklmno", "zyxwvutsrqponml", "AbCdEfGhIjKlMnOp"),
        *(
            "1qaz2wsx3edc4rf",
            "zaq1xsw2cde3vfr4",
            "1q2w3e4r5t6y7u8i",
            "q1w2e3r4t5y6u7i8",
            "2019202020212022",
            "asdf1234ASDF1234jkl",
        ),
    ],
)
def test_repeats_and_runs_in_both_directions_are_no_password(password):
    problem = password_problem(password)
    assert TOO_LITTLE in problem or COMMON in problem
    assert len(what_is_left(password)) < 8


@pytest.mark.asvs("6.2.11")
@pytest.mark.parametrize(
    "password",
    ["alicealicealice1", "alice@example.com2024", "Liddell-Alice-99", "ALICE.LIDDELL!!", "example example 1"],
)
def test_what_others_know_of_a_person_is_no_password(password):
    assert TOO_LITTLE in password_problem(password, ALICE)


@pytest.mark.parametrize(("typed", "name"), [("Zoe\u0308", "Zo\u00eb"), ("Zo\u00eb", "Zoe\u0308")])
def test_a_name_in_the_other_unicode_form_is_the_same_name(typed, name):
    assert TOO_LITTLE in password_problem(f"{typed}, 1234, {typed}!", [name])


def test_the_same_words_pass_for_somebody_else():
    assert password_problem("Liddell-Alice-99", ["Bob", "bob@elsewhere.test"]) is None


@pytest.mark.asvs("6.2.11")
def test_what_the_site_is_called_is_no_password():
    assert TOO_LITTLE in password_problem("Rekey Rekey Rekey 1")
    named = {"APP_NAME": "Wool & Yarn", "BASE_URL": "https://knitting.example.org/account"}
    with create_app(type("Named", (Testing,), named)).test_request_context():
        assert TOO_LITTLE in password_problem("Wool & Yarn 2024")
        assert TOO_LITTLE in password_problem("www.knitting.example.org")
        assert password_problem("Rekey-Localhost") is None


def test_a_word_of_two_letters_is_nobodys_name():
    assert what_is_left("jo went to oslo", ["Jo", "j@o.uk"]) == "jo went to oslo"


def test_a_name_within_a_name_leaves_no_rest():
    assert what_is_left("Annabella1", ["Ann", "Ann.Annabella.Bella@example.com"]) == "1"


@pytest.mark.parametrize(
    "password",
    [
        *(PASSWORD, NEW_PASSWORD, "alice in the wonderland garden", "thud glimpse of", "my aunt keeps seven goats"),
        *("Der Hund bellt laut", "zwölf kleine Pinguine", "dxkwmrvhzqcpfyt", "hT7#kq!Zp2&vX9w", "Привет, соседи мои"),
    ],
)
def test_ordinary_sentences_and_random_characters_pass(password):
    assert password_problem(password, ALICE) is None


@pytest.mark.parametrize(
    ("password", "left"),
    [
        ("password", "password"),
        ("passwordpassword", "password"),
        ("Anna likes qwerty 2024", "anna likes  "),
        ("banana 12321 split", "bana  split"),
        ("xxz" * 5, "xxz"),
        ("gravel" + "gravel1", "gravel1"),
        ("12abc34 xx", " xx"),
    ],
)
def test_one_of_what_is_repeated_is_left_and_nothing_of_a_run(password, left):
    assert what_is_left(password) == left


def test_eight_characters_have_to_be_left():
    assert TOO_LITTLE in password_problem("1234567890 gravit")
    assert password_problem("1234567890 gravity") is None


def test_only_a_whole_password_is_compared_with_the_list():
    assert is_common("PASSWORDPASSWORD")
    assert not is_common("passwordpassword of my aunt")
    assert password_problem("passwordpassword of my aunt") is None


def test_a_site_that_allows_shorter_passwords_refuses_the_common_ones_too():
    with create_app(type("Shorter", (Testing,), {"PASSWORD_MIN_LENGTH": 8})).test_request_context():
        assert COMMON in password_problem("sunshine")
        assert password_problem("gravitas") is None


def fibonacci_word(length):
    a, b = "a", "ab"
    while len(b) < length:
        a, b = b, b + a
    return b


def chained_repeats():
    """Each repeat that goes makes the next one."""
    letters = string.ascii_letters * 3
    return "".join(one[0] + one + two for one, two in pairwise(letters[i : i + 7] for i in range(100)))


@pytest.mark.asvs("1.3.12", "15.2.2")
@pytest.mark.parametrize(
    "hostile",
    [
        *("a" * 1024, "ab" * 512, ("a" * 15 + "b") * 64, "abcdefghijklmnopq" * 60, fibonacci_word(1024)),
        *(("a" * 16 + "b" + "a" * 16 + "c") * 30, chained_repeats()),
        "".join(chr(0x4E00 + 7 * i * i % 9973) for i in range(1024)),
    ],
)
def test_the_longest_hostile_password_is_judged_in_milliseconds(hostile):
    is_common("")  # reads the list

    def seconds():
        start = time.process_time()
        password_problem(hostile[:1024], ["ab c" * 16, "a.b.c" * 12 + "@" + "abc." * 45 + "com"])
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.02
