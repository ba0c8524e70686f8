"""The shape of the code: who may import whom, which pages there are, and how long a function may get."""

import ast
import re
from statistics import median, quantiles

import pytest

from app import create_app

BOTTOM = {
    *("app.commands", "app.extensions", "app.database", "app.keys", "app.logs", "app.schema", "app.signals"),
    "log_lines",
}

# Module or package -> what of ours it may import besides itself and BOTTOM (design.md, section 2).
MAY_IMPORT = {
    "app": {
        "app.auth",
        "app.doctor",
        "app.email",
        "app.errors",
        "app.i18n",
        "app.limits",
        "app.look",
        "app.main",
        "app.metrics",
        "app.rekey",
        "app.security",
        "config",
    },
    "app.main": {"app.auth.models", "app.i18n", "app.look", "app.security"},
    "app.auth": {"app.email", "app.i18n", "app.limits", "app.security"},
    "app.doctor": {"app.email", "app.translate", "config_checks"},
    "app.email": {"app.limits"},
    "app.metrics": {"app.email"},
    "app.limits": set(),
    "app.errors": {"app.i18n", "app.security"},
    "app.i18n": {"app.languages", "app.security", "app.translate"},
    "app.languages": set(),
    "app.translate": set(),
    "app.look": {"config"},
    "app.rekey": set(),
    "app.security": set(),
    "app.extensions": set(),
    "app.database": set(),
    "app.keys": set(),
    "app.schema": set(),
    "app.commands": set(),
    "wsgi": {"app", "config"},
    "config": {"config_checks"},
    "config_checks": set(),
    "log_lines": set(),
    "gunicorn.conf": {"app.email", "config"},
}

ROUTES = {
    "/.well-known/security.txt": "GET",
    "/.well-known/change-password": "GET",
    "/": "GET",
    "/account": "GET",
    "/account/activity": "GET",
    "/account/delete": "GET POST",
    "/account/email": "GET POST",
    "/account/email/cancel": "POST",
    "/account/password": "GET POST",
    "/account/profile": "GET POST",
    "/account/sessions": "GET",
    "/account/sessions/<session_id>/end": "POST",
    "/account/sessions/end_others": "POST",
    "/auth/change_email": "GET POST",
    "/auth/change_email/<token>": "GET",
    "/auth/confirm": "GET POST",
    "/auth/undo_email_change": "GET POST",
    "/auth/undo_email_change/<token>": "GET",
    "/healthz": "GET",
    "/language": "POST",
    "/readyz": "GET",
    "/static/<path:filename>": "GET",
    "/auth/check_your_inbox": "GET",
    "/auth/login": "GET POST",
    "/auth/logout": "POST",
    "/auth/dead_link": "GET",
    "/auth/new_link": "POST",
    "/auth/not_me": "GET POST",
    "/auth/not_me/<token>": "GET",
    "/auth/register": "GET POST",
    "/auth/register/<token>": "GET",
    "/auth/register/finish": "GET POST",
    "/auth/reset_password": "GET POST",
    "/auth/reset_password/<token>": "GET",
    "/auth/reset_password_request": "GET POST",
}


@pytest.fixture(scope="module")
def modules(request):
    """The syntax tree of every module of ours, by name."""
    root = request.config.rootpath
    files = [*root.glob("app/**/*.py"), *root.glob("*.py")]
    names = {
        path: str(path.relative_to(root).with_suffix("")).replace("/", ".").removesuffix(".__init__") for path in files
    }
    return {names[path]: ast.parse(path.read_text()) for path in files}


