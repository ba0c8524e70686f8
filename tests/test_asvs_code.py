"""What the code itself shows: what it never does, and what it is made of."""

import ast
import re
import tomllib

import pytest

from app.auth.blocklist import what_is_left


@pytest.fixture(scope="module")
def modules(request):
    """The syntax tree of every module that runs in production, by path."""
    root = request.config.rootpath
    files = [*root.glob("app/**/*.py"), *root.glob("*.py"), *root.glob("migrations/**/*.py")]
    return {str(path.relative_to(root)): ast.parse(path.read_text()) for path in files}


@pytest.fixture
def templates(root):
    return {path: path.read_text() for path in root.glob("app/templates/**/*") if path.is_file()}


def calls(modules):
    return [(path, node) for path, tree in modules.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call):
    """The last part of what is called: `check` of `form.check(...)`."""
    return ast.unparse(call.func).rpartition(".")[2]


def importers(modules, *names):
    """Which of our modules import one of these, or something below it."""
    found = {}
    for path, tree in modules.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        targets = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                targets |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        used = {name for name in names for target in targets if target == name or target.startswith(f"{name}.")}
        if used:
            found[path] = used
    return found


@pytest.mark.asvs("1.3.2", "1.3.7", "1.5.2", "1.2.5")
def test_no_text_is_run_as_code_template_command_or_pickle(modules):
    runs = {"eval", "exec", "__import__", "render_template_string", "from_string", "system", "popen", "Template"}
    assert [path for path, call in calls(modules) if name_of(call) in runs] == []
    assert [path for path, call in calls(modules) if ast.unparse(call.func) == "compile"] == []
    assert importers(modules, "subprocess", "pickle", "marshal", "shelve", "importlib", "yaml") == {}


@pytest.mark.asvs("1.3.10")
def test_no_text_is_a_format_string(modules):
    assert [path for path, call in calls(modules) if name_of(call) in ("format", "format_map", "vformat")] == []


@pytest.mark.asvs("1.2.4")
def test_no_sql_is_put_together_out_of_text(modules):
    """What is SQL in text is a constant."""
    named = ("text", "exec_driver_sql", "literal_column")
    raw = [(path, call) for path, call in calls(modules) if name_of(call) in named]
    raw = [(path, call) for path, call in raw if not path.startswith("migrations/")]
    assert [ast.unparse(call) for path, call in raw if name_of(call) == "literal_column"] == [
        """literal_column("'$argon2id$%'")"""
    ]
    assert {path for path, call in raw if name_of(call) != "literal_column"} == {"app/database.py"}
    source = ast.unparse(modules["app/database.py"])
    assert set(re.findall(r"exec_driver_sql\((.*)\)", source)) == {"'BEGIN' if reads else 'BEGIN IMMEDIATE'"}
    assert set(re.findall(r"connection\.execute\((.*)\)", source)) == {"'SELECT 1'", "f'PRAGMA {pragma}'"}


@pytest.mark.asvs("1.1.2", "1.2.1", "3.2.2")
def test_no_template_lets_text_through_as_markup(modules, templates):
    for path, template in templates.items():
        assert not re.search(r"\|\s*safe\b|autoescape|Markup|\|\s*forceescape", template), path
    assert importers(modules, "markupsafe") == {}


@pytest.mark.asvs("1.2.9")
@pytest.mark.parametrize("name", ["C++ (and more", "[a-z", "a|b{9}", "\\", ".*", "(?P<x", "$^"])
def test_what_a_person_is_called_is_no_pattern(name):
    assert what_is_left("the words stay as they are", [name]) == "the words stay as they are"


@pytest.mark.asvs("1.2.3", "3.2.3", "3.5.6", "3.5.7", "3.7.1", "15.3.6", "14.3.3")
def test_there_is_one_script_and_it_makes_no_markup_and_asks_nobody(root, templates):
    files = [path for path in root.glob("app/static/**/*") if path.is_file()]
    assert {path.name for path in files} == {"style.css", "rekey.js", "mark.svg"}
    ours = "<script src=\"{{ url_for('static', filename='rekey.js') }}\" type=\"module\"></script>"
    assert [path.name for path, text in templates.items() if ours in text] == ["base.html"]
    for text in [*templates.values(), *(path.read_text() for path in files)]:
        text = text.replace(ours, "")
        assert not re.search(r"<script|\bon[a-z]+\s*=\s*[\"']|javascript:|<object|<embed|<applet|@import", text, re.I)
    script = (root / "app/static/rekey.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch|XMLHttp|import", script
    )


