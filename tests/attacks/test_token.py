"""Attacks on mailed links: used twice, respelled, expired, forged, of another purpose, of another account."""

import pytest
from sqlalchemy import delete, select, update

from app.auth.models import Registration, User
from app.auth.passwords import hash_password
from app.database import utcnow
from tests.attacks import raw
from tests.attacks.conftest import BARE, FORMER_KEY
from tests.attacks.sight import plain
from tests.attacks.site import (
    NEW_PASSWORD,
    PASSWORD,
    REGISTER_LINK,
    RESET,
    RESET_LINK,
    fresh_address,
)
from tests.attacks.tokens import PURPOSES, mint

OTHER_PASSWORD = "something else entirely"


def stamp_of(local, email):
    [(stamp,)] = local.rows(select(User.security_stamp).where(User.email == email))
    return stamp


@pytest.mark.asvs("6.5.1", "6.4.1")
def test_b01_a_link_used_twice_is_dead(local, visitor, attacker, alice):
    link = local.reset_link(alice)
    attacker.get(link)
    assert visitor.reset(link, NEW_PASSWORD).location == "/auth/login"

    assert attacker.submit(password=OTHER_PASSWORD, password2=OTHER_PASSWORD).status_code == 410
    assert attacker.get(link).status_code == 410
    assert attacker.heading == "This link is no longer good"
    assert attacker.guess(alice, OTHER_PASSWORD) == 422
    assert visitor.guess(alice, NEW_PASSWORD) == 303


RESPELLED = {
    "junk at the end": lambda token: token + "!!",
    "padding": lambda token: token + "=",
    "a letter that base64 skips": lambda token: token + "%C3%A9",
    "junk in the middle": lambda token: token[:9] + "!!" + token[9:],
    "a line break": lambda token: token + "%0D%0A",
    "a space": lambda token: token + "%20",
    "a dot": lambda token: token + ".",
    "a NUL": lambda token: token + "%00",
    "spare bits of the last letter": lambda token: token[:-1] + sibling(token[-1]),
}


