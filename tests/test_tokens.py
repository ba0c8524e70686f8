"""Signed links, apart from any page."""

import doctest
import secrets
import time

import pytest
from itsdangerous import BadData, BadSignature, SignatureExpired
from itsdangerous.encoding import base64_decode

from app import create_app
from app.auth import tokens
from app.auth.models import User
from config import Testing

OLD_KEY, NEW_KEY = "old" * 16, "new" * 16


@pytest.fixture
def context():
    with create_app("testing").app_context() as context:
        yield context


def app_with(**settings):
    return create_app(type("Changed", (Testing,), settings)).app_context()


@pytest.mark.parametrize("purpose", tokens.PURPOSES)
def test_a_token_gives_its_payload_back(context, purpose):
    assert tokens.redeem(purpose, tokens.issue(purpose, "payload")) == "payload"


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("purpose", tokens.PURPOSES)
def test_a_token_lives_as_long_as_its_purpose_to_the_second(context, clock, purpose):
    token = tokens.issue(purpose, "payload")
    clock.shift(tokens.max_age(purpose) - 1)
    assert tokens.redeem(purpose, token) == "payload"
    clock.shift(1)
    with pytest.raises(SignatureExpired) as expired:
        tokens.redeem(purpose, token)
    assert expired.value.payload == "payload"


def test_expiry_is_told_apart_from_a_bad_signature(context, clock):
    token = tokens.issue("reset_password", "payload")
    clock.shift(86_400)
    with pytest.raises(BadSignature) as forged:
        tokens.redeem("reset_password", token[:-3] + "AAA")
    assert not isinstance(forged.value, SignatureExpired)


@pytest.mark.asvs("9.2.2", "9.2.4")
def test_every_purpose_has_a_key_of_its_own(context):
    for purpose in tokens.PURPOSES:
        for other in tokens.PURPOSES.keys() - {purpose}:
            with pytest.raises(BadSignature):
                tokens.redeem(other, tokens.issue(purpose, "payload"))


def test_a_shorter_life_may_be_asked_for_but_no_longer_one(context, clock):
    brief, endless = tokens.issue("reset_password", "a", 30), tokens.issue("reset_password", "b", 10**9)
    clock.shift(30)
    with pytest.raises(SignatureExpired):
        tokens.redeem("reset_password", brief)
    clock.shift(3600)
    with pytest.raises(SignatureExpired):
        tokens.redeem("reset_password", endless)


def test_every_link_lives_as_long_as_the_table_says(context):
    lives = {purpose: tokens.max_age(purpose) for purpose in tokens.PURPOSES}
    days = {"not_me": 86_400, "register": 86_400, "undo_email_change": 7 * 86_400}
    assert lives == {"reset_password": 3600, "change_email": 3600} | days


def test_a_life_lengthened_in_the_settings_counts_for_new_links_only(clock):
    with app_with(RESET_LINK_MAX_AGE=600):
        links = [tokens.issue("reset_password", "payload", seconds) for seconds in (None, 10**9)]
    clock.shift(600)
    for token in links:
        with app_with(RESET_LINK_MAX_AGE=7200), pytest.raises(SignatureExpired):
            tokens.redeem("reset_password", token)


@pytest.mark.asvs("9.2.1")
def test_a_life_shortened_in_the_settings_counts_for_links_already_mailed(clock):
    with app_with(RESET_LINK_MAX_AGE=7200):
        token = tokens.issue("reset_password", "payload")
    clock.shift(600)
    with app_with(RESET_LINK_MAX_AGE=600), pytest.raises(SignatureExpired):
        tokens.redeem("reset_password", token)


@pytest.mark.parametrize(("seconds", "accepted"), [(60, True), (61, False)])
def test_a_token_from_a_clock_a_minute_ahead_counts_as_new(context, clock, seconds, accepted):
    clock.shift(seconds)
    token = tokens.issue("reset_password", "payload")
    clock.shift(-seconds)
    if accepted:
        assert tokens.redeem("reset_password", token) == "payload"
    else:
        with pytest.raises(BadSignature):
            tokens.redeem("reset_password", token)


@pytest.mark.asvs("9.2.3", "9.2.4", "9.1.3", "13.3.4", "11.2.2")
def test_links_of_the_former_key_stay_good_until_it_is_dropped():
    with app_with(SECRET_KEY=OLD_KEY):
        token = tokens.issue("reset_password", "payload")
    with app_with(SECRET_KEY=NEW_KEY, SECRET_KEY_FALLBACKS=[OLD_KEY]):
        assert tokens.redeem("reset_password", token) == "payload"
        fresh = tokens.issue("reset_password", "payload")
    with app_with(SECRET_KEY=NEW_KEY):
        assert tokens.redeem("reset_password", fresh) == "payload"
        with pytest.raises(BadSignature):
            tokens.redeem("reset_password", token)


@pytest.mark.asvs("9.1.1", "11.2.5")
def test_a_token_has_one_spelling(context):
    token = tokens.issue("reset_password", "payload")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    siblings = [token[:-1] + character for character in alphabet if character != token[-1]]
    for respelled in [*siblings, token + "=", token + "!!", token + "\r\n", token[:5] + " " + token[5:]]:
        with pytest.raises(BadSignature):
            tokens.redeem("reset_password", respelled)


@pytest.mark.parametrize(("length", "accepted"), [(512, True), (514, False)])  # none has 513
def test_a_genuine_token_is_read_up_to_512_characters(context, length, accepted):
    payloads = (secrets.token_hex(n) for _ in range(100) for n in range(250, 400))
    token = next(token for token in (tokens.issue("register", payload) for payload in payloads) if len(token) == length)
    if accepted:
        tokens.redeem("register", token)
    else:
        with pytest.raises(BadSignature):
            tokens.redeem("register", token)


@pytest.mark.asvs("11.2.5")
@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b.c", "\0", "é", "\ud800", "A" * 100_000, "." * 500])
def test_no_text_raises_anything_but_bad_data(context, text):
    with pytest.raises(BadData):
        tokens.redeem("reset_password", text)


@pytest.mark.asvs("9.1.2", "11.4.1", "11.4.3", "11.2.3")
def test_the_signature_has_the_length_of_sha256_and_not_of_the_library_default(context):
    token = tokens.issue("reset_password", "payload")
    assert len(base64_decode(token.rpartition(".")[2])) == 32


@pytest.mark.asvs("6.5.4")
def test_a_token_says_nothing_about_the_account(app, alice):
    with app.app_context():
        user = User.by_email(alice)
        token = user.get_reset_password_token()
        assert len(token) < 120
        assert len(user.security_stamp) == 22
        assert User.verify_reset_password_token(token).id == user.id
        assert User.verify_reset_password_token(token + "x") is None


def test_the_walk_in_the_documentation_works(app, clock, root, alice, monkeypatch):
    """Runs docs/tokens.md in a Python shell; its pause moves the clock."""
    monkeypatch.setattr(time, "sleep", clock.shift)
    walk = doctest.DocTestParser().get_doctest((root / "docs/tokens.md").read_text(), {}, "docs/tokens.md", None, 0)
    assert len(walk.examples) >= 8
    with app.app_context():
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(walk).failed == 0
