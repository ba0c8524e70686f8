"""Which passwords are accepted, and how they are kept."""

import sys
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from app import create_app
from app.auth.passwords import hash_password, is_known_hash, needs_rehash, password_problem, verify_password
from config import Testing


@pytest.fixture(autouse=True)
def context():
    with create_app("testing").test_request_context():
        yield


def test_a_password_matches_its_hash_and_no_other():
    kept = hash_password("correct horse battery")
    assert verify_password("correct horse battery", kept)
    assert not verify_password("correct horse batterz", kept)


@pytest.mark.asvs("11.4.2")
def test_the_hash_is_argon2id_at_owasps_setting():
    assert hash_password("correct horse battery").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.asvs("11.2.2")
def test_the_parameters_can_be_raised():
    with create_app(type("Harder", (Testing,), {"ARGON2_PASSES": 3})).app_context():
        assert "t=3" in hash_password("correct horse battery")


@pytest.mark.asvs("6.2.8")
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


@pytest.mark.asvs("6.2.8", "6.2.9")
def test_every_character_counts_up_to_the_last_of_1024():
    password = varied(1024)
    kept = hash_password(password)
    assert verify_password(password, kept)
    assert not verify_password(password[:-1], kept)
    assert not verify_password(password[:72] + "x" + password[73:], kept)


def varied(length):
    """Letters of several scripts without order, as many code points as asked for."""
    return "".join(chr(0x100 + 7 * i * i % 257) for i in range(length))


EMOJI = "\U0001f511\U0001f98a\U0001f308\U0001f37a\U0001f98b" * 2 + "\U0001f30b\U0001f682\U0001f3bb\U0001f9c0\U0001f335"


@pytest.mark.asvs("6.2.1", "6.2.9")
@pytest.mark.parametrize("password", [varied(15), EMOJI, "so nice and warm", varied(1024), " two  spaces round "])
def test_length_is_counted_in_code_points(password):
    assert password_problem(password) is None


@pytest.mark.asvs("6.2.1")
@pytest.mark.parametrize("password", ["", varied(14), EMOJI[1:], "cafe\u0301 au lait 1"])
def test_a_short_password_is_refused_with_advice(password):
    assert "at least 15 characters" in password_problem(password)


def test_a_book_is_no_password():
    assert "at most 1024 characters" in password_problem(varied(1025))


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize("password", ["only small letters", "ONLY CAPITALS HERE", "8203749561028374"])
def test_no_kind_of_character_is_asked_for(password):
    assert password_problem(password) is None


@pytest.mark.asvs("11.2.2")
@pytest.mark.parametrize("setting", [{"ARGON2_PASSES": 3}, {"ARGON2_MEMORY_KIB": 20_000}, {"ARGON2_LANES": 2}])
def test_when_parameters_are_raised_old_hashes_still_open_and_are_to_be_made_anew(setting):
    kept = hash_password("correct horse battery")
    assert not needs_rehash(kept)
    with create_app(type("Harder", (Testing,), setting)).app_context():
        assert verify_password("correct horse battery", kept)
        assert needs_rehash(kept)
        assert not needs_rehash(hash_password("correct horse battery"))


OLD = [(8192, 1), (9216, 2), (19_000, 2)]


@pytest.mark.parametrize(("memory", "passes"), OLD)
def test_a_hash_under_weaker_parameters_is_to_be_made_anew(memory, passes):
    kept = PasswordHasher(memory_cost=memory, time_cost=passes, parallelism=1).hash("correct horse battery")
    assert verify_password("correct horse battery", kept)
    assert needs_rehash(kept)


def argon2_runs(check):
    """Memory and passes of each Argon2 run while `check` runs."""
    runs = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_name == "verify_secret":
            used = extract_parameters(frame.f_locals["hash"].decode())
            runs.append((used.memory_cost, used.time_cost))
        elif event == "call" and frame.f_code.co_name == "hash_secret_raw":
            runs.append((frame.f_locals["memory_cost"], frame.f_locals["time_cost"]))

    sys.setprofile(note)
    try:
        check()
    finally:
        sys.setprofile(None)
    return runs


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("kept", [None, "", "garbage", "!"])
def test_a_failed_check_does_the_same_work_with_an_account_and_without(kept):
    ours = hash_password("correct horse battery")
    with_account = argon2_runs(lambda: verify_password("not the password", ours))
    assert argon2_runs(lambda: verify_password("not the password", kept)) == with_account == [(19456, 2)]


@pytest.mark.parametrize("setting", [{"ARGON2_PASSES": 3}, {"ARGON2_MEMORY_KIB": 65_536}, {"ARGON2_LANES": 4}])
def test_the_work_without_an_account_follows_the_settings(setting):
    with create_app(type("Other", (Testing,), setting)).app_context():
        ours = hash_password("correct horse battery")
        with_account = argon2_runs(lambda: verify_password("not the password", ours))
        assert argon2_runs(lambda: verify_password("not the password", None)) == with_account


@pytest.mark.parametrize(("memory", "passes"), OLD)
def test_a_failed_check_of_a_weaker_hash_makes_up_for_what_it_saved(memory, passes):
    kept = PasswordHasher(memory_cost=memory, time_cost=passes, parallelism=1).hash("correct horse battery")
    own, rest = argon2_runs(lambda: verify_password("not the password", kept))
    assert own == (memory, passes)
    assert rest[1] == 2
    # Less memory is a little quicker, KiB for KiB: so a little more is to be filled in all.
    assert 1 <= (own[0] * own[1] + rest[0] * rest[1]) / (19456 * 2) < 1.12


def test_a_right_password_pays_for_one_check_only():
    kept = hash_password("correct horse battery")
    assert argon2_runs(lambda: verify_password("correct horse battery", kept)) == [(19456, 2)]


def test_a_hash_stronger_than_todays_pays_for_no_more():
    kept = PasswordHasher(memory_cost=20_000, time_cost=3, parallelism=1).hash("correct horse battery")
    assert argon2_runs(lambda: verify_password("not the password", kept)) == [(20_000, 3)]


def test_what_costs_too_much_to_check_is_known_only_where_the_settings_ask_for_it():
    costly = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
    assert not is_known_hash(costly)
    with create_app(type("Hardest", (Testing,), {"ARGON2_MEMORY_KIB": 4_194_304})).app_context():
        assert is_known_hash(costly)
        assert not is_known_hash(f"argon2{costly}")


@pytest.mark.parametrize("length", [4000, 30_000])
def test_a_heavy_password_takes_as_long_without_an_account(app, length):
    heavy = "a" + "\u0301\u0316" * (length // 2)

    def spent(password_hash):
        began = time.process_time()
        assert not verify_password(heavy, password_hash)
        return time.process_time() - began

    with app.app_context():
        kept = hash_password("correct horse battery staple")
        pairs = [(spent(kept), spent(None)) for _ in range(5)]
    known, unknown = (min(times) for times in zip(*pairs, strict=True))
    assert max(known, unknown) < 2 * min(known, unknown) < 1
