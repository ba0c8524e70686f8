"""flask translate: from the messages in the source to catalogues, and from those to what the application reads."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import click
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from flask import current_app

from app.commands import CommandGroup

ROOT = Path(__file__).parent
TRANSLATIONS = ROOT / "translations"
TEMPLATE = TRANSLATIONS / "messages.pot"
KEYWORDS = {**DEFAULT_KEYWORDS, "_l": None, "lazy_gettext": None}
# Lines that change with the day or the version of Babel, or say nothing.
LEFT_OUT = tuple(
    f'"{name}:'
    for name in (
        *("POT-Creation-Date", "PO-Revision-Date", "Generated-By"),
        *("Project-Id-Version", "Report-Msgid-Bugs-To", "Last-Translator", "Language-Team"),
    )
)

group = CommandGroup("translate", short_help="Collect messages and compile their translations.")


@group.command("extract")
def extract_command() -> None:
    """Write all messages of the source to app/translations/messages.pot."""
    catalog = extract()
    _write_po(TEMPLATE, catalog)
    click.echo(f"{len(catalog)} messages.")


@group.command("update")
def update_command() -> None:
    """Bring messages.po of each language up to date with the source, and begin those that are missing.

    A changed message keeps its old translation, marked as fuzzy: put it right and take the mark away. What is fuzzy
    or empty is shown in English.
    """
    template = extract()
    for language in translated(current_app.config["LANGUAGES"]):
        catalog = update(language, template)
        _write_po(catalogue(language), catalog)
        open_ = sum(not is_translated(message) for message in catalog if message.id)
        click.echo(f"{language}: {open_} of {len(catalog)} messages to translate.")


@group.command("compile")
def compile_command() -> None:
    """Write messages.mo, which the application reads, beside messages.po of each language."""
    for language in translated(current_app.config["LANGUAGES"]):
        if not catalogue(language).exists():
            raise click.ClickException(f"{language} has no messages.po. Run: flask translate update")
        compile_catalogue(language)
        click.echo(f"{language}: compiled.")


def extract() -> Catalog:
    """Every message in Python and in the templates; the latter are read by the environment that renders them."""
    catalog = Catalog(header_comment="# Rekey's messages.", fuzzy=False)
    methods: Any = [("templates/**", from_template), ("**.py", "python")]
    for file, _, message, comments, context in extract_from_dir(ROOT, methods, keywords=KEYWORDS):
        catalog.add(message, locations=[(f"app/{Path(file).as_posix()}", 0)], auto_comments=comments, context=context)
    return catalog


def from_template(
    file: IO[bytes], keywords: Mapping[str, Any], tags: Sequence[str], options: Mapping[str, Any]
) -> Iterator[tuple[int, str, Any, list[str]]]:
    """Babel's extractor for Jinja, without its habit of skipping a template that it cannot read."""
    for line, function, message in current_app.jinja_env.extract_translations(file.read().decode(), [*keywords]):  # type: ignore[attr-defined]
        yield line, function, message, []


def update(language: str, template: Catalog) -> Catalog:
    """The language's catalogue with exactly the messages of the template."""
    path = catalogue(language)
    catalog = read(language) if path.exists() else Catalog(locale=language, fuzzy=False)
    catalog.header_comment = f"# Rekey's messages, for {language}."
    catalog.update(template, update_creation_date=False)
    return catalog


def read(language: str) -> Catalog:
    with catalogue(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def is_translated(message: Any) -> bool:
    """Whether there are good words for it, in every plural form."""
    words = message.string if isinstance(message.string, list | tuple) else [message.string]
    return all(words) and not message.fuzzy


def compile_catalogue(language: str) -> None:
    """Raises click.ClickException where a translation would break at run time."""
    catalog = read(language)
    for message, errors in catalog.check():
        raise click.ClickException(f"{catalogue(language)}: {message.id!r}: {errors[0]}")
    content = BytesIO()
    write_mo(content, catalog)
    _write(compiled(language), content.getvalue())


def stale(languages: Iterable[str]) -> list[str]:
    """Those whose messages.mo is missing, or older than its messages.po."""
    return [language for language in translated(languages) if _is_stale(catalogue(language), compiled(language))]


def translated(languages: Iterable[str]) -> list[str]:
    """All but English, in which the messages are written."""
    return [language for language in languages if language.split("_")[0] != "en"]


def catalogue(language: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"


def compiled(language: str) -> Path:
    return catalogue(language).with_suffix(".mo")


def _is_stale(source: Path, target: Path) -> bool:
    if not target.exists():
        return True
    return source.exists() and target.stat().st_mtime_ns < source.stat().st_mtime_ns


def _write_po(path: Path, catalog: Catalog) -> None:
    """The same messages give the same bytes, whatever the day, the machine and the line numbers.

    What has not changed is left alone, and so not compiled anew.
    """
    content = BytesIO()
    write_po(content, catalog, sort_by_file=True, include_lineno=False, ignore_obsolete=True, include_previous=True)
    lines = content.getvalue().decode().splitlines(keepends=True)
    new = "".join(line for line in lines if not line.startswith(LEFT_OUT)).encode()
    if not path.exists() or path.read_bytes() != new:
        _write(path, new)


def _write(path: Path, content: bytes) -> None:
    """In one step: a server may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)
