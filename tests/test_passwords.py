"""Which passwords are accepted, and how they are kept."""

import time

import pytest

from app import create_app
from app.auth.passwords import hash_password, password_problem, verify_password
from config import Testing


@pytest.fixture(autouse=True)
def context():
    with create_app("testing").test_request_context():
        yield


def test_a_password_matches_its_hash_and_no_other():
    kept = hash_password("correct horse battery")
    assert verify_password("correct horse battery", kept)
    assert not verify_password("correct horse batterz", kept)


def test_the_hash_is_argon2id_at_owasps_setting():
    assert hash_password("correct horse battery").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_parameters_can_be_raised():
    with create_app(type("Harder", (Testing,), {"ARGON2_PASSES": 3})).app_context():
        assert "t=3" in hash_password("correct horse battery")


def test_nothing_is_trimmed_or_cut():
    kept = hash_password(" " + "x" * 200 + " ")
    assert not verify_password("x" * 200, kept)
    assert not verify_password(" " + "x" * 199 + " ", kept)
    assert not verify_password(" " + "X" * 200 + " ", kept)


def test_one_password_typed_on_two_keyboards_is_the_same():
    assert verify_password("cafe\u0301 au lait, s'il", hash_password("caf\u00e9 au lait, s'il"))


def test_compatibility_forms_are_kept_apart():
    assert not verify_password("fire and brimstone", hash_password("\ufb01re and brimstone"))


@pytest.mark.parametrize("kept", ["", "garbage", "$argon2id$v=19$m=19456,t=2,p=1$", "!"])
def test_a_hash_nobody_can_read_matches_nothing(kept):
    assert not verify_password("correct horse battery", kept)


def test_without_an_account_it_takes_as_long_and_says_no():
    def seconds(password_hash):
        start = time.perf_counter()
        assert not verify_password("not the password", password_hash)
        return time.perf_counter() - start

    kept = hash_password("correct horse battery")
    seconds(None)  # makes the dummy hash
    with_account, without = min(seconds(kept) for _ in range(9)), min(seconds(None) for _ in range(9))
    assert 0.5 < without / with_account < 2


def test_not_even_the_dummys_password_opens_anything():
    assert not verify_password("nobody's password", None)


@pytest.mark.parametrize("password", ["x" * 15, "\U0001f511" * 15, " " * 15, "x" * 1024])
def test_length_is_counted_in_code_points(password):
    assert password_problem(password) is None


@pytest.mark.parametrize("password", ["", "x" * 14, "\U0001f511" * 14])
def test_a_short_password_is_refused_with_advice(password):
    assert "at least 15 characters" in password_problem(password)


def test_a_book_is_no_password():
    assert "at most 1024 characters" in password_problem("x" * 1025)