@pytest.mark.asvs("11.1.3", "11.2.1")
def test_cryptography_is_used_in_these_places_and_comes_from_libraries(modules):
    used = importers(
        modules, "hashlib", "hmac", "argon2", "bcrypt", "itsdangerous", "secrets", "ssl", "werkzeug.security"
    )
    assert used == {
        "app/auth/device.py": {"hmac"},
        "app/auth/links.py": {"hashlib", "itsdangerous"},
        "app/auth/models/users.py": {"hashlib", "itsdangerous", "secrets"},
        "app/auth/password_hashes.py": {"argon2", "bcrypt", "hashlib", "hmac", "werkzeug.security"},
        "app/auth/passwords.py": {"argon2"},
        "app/auth/tokens.py": {"hashlib", "itsdangerous"},
        "app/email/diagnosis.py": {"ssl"},  # the names of its errors
        "app/email/models.py": {"secrets"},
        "app/email/smtp.py": {"secrets", "ssl"},
        "app/keys.py": {"hmac"},
        "app/logs.py": {"secrets"},  # to number requests
        "app/look.py": {"werkzeug.security"},  # safe_join
        "app/main/static_files.py": {"hashlib"},
        "config.py": {"secrets"},
        "config_checks.py": {"ssl"},
    }


@pytest.mark.asvs("11.5.1", "11.2.3", "6.5.3", "6.5.4", "7.2.3")
def test_what_must_not_be_guessed_comes_from_the_systems_generator(modules):
    """`random` is there once, to spread the pauses of workers."""
    assert importers(modules, "random", "uuid", "numpy") == {"app/email/outbox.py": {"random"}}
    assert "random.uniform(0.8, 1.2)" in ast.unparse(modules["app/email/outbox.py"])
    sizes = [call.args[0].value for _, call in calls(modules) if name_of(call) in ("token_urlsafe", "token_bytes")]
    assert min(sizes) >= 16


@pytest.mark.asvs("11.4.1")
def test_no_broken_hash_is_used(modules):
    for path, tree in modules.items():
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        words |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        words |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        words |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not {"md5", "sha1", "MD5", "SHA1", "crc32"} & words, path


OUTGOING = ("urllib.request", "http.client", "requests", "httpx", "aiohttp", "ftplib", "telnetlib", "xmlrpc", "imaplib")


@pytest.mark.asvs("1.3.6", "15.3.2", "13.2.4", "14.2.3")
def test_nothing_is_spoken_to_but_the_database_and_the_mail_server(modules):
    """Sockets are listened on, too: for metrics, and by the mailbox of development. Diagnosis knows names of errors;
    the doctor asks the DNS."""
    assert importers(modules, *OUTGOING) == {}
    assert set(importers(modules, "dns")) == {"app/doctor/sender_domain.py"}
    mail = {f"app/email/{name}.py" for name in ("smtp", "mailbox", "diagnosis")}
    assert set(importers(modules, "socket")) == {*mail, "app/metrics.py", "gunicorn.conf.py"}


@pytest.mark.asvs("15.1.2", "15.2.4")
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_part_is_named_with_its_version_and_hashes(root, name):
    parts = (root / name).read_text().replace("\\\n", " ").splitlines()
    assert len(parts) > 20
    for part in parts:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==[^ ]+ ", part), part
        assert "--hash=sha256:" in part, part


@pytest.mark.asvs("15.2.3", "15.1.2")
def test_production_installs_nothing_that_only_development_needs(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    direct = {re.match(r"[a-z0-9-]+", entry).group() for entry in project["project"]["dependencies"]}
    dev = {re.match(r"[a-z0-9-]+", entry).group() for entry in project["dependency-groups"]["dev"]}
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==", (root / "requirements.txt").read_text(), re.MULTILINE))
    assert direct <= locked
    assert dev & locked == set()