def sibling(letter):
    """The letter that differs in the lowest bit, which the last character of a 32-byte signature does not use."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]


@pytest.mark.asvs("6.5.1", "9.1.1", "11.2.5")
def test_b02_a_link_has_one_spelling_before_its_use_and_none_after(local, visitor, attacker, alice):
    link = local.reset_link(alice)
    base, _, token = link.rpartition("/")
    before = {name: attacker.get(f"{base}/{respell(token)}").status_code for name, respell in RESPELLED.items()}
    visitor.reset(link, NEW_PASSWORD)
    after = {name: attacker.get(f"{base}/{respell(token)}").status_code for name, respell in RESPELLED.items()}
    assert set(before.values()) <= {400, 404}, before
    assert set(after.values()) <= {400, 404}, after


@pytest.mark.asvs("6.5.1")
def test_b04_the_use_of_one_link_kills_the_other(local, visitor, attacker, alice):
    first, second = RESET_LINK + mint("reset_password", stamp_of(local, alice), age=9), local.reset_link(alice)
    assert attacker.get(second).status_code == 200
    assert visitor.reset(first, NEW_PASSWORD).status_code == 303
    assert attacker.get(second).status_code == 410
    assert attacker.get(first).status_code == 410


@pytest.mark.asvs("6.1.1")
def test_b05_ten_more_requests_leave_the_link_in_the_inbox_good(local, visitor, alice):
    link = local.reset_link(alice)
    for _ in range(10):
        assert local.visitor().ask_for_reset(alice).status_code == 303
    local.settle()
    assert visitor.reset(link, NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("9.2.1", "6.5.5")
@pytest.mark.parametrize(
    ("age", "life", "status"),
    [
        (0, 3600, 200),
        (3540, 3600, 200),
        (3600, 3600, 410),
        (3601, 3600, 410),
        (30 * 86_400, 3600, 410),
        (3600, 10**9, 410),  # a life longer than the settings allow
        (60, 60, 410),
        (-30, 3600, 200),  # clocks of hosts differ
        (-3600, 3600, 404),
    ],
)
def test_b06_a_link_lives_an_hour_and_not_a_second_longer(local, visitor, alice, age, life, status):
    token = mint("reset_password", stamp_of(local, alice), age=age, life=life)
    assert visitor.get(RESET_LINK + token).status_code == status


@pytest.mark.asvs("9.2.1")
def test_b06_a_life_shortened_in_the_settings_counts_for_links_already_mailed(local, start_site, alice):
    site = start_site(**BARE)
    stamp = stamp_of(local, alice)
    visitor = site.visitor()
    assert visitor.get(RESET_LINK + mint("reset_password", stamp, age=540)).status_code == 200
    assert visitor.get(RESET_LINK + mint("reset_password", stamp, age=600)).status_code == 410


@pytest.mark.asvs("9.2.2", "9.2.3")
def test_b08_a_link_of_one_purpose_is_none_of_another(local, visitor, alice):
    """Each payload is one that the other page would know, so that only the purpose tells them apart."""
    nonce = "a" * 26
    with local.database() as session:
        session.add(Registration(nonce=nonce, email=fresh_address(), created_at=utcnow()))
    for purpose in PURPOSES:
        for payload in (stamp_of(local, alice), nonce):
            token = mint(purpose, payload)
            for other in set(PURPOSES) - {purpose}:
                assert visitor.get(f"/auth/{other}/{token}").status_code == 404, (purpose, other)


@pytest.mark.asvs("9.2.2", "9.1.1")
def test_b08_no_other_signed_value_is_a_link(local, visitor, alice):
    visitor.sign_in(alice, PASSWORD)
    visitor.get(RESET)
    signed = [*visitor.cookies.values(), visitor.csrf_token]
    assert len(signed) >= 2
    for value in signed:
        for purpose in PURPOSES:
            assert local.visitor().get(f"/auth/{purpose}/{value}").status_code == 404


@pytest.mark.asvs("8.2.2", "8.2.3", "15.3.3")
def test_b10_a_link_changes_no_account_but_its_own_whatever_the_form_names(local, visitor, alice, bob):
    [(victim,)] = local.rows(select(User.id).where(User.email == bob))
    link = local.reset_link(alice)
    visitor.get(f"{link}?email={bob}&user_id={victim}&id={victim}")
    fields = {"email": bob, "user_id": victim, "id": victim, "user": bob, "username": bob, "security_stamp": "x" * 22}
    assert visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD, **fields).status_code == 303

    assert local.visitor().guess(bob, NEW_PASSWORD) == 422
    assert local.visitor().guess(bob, PASSWORD) == 303
    assert local.visitor().guess(alice, NEW_PASSWORD) == 303


@pytest.mark.asvs("6.5.1", "7.4.3")
def test_b11_a_link_dies_when_the_password_changes_by_another_way(local, visitor, alice):
    link = local.reset_link(alice)
    visitor.get(link)
    with local.database():
        assert User.by_email(alice).change_password(hash_password(OTHER_PASSWORD))
    assert visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 410
    assert visitor.get(link).status_code == 410
    assert visitor.guess(alice, OTHER_PASSWORD) == 303


@pytest.mark.asvs("6.5.1", "7.4.2")
def test_b13_a_link_dies_with_its_account_and_all_deaths_look_alike(local, visitor):
    used, disabled, deleted, reborn = (local.account() for _ in range(4))
    links = {email: RESET_LINK + local.reset_token(email) for email in (used, disabled, deleted, reborn)}
    visitor.reset(links[used], NEW_PASSWORD)
    local.change(disabled, disabled_at=utcnow())
    with local.database() as session:
        session.execute(delete(User).where(User.email.in_([deleted, reborn])))
    local.account(email=reborn)

    pages = [plain(page, "nobody") for page in map(local.visitor().get, links.values())]
    assert pages[0][0] == 410
    assert [text for *_, text in pages] == [pages[0][-1]] * 4


@pytest.mark.asvs("6.5.1", "8.3.2")
def test_b13_a_form_opened_before_its_account_was_disabled_is_dead(local, visitor, alice):
    visitor.get(local.reset_link(alice))
    local.change(alice, disabled_at=utcnow())
    assert visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 410
    local.change(alice, disabled_at=None)
    assert local.visitor().guess(alice, NEW_PASSWORD) == 422


def scans(link):
    """What mail scanners, link previews and virus checkers send before a person clicks."""
    yield from [("HEAD", ()), ("GET", ()), ("HEAD", ("User-Agent: Microsoft Office Existence Discovery",))]
    yield from [("GET", ("Purpose: prefetch",)), ("GET", ("Sec-Purpose: prefetch;prerender",))]
    yield from [("GET", ("User-Agent: Mozilla/5.0 (compatible; BarracudaCentral)",))] * 20
    yield from [("OPTIONS", ())]


@pytest.mark.asvs("3.5.3", "6.5.1")
@pytest.mark.parametrize("kind", ["reset", "register"])
def test_b15_scanners_that_open_a_link_change_nothing(local, visitor, alice, kind):
    link = local.reset_link(alice) if kind == "reset" else local.registration_link(fresh_address())
    path = link.removeprefix(local.url)
    before = local.dump("rate_limits")
    statuses = {raw.send(local.url, f"{method} {path}", *headers).status_code for method, headers in scans(path)}
    for _ in range(3):
        local.visitor().get(link)  # follows the redirect, as some do, and renders the form
    assert statuses <= {200, 303}
    assert local.dump("rate_limits") == before
    fields = {"name": "Alice"} if kind == "register" else {}
    assert visitor.fill(link, password=NEW_PASSWORD, password2=NEW_PASSWORD, **fields).location == "/auth/login"


@pytest.mark.asvs("9.1.1", "9.1.3", "13.3.4")
@pytest.mark.parametrize(
    ("key", "status"),
    [(FORMER_KEY, 200), ("a key that was dropped long ago, too", 404), ("the key of the staging site, longer", 404)],
    ids=["former", "dropped", "staging"],
)
def test_b17_links_of_the_former_key_are_good_and_of_no_other(local, visitor, alice, key, status):
    token = mint("reset_password", stamp_of(local, alice), key=key)
    assert visitor.get(RESET_LINK + token).status_code == status


@pytest.mark.asvs("2.3.1")
def test_b19_no_password_is_set_without_a_link(local, visitor, attacker, alice):
    visitor.get(local.reset_link(alice))
    fields = visitor.form.fields | {"password": OTHER_PASSWORD, "password2": OTHER_PASSWORD}

    attacker.get(RESET)
    attacker.page = attacker.client.post("/auth/reset_password", data=fields | {"csrf_token": attacker.csrf_token})
    assert attacker.page.status_code == 404
    assert attacker.client.post("/auth/reset_password", data=fields).status_code == 400  # the CSRF token is not his
    direct = f"{RESET_LINK}{local.reset_token(alice)}"
    assert attacker.client.post(direct, data=fields | {"csrf_token": "x"}).status_code in (400, 405)
    assert attacker.guess(alice, OTHER_PASSWORD) == 422


@pytest.mark.asvs("2.3.1")
def test_b19_a_finished_link_does_not_open_the_form_again(local, visitor, alice):
    visitor.get(local.reset_link(alice))
    form = visitor.page
    visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD)
    visitor.get(RESET)
    fresh = {"csrf_token": visitor.csrf_token, "password": OTHER_PASSWORD, "password2": OTHER_PASSWORD}
    visitor.page = form
    answer = visitor.client.post("/auth/reset_password", data=visitor.form.fields | fresh)
    assert answer.status_code in (404, 410)
    assert visitor.guess(alice, NEW_PASSWORD) == 303


def texts(value):
    """Every string in a value of the database."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return {text for part in value for text in texts(part)}
    return {str(value)} - {"", "None"}


