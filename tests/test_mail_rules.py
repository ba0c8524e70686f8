"""Rules for mails: every one of them in every language, read as its reader's program reads it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from unicodedata import category
from urllib.parse import urlsplit

import pytest
import time_machine
from flask_babel import force_locale

from app import create_app, i18n
from app.email import Draft, OutboxMessage
from app.email.catalogue import drafts, preview
from app.email.models import new_message_id
from app.email.render import render
from app.email.smtp import Message
from config import Testing
from tests import spam
from tests.letters import LANGUAGES, Letter, columns, squeezed

HOST = "accounts.rekey.example"
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
SETTINGS = {"BASE_URL": f"https://{HOST}", "SUPPORT_EMAIL": "help@rekey.example"}
KINDS = sorted(path.name for path in (Path(__file__).parent.parent / "app/templates/email").iterdir() if path.is_dir())

# The pages each mail leads to, with a token or without, and which of them is its button.
PAGES = {
    "address_kept": ["/auth/register"],
    "already_registered": ["/auth/reset_password/…", "/auth/not_me/…"],
    "change_email": ["/auth/change_email/…"],
    "email_change_asked": ["/auth/not_me/…", "/auth/reset_password_request"],
    "email_changed": ["/auth/undo_email_change/…"],
    "email_confirmed": ["/auth/reset_password_request"],
    "email_taken_back": ["/auth/reset_password_request"],
    "goodbye": ["/auth/register"],
    "new_sign_in": ["/auth/reset_password_request"],
    "password_changed": ["/auth/reset_password_request"],
    "register": ["/auth/register/…"],
    "reset_password": ["/auth/reset_password/…", "/auth/not_me/…"],
    "sign_in_failures": ["/auth/reset_password_request"],
    "test": [""],
}
BUTTONLESS = {"address_kept", "goodbye", "test"}  # nothing has to be done
LIVES = {  # of the link that the button opens, and the number that tells it in the mail
    "already_registered": (timedelta(hours=1), 1),
    "change_email": (timedelta(hours=1), 1),
    "email_change_asked": (timedelta(hours=24), 24),
    "email_changed": (timedelta(days=7), 7),
    "register": (timedelta(hours=24), 24),
    "reset_password": (timedelta(hours=1), 1),
}
TELLS_NOBODY = {"address_kept", "change_email", "goodbye", "register", "test"}  # an unproven mailbox is not to know
TELLS_WHO = [kind for kind in KINDS if kind not in TELLS_NOBODY]
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Reply-To",
    "Message-ID",
    "Content-Language",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}


@cache
def application(**settings):
    return create_app(type("Mailing", (Testing,), SETTINGS | settings))


def letters_of(app, languages=LANGUAGES) -> dict[tuple[str, str], Letter]:
    with app.app_context(), time_machine.travel(NOW, tick=False):
        return {
            (kind, language): Letter(preview(kind, language).as_bytes()) for kind in drafts() for language in languages
        }


@pytest.fixture(scope="module")
def letters():
    return letters_of(application())


def only(kinds):
    """Not every mail, but these; in every language still."""
    pairs = [(kind, language) for kind in kinds for language in LANGUAGES]
    return pytest.mark.parametrize("kind_and_language", pairs, ids="-".join, indirect=True)


@pytest.fixture(params=[(kind, language) for kind in KINDS for language in LANGUAGES], ids="-".join)
def kind_and_language(request):
    return request.param


@pytest.fixture
def kind(kind_and_language):
    return kind_and_language[0]


@pytest.fixture
def language(kind_and_language):
    return kind_and_language[1]


@pytest.fixture
def letter(letters, kind_and_language):
    return letters[kind_and_language]


# Both parts


def test_there_are_two_parts_and_nothing_attached(letter):
    assert [part.get_content_type() for part in letter.message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert not letter.message.is_attachment()


def test_what_the_text_says_the_html_says_too(letter):
    shown = squeezed("".join(block.words for block in letter.page.blocks))
    assert letter.paragraphs
    for paragraph in letter.paragraphs:
        for line in paragraph.split("\n") if columns(paragraph) < 78 else [paragraph]:
            assert squeezed(line) in shown


def test_what_the_html_says_the_text_says_too(letter):
    shown = squeezed(letter.text)
    plain = [block for block in letter.page.blocks if block.tag == "p" and block.kind in ("", "facts")]
    assert len(plain) >= 2
    for line in (line for block in plain for line in block.lines):
        assert squeezed(line) in shown or line in [link.text for link in letter.page.links]


def test_both_parts_lead_to_the_same_pages_of_ours(letter, kind):
    assert sorted(set(letter.text_links)) == sorted({link.href for link in letter.page.links})
    assert [without_token(link) for link in letter.text_links] == PAGES[kind]


def without_token(link):
    url = urlsplit(link)
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("https", HOST, "", "")
    return re.sub(r"/[\w-]+(\.[\w-]+){2}$", "/…", url.path)


# Links


def test_a_link_stands_whole_and_alone_on_its_line(letter):
    lines = [line for block in letter.page.blocks for line in block.lines]
    for link in letter.text_links:
        assert letter.text.split("\n").count(link) == 1
        assert len(link) <= 200
    for link in letter.page.links:
        assert link.text in lines or link.kind == "button"
        assert link.text == link.href or link.kind != "link"


def test_there_is_one_button_and_its_link_is_shown_below_it(letter, kind):
    buttons = [link.href for link in letter.page.links if link.kind == "button"]
    assert len(buttons) == (kind not in BUTTONLESS)
    assert set(buttons) <= {link.href for link in letter.page.links if link.kind == "link"}
    assert [without_token(link) for link in buttons] == PAGES[kind][:1] * len(buttons)


@pytest.mark.asvs("3.6.1", "14.2.3")
def test_nothing_is_loaded_from_elsewhere(letter):
    loading = {"img", "link", "script", "iframe", "object", "embed", "video", "audio", "form", "svg", "base", "input"}
    assert not loading & {tag for tag, _ in letter.page.tags}
    assert not [name for _, attributes in letter.page.tags for name in attributes if name in ("src", "background")]
    assert not re.search(r"url\(|@import|@font-face", letter.html)


# Headers


def test_the_subject_says_what_and_for_whom(letter):
    subject = letter.subject
    assert "Rekey" in subject
    assert len(subject) <= 60
    assert not re.search(r"\b[A-Z]{3,}\b|://|[!]{2}", subject)
    assert not [letter for letter in subject if category(letter) in ("So", "Cc", "Cf")]
    assert letter.page.title == subject


def test_no_two_mails_have_one_subject(letters):
    for language in LANGUAGES:
        assert len({letters[kind, language].subject for kind in KINDS}) == len(KINDS)


def test_headers_are_ours_and_no_more_than_needed(letter, language):
    message = letter.message
    assert set(message.keys()) == HEADERS
    assert len(message.keys()) == len(HEADERS)
    assert message["From"] == "Rekey <no-reply@rekey.example>"
    assert message["To"] == "ann@example.com"
    assert message["Reply-To"] == "help@rekey.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Content-Language"] == language.replace("_", "-")
    assert re.fullmatch(r"<[a-z2-7]{26}@rekey\.example>", message["Message-ID"])
    assert message["Date"].datetime == NOW
    assert message["Date"].datetime.utcoffset().total_seconds() == 0


def test_answers_go_nowhere_where_there_is_nobody_to_answer():
    mail = letters_of(application(SUPPORT_EMAIL=""), ["en"])["reset_password", "en"]
    assert set(mail.message.keys()) == HEADERS - {"Reply-To"}


def test_the_reference_is_part_of_the_random_id(letter):
    start = letter.message["Message-ID"][1:9].upper()
    reference = f"{start[:4]}-{start[4:]}"
    assert reference in letter.text.rpartition("\n-- \n")[2]
    assert reference in letter.page.blocks[-1].words
    assert letter.page.blocks[-1].kind == "foot"


# Bytes and lines


def test_the_mail_is_seven_bit_in_short_lines(letter):
    assert letter.source.isascii()
    assert max(map(len, letter.source.split(b"\r\n"))) <= 78  # RFC 5322 wants no more; 998 is the limit
    assert not {b"\r", b"\n"} & set(letter.source.replace(b"\r\n", b""))
    assert len(letter.html.encode()) <= 30_000  # Gmail cuts off what is over 102 kB


def test_lines_of_text_fit_a_narrow_window_and_begin_well(letter):
    for line in letter.text.split("\n"):
        assert columns(line) <= 78 or line in letter.text_links
        assert line == line.rstrip() or line == "-- "
        assert not line or category(line[0]) not in ("Pe", "Pf", "Po")


# HTML


def test_the_page_tells_its_language_and_is_built_plainly(letter, language):
    tags = letter.page.tags
    told = {"lang": language.replace("_", "-"), "dir": "ltr"}
    assert tags[0] == ("html", told)
    [column] = [attributes for _, attributes in tags if attributes.get("class") == "mail"]
    assert told.items() <= column.items()  # some webmail drops what is around it
    assert column["role"] == "main"
    assert [block.tag for block in letter.page.blocks].count("h1") == 1
    assert not {"table", "center", "font"} & {tag for tag, _ in tags}
    assert "font: 16px/" in letter.page.style
    assert not [
        size for size in re.findall(r"(?:font-size: |font: 600 )(\d+)", letter.page.style) if 0 < int(size) < 15
    ]


def test_without_styles_there_is_still_all_to_read(letter):
    """The drawing leaves nothing behind, and the line that is hidden is worth reading."""
    drawing = [attributes for tag, attributes in letter.page.tags if attributes.get("class") == "cut"]
    assert [attributes["aria-hidden"] for attributes in drawing] == ["true"]
    assert all(block.words.strip() == "" for block in letter.page.blocks if block.kind == "cut")
    assert letter.page.blocks[1].kind == "preheader"


def test_the_line_beside_the_subject_is_worth_reading(letter, kind, language):
    preheader = letter.page.preheader
    assert 8 <= columns(preheader) <= 110
    assert preheader != letter.subject
    if kind in LIVES and kind != "email_change_asked":
        assert told(NOW + LIVES[kind][0], language) in preheader


def test_light_and_dark_are_both_thought_of(letter):
    metas = {attributes.get("name"): attributes.get("content") for tag, attributes in letter.page.tags if tag == "meta"}
    assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark"
    [night] = re.findall(r"@media \(prefers-color-scheme: dark\) \{(.*?\})\s*\}", letter.page.style, re.DOTALL)
    rules = re.findall(r"[\w-]+: #\w{6}[^;}]*", night)
    assert len(rules) >= 8
    assert all(rule.endswith("!important") for rule in rules)


# What is said


@only(LIVES)
def test_the_end_of_a_link_is_told_as_a_time_with_its_zone(letter, kind, language):
    life, number = LIVES[kind]
    [said] = [said for said in map(squeezed, letter.paragraphs) if squeezed(told(NOW + life, language)) in said]
    assert number in numbers(said)
    assert "UTC" in said


def test_a_life_is_never_rounded_up():
    for seconds, minutes in ((5400, 90), (5459, 90), (1199, 19), (600, 10)):
        letters = letters_of(application(RESET_LINK_MAX_AGE=seconds))
        for language in LANGUAGES:
            letter, end = letters["reset_password", language], told(NOW + timedelta(seconds=seconds), language)
            [said] = [said for said in map(squeezed, letter.paragraphs) if squeezed(end) in said]
            assert minutes in numbers(said)
            assert end in letter.page.preheader


def test_the_end_is_told_in_the_reader_s_zone():
    app = application()
    with app.app_context(), time_machine.travel(NOW, tick=False):
        draft = replace(drafts()["reset_password"], time_zone="Asia/Taipei")
        message = render(OutboxMessage(kind="reset_password", message_id=new_message_id()), draft)
    letter = Letter(message.as_bytes())
    for part in (letter.text, letter.page.preheader):
        assert squeezed(told(NOW + timedelta(hours=1), "en", "Asia/Taipei")) in squeezed(part)
    assert "UTC" not in letter.text


def told(moment, language, time_zone=None):
    """As the filter writes it, which has tests of its own."""
    with application().app_context(), force_locale(language):
        return i18n.moment({"reader": Draft("", {}, time_zone=time_zone)}, moment)


def numbers(text):
    return {int(number) for number in re.findall(r"(?<![\d.:])\d+", text)}


@only(TELLS_WHO)
def test_who_asked_is_told_in_words(letter, language):
    [facts] = [block for block in letter.page.blocks if block.kind == "facts"]
    when, who = facts.lines
    assert told(NOW, language) in when
    assert "Firefox (Linux)" in who
    assert "192.0.2.7" in who


def test_no_mail_holds_what_only_programs_read(letter):
    assert not re.search(r"Mozilla|Gecko|\{\{|\{%|%\(|None\b|undefined", letter.text + letter.html)


def test_a_mail_without_a_name_greets_all_the_same(letters):
    for language in LANGUAGES:
        greeting, named = (letters[kind, language].paragraphs[0] for kind in ("register", "reset_password"))
        assert "Ann" in named
        assert greeting not in ("", named)
        assert "None" not in greeting


# Spam


@spam.needs_spamassassin
def test_no_mail_looks_like_spam(letters, tmp_path):
    verdicts = spam.judge([letter.source for letter in letters.values()], tmp_path)
    assert [verdict for verdict in verdicts.values() if verdict.score >= spam.MOST] == []


@spam.needs_spamassassin
def test_what_looks_like_spam_is_found(tmp_path):
    """The string on which every filter of this kind agrees (GTUBE)."""
    bait = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    with application().app_context():
        message = Message(
            "ann@example.com", "Hello", f"{bait}\n", f"<p>{bait}</p>\n", {"Message-ID": "<1@rekey.example>"}
        )
    [verdict] = spam.judge([message.as_bytes()], tmp_path).values()
    assert verdict.score >= spam.MOST
