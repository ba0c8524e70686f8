"""Write docs/asvs.md: the requirements of OWASP ASVS 5.0.0 with the tests that show each.

    python -m scripts.asvs          writes it
    python -m scripts.asvs 6.3.8    prints the tests of one requirement, for: pytest $(python -m scripts.asvs 6.3.8)

The requirements are in docs/asvs.toml; a test names those it shows with @pytest.mark.asvs("6.3.8").
"""

import ast
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "asvs.md"
PLACED = ("read", "doc", "deployment")
KINDS = {
    "test": "tested",
    "read": "read",
    "doc": "written",
    "deployment": "operator",
    "deviation": "deviation",
    "later": "later",
    "open": "**open**",
    "none": "nothing to apply to",
}


@dataclass(frozen=True)
class Requirement:
    id: str
    level: int
    demand: str
    kind: str
    place: str = ""
    note: str = ""

    @classmethod
    def read(cls, id_: str, fields: list) -> "Requirement":
        level, demand, kind, *rest = fields
        place, note = [*rest, "", ""][:2] if kind in PLACED else ("", "".join(rest))
        return cls(id_, level, demand, kind, place, note)

    @property
    def chapter(self) -> str:
        return f"V{self.id.partition('.')[0]}"


@dataclass(frozen=True)
class Test:
    file: Path
    name: str

    @property
    def node(self) -> str:
        return f"{self.file.relative_to(ROOT)}::{self.name}"

    @property
    def sentence(self) -> str:
        return self.name.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def source() -> dict:
    return tomllib.loads((ROOT / "docs" / "asvs.toml").read_text())


def requirements() -> list[Requirement]:
    return [Requirement.read(id_, fields) for id_, fields in source()["requirements"].items()]


def marked_tests() -> dict[str, list[Test]]:
    """The tests that name each requirement, found without running any."""
    found = defaultdict(list)
    for file in sorted(ROOT.glob("tests/**/test_*.py")):
        for name, ids in _marks(ast.parse(file.read_text()), inherited=()):
            for id_ in dict.fromkeys(ids):
                found[id_].append(Test(file, name))
    return dict(found)


def _marks(parent: ast.Module | ast.ClassDef, inherited: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each test below `parent` with the ids on it, on its class and on its module, those of single parameters too."""
    inherited += tuple(id_ for node in parent.body if _is_pytestmark(node) for id_ in _ids(node))
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, inherited + _ids(*node.decorator_list)
        elif isinstance(node, ast.ClassDef):
            for name, ids in _marks(node, inherited + _ids(*node.decorator_list)):
                yield f"{node.name}::{name}", ids


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]


def _ids(*nodes: ast.AST) -> tuple[str, ...]:
    """The ids in every asvs mark inside these nodes. Raises ValueError for one that is not written out."""
    calls = [call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.asvs"]
    return tuple(ast.literal_eval(argument) for mark in marks for argument in mark.args)


def page() -> str:
    """What docs/asvs.md has to hold."""
    data, listed, tests = source(), requirements(), marked_tests()
    parts = [INTRODUCTION, _summary(listed)]
    for chapter, title in data["chapters"].items():
        rows = [_row(requirement, tests) for requirement in listed if requirement.chapter == chapter]
        parts.append(f"## {chapter} {title}\n\n{_table(HEAD, rows)}")
    reasons = [[id_, reason] for id_, reason in data["not_applicable"].items()]
    parts.append(f"## Not applicable\n\n{_table(['chapter, section or id', 'why'], reasons)}")
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# OWASP ASVS 5.0.0

The bar: level 1 whole, level 2 but for 6.3.3, level 3 where it applies. Each requirement is given in our own words,
with what it means here. *Tested* means by the tests beside it: a sentence is a test's name with spaces for underscores,
and `pytest $(python -m scripts.asvs 6.3.8)` runs those of one requirement. *Read* names the code to read, *written*
the document that is demanded, *operator* what is up to whoever runs the site. *Later* and *open* are not met yet.

This file is made by `make asvs` out of [asvs.toml](asvs.toml) and the marks on the tests; a test fails when it is not
what they say."""
HEAD = ["id", "level", "what it demands here", "status", "shown by"]


def _summary(listed: list[Requirement]) -> str:
    counts = Counter((requirement.level, requirement.kind) for requirement in listed)
    rows = [[f"level {level}", *(str(counts[level, kind] or "") for kind in KINDS)] for level in (1, 2, 3)]
    totals = Counter(requirement.kind for requirement in listed)
    rows.append([f"all {len(listed)}", *(str(totals[kind] or "") for kind in KINDS)])
    return _table(["", *KINDS.values()], rows)


def _row(requirement: Requirement, tests: dict[str, list[Test]]) -> list[str]:
    place = _link(*requirement.place.partition("#")[::2]) if requirement.place else ""
    shown = [part for part in (place, requirement.note, *_by_file(tests.get(requirement.id, []))) if part]
    status = KINDS[requirement.kind]
    return [requirement.id, str(requirement.level), requirement.demand, status, "<br>".join(shown)]


def _link(path: str, anchor: str) -> str:
    """To a heading of a document, or to a file with the text to look for."""
    relative = path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
    if path.endswith(".md"):
        return f"[{Path(path).name}, {anchor.replace('-', ' ')}]({relative}#{anchor})"
    return f"[{path}]({relative}): `{anchor}`"


def _by_file(tests: list[Test]) -> Iterator[str]:
    files = defaultdict(list)
    for test in tests:
        files[test.file.relative_to(ROOT)].append(test.sentence)
    for file, sentences in files.items():
        yield f"[{file.relative_to('tests').with_suffix('')}](../{file}): {'; '.join(sentences)}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def headings(document: str) -> set[str]:
    """The anchors GitHub gives the headings of a Markdown text."""
    titles = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def main(arguments: list[str]) -> None:
    if not arguments:
        TARGET.write_text(page())
        return
    tests = marked_tests()
    print("\n".join(test.node for id_ in arguments for test in tests.get(id_, [])))


if __name__ == "__main__":
    main(sys.argv[1:])
