"""Change the code in one place at a time and see whether a test fails: mutation testing.

    python -m scripts.mutate app/limits.py -- tests/test_limits.py -k "not postgresql"
    python -m scripts.mutate app/limits.py:93,120 app/auth/tokens.py -- tests/test_limits.py tests/test_tokens.py

What follows the dashes is for pytest; what follows a colon are the lines to change. All happens in a copy of the tree.
A mutant that no test kills is printed as SURVIVED: it wants a test, or a reason why it means the same. One that takes
three times as long as the tests do counts as killed. Not changed: what is logged, and decorators.
"""

import ast
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from copy import copy
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

import argon2
import flask_babel
import flask_migrate
import flask_wtf
import pytest

ROOT = Path(__file__).parent.parent
PRELOADED = (argon2, flask_babel, flask_migrate, flask_wtf)  # once, for every run: saves each a second
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "instance")
SWAPPED = [(ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot)]
OPPOSITE = dict(SWAPPED) | {new: old for old, new in SWAPPED}
CRITERIA = {"where", "values", "order_by", "or_", "and_"}
LINKS = {"where", "order_by", "limit", "with_for_update"}  # of a chain of calls that makes a statement


class Mutant(NamedTuple):
    """The source of a file with the text of one node replaced."""

    file: str
    line: int
    source: str
    change: str


def mutants(target: str) -> list[Mutant]:
    """Every mutant of a file, or of some lines of it, in the order of the lines."""
    file, _, lines = target.partition(":")
    tree = ast.parse((ROOT / file).read_text())
    idle = {part for node in ast.walk(tree) for unused in idle_parts(node) for part in ast.walk(unused)}
    found = {mutant(file, *change) for node in ast.walk(tree) if node not in idle for change in changes(node)}
    return sorted(one for one in found if not lines or str(one.line) in lines.split(","))


def mutant(file: str, node: ast.AST, text: str) -> Mutant:
    source = (ROOT / file).read_bytes()
    lines = source.splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    old, line = " ".join(source[start:end].decode().split()), lines[node.lineno - 1].decode().strip()
    changed = (source[:start] + text.encode() + source[end:]).decode()
    return Mutant(file, node.lineno, changed, f"{old} -> {text}" + (f" in: {line}" if line not in old else ""))


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """What to replace in or below this node, and by which text."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield from ((test, text) for text in ("True", "False") if ast.unparse(test) != text)
        case ast.comprehension(ifs=tests):
            yield from ((test, "True") for test in tests)
        case ast.expr():
            yield from ((node, text) for text in expressions(node))
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, "return None"
        case ast.ExceptHandler(type=ast.expr() as kind) if not isinstance(node.body[0], ast.Raise):
            yield node, f"except {ast.unparse(kind)}: raise"
        case ast.Raise() | ast.AugAssign() | ast.Expr() | ast.Assign() if can_go(node):
            yield node, "pass"


def expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Call():
            yield from calls(node)
        case ast.BoolOp(values=values):
            yield from (f"({without(node, 'values', value)})" for value in values)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield from (str(value + 1), str(value - 1))
        case ast.Compare(ops=[op], comparators=[right]):
            yield f"({ast.unparse(ast.Compare(node.left, [OPPOSITE[type(op)]()], [right]))})"
        case ast.UnaryOp(op=ast.Not(), operand=inner) | ast.Subscript(value=inner, slice=ast.Slice()):
            yield f"({ast.unparse(inner)})"
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            other = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
            yield f"({ast.unparse(ast.BinOp(node.left, other, node.right))})"


def calls(node: ast.Call) -> Iterator[str]:
    """The call without one of its arguments, or what it is called on or with."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    yield from (without(node, "keywords", keyword) for keyword in node.keywords if keyword.arg)
    if name in CRITERIA and len(node.args) > 1:
        yield from (without(node, "args", argument) for argument in node.args)
    if name in LINKS:
        yield ast.unparse(node.func.value)
    if name in ("min", "max", "sorted"):
        yield from map(ast.unparse, node.args)
    if name in ("any", "all"):
        yield ast.unparse(node).replace(name, "all" if name == "any" else "any", 1)


def without(node: ast.expr, field: str, item: ast.AST) -> str:
    changed, rest = copy(node), [other for other in getattr(node, field) if other is not item]
    setattr(changed, field, rest)
    return ast.unparse(rest[0] if isinstance(node, ast.BoolOp) and len(rest) == 1 else changed)


def can_go(node: ast.stmt) -> bool:
    """Whether the statement has an effect of its own: no docstring, and no name that others need."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant) and not idle_parts(node.value)
    return not isinstance(node, ast.Assign) or isinstance(node.targets[0], ast.Attribute | ast.Subscript)


def idle_parts(node: ast.AST) -> list[ast.AST]:
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")
    return [node] if logs else getattr(node, "decorator_list", [])


def passes(tree: Path, arguments: list[str], patience: float | None) -> bool:
    process = get_context("fork").Process(target=run_pytest, args=(tree, arguments))
    process.start()
    process.join(patience)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def run_pytest(tree: Path, arguments: list[str]) -> None:
    os.setsid()
    os.chdir(tree)
    sys.path[0] = str(tree)
    del sys.modules["scripts"]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.exit(pytest.main(["-x", "-q", "--ff", *arguments]))  # what killed the last mutant kills the next, often


def survives(tree: Path, one: Mutant, arguments: list[str], patience: float) -> bool:
    path = tree / one.file
    original = path.read_text()
    path.write_text(one.source)
    alive = passes(tree, arguments, patience)
    path.write_text(original)
    print(f"{'SURVIVED' if alive else 'killed  '} {one.file}:{one.line}: {one.change}", flush=True)
    return alive


def main(arguments: list[str]) -> None:
    sys.dont_write_bytecode = True  # two mutants of one second and one size would share it
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    end = arguments.index("--")
    targets, rest = arguments[:end], arguments[end + 1 :]
    found = [one for target in targets for one in mutants(target)]
    with TemporaryDirectory() as directory:
        tree = Path(shutil.copytree(ROOT, Path(directory, "tree"), ignore=NOT_COPIED))
        began = monotonic()
        if not passes(tree, rest, None):
            sys.exit("mutate: the tests fail as it is")
        patience = 3 * (monotonic() - began) + 10
        alive = sum(survives(tree, one, rest, patience) for one in found)
    print(f"{len(found)} mutants, {len(found) - alive} killed, {alive} survived")
    sys.exit(bool(alive))


if __name__ == "__main__":
    main(sys.argv[1:])