def imports(tree):
    """Absolute names; `from app.x import y` counts as app.x.y where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module):
    return max((name for name in MAY_IMPORT if module == name or module.startswith(f"{name}.")), key=len)


def test_imports_go_one_way(modules):
    for name, tree in modules.items():
        package = package_of(name)
        ours = {target for target in imports(tree) if target in modules} - {"app"}
        for target in ours - BOTTOM:
            inside = package not in ("app", "wsgi") and package_of(target) == package
            assert inside or target in MAY_IMPORT[package], f"{name} imports {target}"


# Within app.auth: what knows no request stands on what knows less.
INSIDE_AUTH = {
    "app.auth.blocklist": set(),
    "app.auth.password_hashes": set(),
    "app.auth.passwords": {"app.auth.blocklist", "app.auth.password_hashes", "app.signals"},
    "app.auth.tokens": {"app.keys"},
    "app.auth.models.events": {"app.database", "app.extensions", "app.signals"},
    "app.auth.models.users": {
        "app.auth.models.events",
        "app.auth.tokens",
        "app.database",
        "app.email",
        "app.extensions",
    },
    "app.auth.models.links": {"app.auth.models.users", "app.database", "app.email", "app.extensions"},
}


@pytest.mark.parametrize("name", INSIDE_AUTH)
def test_what_knows_no_request_stands_on_little(modules, name):
    ours = {target for target in imports(modules[name]) if target in modules} - {"app", "app.auth", "app.auth.models"}
    assert ours <= INSIDE_AUTH[name]


def test_the_bottom_imports_nothing_above(modules):
    for name in BOTTOM:
        assert {target for target in imports(modules[name]) if target in modules} <= BOTTOM | {"app"}


def test_others_know_only_the_public_names_of_the_mail_service(modules):
    for name, tree in modules.items():
        if not name.startswith("app.email") and name != "app":
            assert not [target for target in imports(tree) if target.startswith("app.email.") and target in modules]


def names_used(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


def test_only_config_reads_the_environment(modules):
    readers = [name for name, tree in modules.items() if re.search(r"\bos\.(environ|getenv)", ast.unparse(tree))]
    assert readers == ["config"]


@pytest.mark.asvs("15.2.5")
def test_only_one_module_talks_smtp(modules):
    talkers = [name for name, tree in modules.items() if {"smtplib", "flask_mail"} & set(imports(tree))]
    assert sorted(talkers) == ["app.email.diagnosis", "app.email.smtp", "app.extensions"]  # the first knows errors only


def test_models_tokens_and_passwords_never_see_the_request(modules):
    for name in (*INSIDE_AUTH, "app.email.models", "app.email.outbox", "app.limits"):
        assert not {"request", "session"} & {target.rpartition(".")[2] for target in imports(modules[name])}


def test_only_views_commands_and_the_worker_commit(modules):
    committers = {name for name, tree in modules.items() if "commit" in names_used(tree)}
    assert committers == {
        "app.auth.account",
        "app.auth.change_email",
        "app.auth.cli",
        "app.auth.promises",
        "app.auth.recover",
        "app.auth.register",
        "app.auth.sessions",
        "app.auth.sign_in",
        "app.database",  # the session's own, which makes calls after it
        "app.email.cli",
        "app.email.heartbeat",
        "app.email.outbox",
        "app.email.purge",
        "app.main.language",
    }


@pytest.mark.asvs("6.3.4", "13.4.5")
def test_the_pages_are_those_of_the_contract():
    rules = create_app("testing").url_map.iter_rules()
    assert {rule.rule: " ".join(sorted(rule.methods - {"HEAD", "OPTIONS"})) for rule in rules} == ROUTES


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_functions_and_files_stay_small(modules):
    lengths = {
        f"{name}.{function.name}": function.end_lineno - function.lineno + 1
        for name, tree in modules.items()
        for function in functions(tree)
    }
    assert median(lengths.values()) <= 8
    assert quantiles(lengths.values(), n=10)[-1] <= 20
    assert [name for name, length in lengths.items() if length > 40] == []


def test_views_stay_short(modules):
    for name, tree in modules.items():
        for function in functions(tree):
            marks = [ast.unparse(mark.func) for mark in function.decorator_list if isinstance(mark, ast.Call)]
            if {"bp.route", "bp.get", "bp.post"} & set(marks):
                assert function.end_lineno - function.lineno < 15, f"{name}.{function.name}"


def test_files_stay_short(root):
    files = [*root.glob("app/**/*.py"), *root.glob("*.py"), *root.glob("migrations/*.py")]
    assert [path.name for path in files if len(path.read_text().splitlines()) > 300] == []


NOT_TEXT = "{% block main_class %}.*?{% endblock %}|{#.*?#}|{%.*?%}|{{.*?}}|<style>.*?</style>|<!doctype html>|<[^>]*>"


def test_every_visible_string_can_be_translated(root):
    """Between tags there is nothing but marks, expressions and what is the same in every language."""
    for path in root.glob("app/templates/**/*.html"):
        text = re.sub(NOT_TEXT, "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"[A-Za-z]{2,}", text), path


def test_no_file_names_a_registry(root):
    for path in [*root.glob("requirements*.txt"), root / "pyproject.toml"]:
        assert not re.search(r"https?://|index-url", path.read_text()), path