@pytest.mark.asvs("6.5.2", "11.7.1")
def test_b21_nothing_in_the_database_is_a_link_while_links_are_live(local, visitor, alice):
    stranger = fresh_address()
    links = [local.reset_link(alice), local.registration_link(stranger)]
    for _ in range(4):
        local.visitor().ask_for_reset(alice)  # the last one waits
    assert local.waiting(alice)

    dump = local.dump("rate_limits", "alembic_version")
    words = {text for rows in dump.values() for text in texts(rows)}
    secrets = {part for link in links for part in link.rpartition("/")[2].split(".") if len(part) > 8}
    assert not [secret for secret in secrets if any(secret in word for word in words)]

    newest = {text for rows in dump.values() for text in texts([row for row in rows if is_about(row, alice, stranger)])}
    assert stamp_of(local, alice) in newest
    paths = [f"/auth/{purpose}/{text}" for purpose in PURPOSES for text in newest if text.isascii() and " " not in text]
    opened = {path: raw.send(local.url, f"GET {path}").status_code for path in paths}
    assert set(opened.values()) <= {400, 404}, opened


def is_about(row, *addresses):
    return any(address in text for text in texts(row) for address in addresses)


@pytest.mark.asvs("9.1.1")
def test_b21_a_registration_read_out_of_the_database_cannot_be_finished(local, visitor):
    stranger = fresh_address()
    local.registration_link(stranger)
    [(nonce,)] = local.rows(select(Registration.nonce).where(Registration.email == stranger))
    assert visitor.get(REGISTER_LINK + nonce).status_code == 404
    assert visitor.get("/auth/register/finish").status_code == 404


@pytest.mark.asvs("6.5.1")
def test_a_link_to_an_account_whose_stamp_was_changed_by_the_operator_is_dead(local, visitor, alice):
    link = local.reset_link(alice)
    with local.database() as session:
        session.execute(update(User).where(User.email == alice).values(security_stamp="y" * 22))
    assert visitor.get(link).status_code == 410
