"""Every message has good words in every language. Where this fails: make translate, and fill in messages.po."""

import logging
import os
import re
import shutil

import pytest
from click import ClickException
from flask_babel import force_locale, ngettext

from app import create_app, translate
from config import Testing

LANGUAGES = translate.translated(Testing.LANGUAGES)
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[a-zA-Z%]")


@pytest.fixture(scope="module")
def site():
    return create_app("testing")


@pytest.fixture(scope="module")
def source(site):
    """Every message of the source, collected afresh."""
    with site.app_context():
        return translate.extract()


@pytest.fixture
def own_copy(tmp_path, monkeypatch):
    """The catalogues in a folder that a test may spoil."""
    monkeypatch.setattr(translate, "TRANSLATIONS", tmp_path)
    monkeypatch.setattr(translate, "TEMPLATE", tmp_path / "messages.pot")
    shutil.copytree(translate.ROOT / "translations", tmp_path, dirs_exist_ok=True)
    return tmp_path


def forms_of(text):
    return [text] if isinstance(text, str) else list(text)


def messages(catalog):
    return {(message.id, message.context): message for message in catalog if message.id}


def placeholders(text):
    return sorted(PLACEHOLDER.findall(text))


def test_messages_are_found_in_python_in_pages_and_in_mails(source):
    places = {file for message in messages(source).values() for file, _ in message.locations}
    for file in ("auth/forms.py", "templates/base.html", "templates/email/reset_password/subject.txt"):
        assert f"app/{file}" in places
    assert {"Saved.", ("%(num)d hour", "%(num)d hours"), "Password"} <= {name for name, _ in messages(source)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_of_the_source_is_in_the_catalogue_and_no_other(source, language):
    catalog = translate.read(language)
    assert sorted(map(str, messages(source).keys() - messages(catalog).keys())) == []
    assert sorted(map(str, messages(catalog).keys() - messages(source).keys())) == []
    assert [*catalog.obsolete] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated_and_none_is_fuzzy(language):
    catalog = translate.read(language)
    assert [message.id for message in messages(catalog).values() if message.fuzzy] == []
    assert [message.id for message in messages(catalog).values() if not translate.is_translated(message)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_placeholders_of_its_message(language):
    """In every plural form."""
    for message in messages(translate.read(language)).values():
        allowed = [placeholders(text) for text in forms_of(message.id)]
        for text in filter(None, forms_of(message.string)):
            assert placeholders(text) in allowed, (message.id, text)


@pytest.mark.parametrize(("language", "number"), [("pt_BR", 2), ("zh_Hant_TW", 1)])
def test_a_catalogue_has_the_plural_forms_of_its_language(language, number):
    catalog = translate.read(language)
    assert catalog.num_plurals == number
    plurals = [message for message in messages(catalog).values() if message.pluralizable]
    assert plurals
    assert {len(forms_of(message.string)) for message in plurals} == {number}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_written_as_update_writes_it(source, own_copy, language):
    """So that an update changes no line but those of changed messages: no dates, no line numbers."""
    before = translate.catalogue(language).read_bytes()
    translate._write_po(translate.catalogue(language), translate.update(language, source))
    assert translate.catalogue(language).read_bytes() == before
    assert not re.search(rb"^#: .*:\d|\d{4}-\d\d-\d\d", before, re.MULTILINE)


@pytest.mark.parametrize(
    ("language", "words"), [("pt_BR", ["0 hora", "1 hora", "2 horas"]), ("zh_Hant_TW", ["0 小時", "1 小時", "2 小時"])]
)
def test_what_is_compiled_is_shown(site, language, words):
    with site.test_request_context(), force_locale(language):
        assert [ngettext("%(num)d hour", "%(num)d hours", number) for number in (0, 1, 2)] == words


def test_a_new_language_begins_with_every_message(site, source, own_copy):
    with site.app_context():
        translate._write_po(translate.catalogue("fr"), translate.update("fr", source))
    catalog = translate.read("fr")
    assert messages(catalog).keys() == messages(source).keys()
    assert not any(translate.is_translated(message) for message in messages(catalog).values())


def test_a_changed_message_is_fuzzy_until_somebody_has_looked_at_it(source, own_copy):
    catalog = translate.read("pt_BR")
    catalog.delete("Saved.")
    catalog.add("Saved!", "Salvo!")
    translate._write_po(translate.catalogue("pt_BR"), catalog)
    message = translate.update("pt_BR", source)["Saved."]
    assert (message.string, message.fuzzy) == ("Salvo!", True)


def test_the_commands_say_what_they_did(site, own_copy):
    runner = site.test_cli_runner()
    extracted = runner.invoke(args=["translate", "extract"])
    assert re.fullmatch(r"\d{3} messages\.\n", extracted.output)
    assert "Saved." in (own_copy / "messages.pot").read_text()
    updated = runner.invoke(args=["translate", "update"])
    assert re.fullmatch(r"(\w+: \d+ of \d+ messages to translate\.\n){2}", updated.output)
    for path in own_copy.rglob("*.mo"):
        path.unlink()
    assert runner.invoke(args=["translate", "compile"]).output == "pt_BR: compiled.\nzh_Hant_TW: compiled.\n"
    assert translate.stale(Testing.LANGUAGES) == []


def test_a_language_without_a_catalogue_is_not_compiled(site, own_copy):
    shutil.rmtree(own_copy / "pt_BR")
    result = site.test_cli_runner().invoke(args=["translate", "compile"])
    assert result.exit_code == 1
    assert result.output == "Error: pt_BR has no messages.po. Run: flask translate update\n"


def test_a_translation_that_would_break_a_page_is_not_compiled(own_copy):
    catalog = translate.read("pt_BR")
    catalog["%(email)s is now the address of your account."].string = "%(mail)s mudou"
    translate._write_po(translate.catalogue("pt_BR"), catalog)
    before = translate.compiled("pt_BR").read_bytes()
    with pytest.raises(ClickException, match="is now the address of your account"):
        translate.compile_catalogue("pt_BR")
    assert translate.compiled("pt_BR").read_bytes() == before


@pytest.mark.parametrize("harm", ["missing", "old"])
def test_a_server_that_would_be_silently_english_says_so_once(own_copy, caplog, harm):
    translate.compile_catalogue("zh_Hant_TW")
    compiled = translate.compiled("pt_BR")
    if harm == "missing":
        compiled.unlink()
    else:
        os.utime(compiled, (0, 0))
    with caplog.at_level(logging.WARNING):
        create_app(type("Served", (Testing,), {"TESTING": False}))
    assert [record.getMessage() for record in caplog.records] == [
        "not compiled, and so shown in English: pt_BR. Run: flask translate compile"
    ]


def test_a_server_with_every_language_compiled_says_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        create_app(type("Served", (Testing,), {"TESTING": False}))
    assert caplog.records == []
