"""What README and docs show is there: every link, setting and path; and every command has its place below.

`flask` commands are run by test_docs_commands.py. Whoever shows another command adds it to ELSEWHERE, with the file and
what in it runs the command, or to NOWHERE, with the reason.
"""

import re
import shlex
import subprocess
from collections import Counter

import pytest

from config import Config, load
from tests.markdown import ROOT, Command, Page, pages
from tests.test_ship import SETTINGS, Unit

GUIDES = pages("README.md", "SECURITY.md", "docs/*.md")
EVERYTHING = pages("*.md", "docs/*.md")
DEPLOYMENT = Page(ROOT / "docs/deployment.md")

# In prose a code span is a command when it begins with one of these.
PROGRAMS = {"flask", "make", "gunicorn", "pybabel", "pytest", "pip", "python", "python3", "sqlite3", "export"}
PROGRAMS |= {"pg_dump", "pg_restore", "createuser", "createdb", "apt", "systemctl", "nginx", "docker"}

COMMANDS = "tests/test_docs_commands.py::test_"
HERE = "tests/test_docs.py::test_"
ELSEWHERE = {
    "make": f"{HERE}make_lists_what_there_is_to_make",
    "make test": ".ci/run::make test",
    "make check": ".ci/run::make check",
    "make attack": "Makefile::pytest tests/attacks",
    "make chaos": "tests/test_chaos.py::test_a_campaign_of_kills_and_mail_servers_in_trouble_loses_nothing",
    "make asvs": "tests/test_asvs.py::test_the_page_is_what_requirements_and_marks_give",
    "pytest $(python": f"{COMMANDS}the_tests_of_one_requirement_are_found",
    "gunicorn wsgi:app": "tests/servers.py::gunicorn",
    "flask outbox work": "tests/test_server.py::test_a_worker_delivers_what_the_web_process_promised",
    "flask shell": "tests/test_tokens.py::test_the_walk_in_the_documentation_works",
    "pybabel compile": f"{COMMANDS}wording_of_ones_own_is_compiled_where_it_is_read",
    "umask 077; pg_dump": f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
    'umask 077; python3 -c "from': f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
    "pg_restore": f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
    'python3 -c "from': f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
    "mkdir": f"{HERE}following_the_deployment_page_gives_files_that_rekey_starts_with",
    "cp": f"{HERE}following_the_deployment_page_gives_files_that_rekey_starts_with",
    "umask 077; python3 -c 'import": f"{HERE}following_the_deployment_page_gives_files_that_rekey_starts_with",
    "umask 077; echo": f"{HERE}following_the_deployment_page_gives_files_that_rekey_starts_with",
    "nginx -t": "tests/test_ship.py::test_nginx_takes_its_files",
    "systemctl enable": f"{HERE}the_services_of_the_deployment_page_are_those_of_the_units",
    "systemctl restart": f"{HERE}the_services_of_the_deployment_page_are_those_of_the_units",
    "systemctl start": f"{HERE}the_services_of_the_deployment_page_are_those_of_the_units",
    "dropdb": f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
    "createdb --owner rekey rekey": f"{COMMANDS}a_backup_brings_accounts_back_and_no_session",
}
NOWHERE = {
    "make run": "serves until it is stopped; its migration and its server have tests of their own",
    "make bench-mail": "measures for minutes, and no figure of it is demanded",
    "make bench-timing": "measures for minutes, and no figure of it is demanded",
    "python -m benchmarks.claim": "fills a table with a million rows first",
    "export": "sets a variable of the reader's own shell",
    "apt": "changes the machine",
    "git clone": "an address for the reader to replace",
    "cd": "to a folder of the reader's machine",
    "python3 -m venv": "`make install`, by which these tests got their own, does the same",
    "pip install": "needs the network; `make install` does the same with requirements-dev.txt",
    "editor": "a person types there",
    "systemctl edit": "a person types there",
    "systemctl daemon-reload": "needs systemd as the first process",
    "systemctl reload": "needs systemd as the first process",
    "createuser": "asks for a password at the terminal, of a server that the machine shares",
    "ln": "switches a link on the reader's machine; where one is, it is shown",
    "install": "copies a script whose options have a test of their own",
    "rekey": "a flask command, each of which is run; its script has a test of its own",
}
SHOWN = {command.text: command for page in GUIDES for command in page.commands(PROGRAMS)}.values()


def place_of(command: Command) -> str | None:
    """The longest beginning in the tables."""
    fitting = [beginning for beginning in (*ELSEWHERE, *NOWHERE) if command.begins(beginning)]
    if "make" in fitting and command.words != ["make"]:
        fitting.remove("make")
    return max(fitting, key=len, default=None)


def test_every_command_is_run_by_a_test_or_has_a_reason_why_not():
    others = [command for command in SHOWN if command.program != "flask"]
    assert len(SHOWN) > 70
    assert [command for command in others if place_of(command) is None] == [], "place it in ELSEWHERE or NOWHERE"


def test_no_command_has_a_place_that_is_not_shown():
    used = Counter(place_of(command) for command in SHOWN)
    assert [beginning for beginning in (*ELSEWHERE, *NOWHERE) if not used[beginning]] == []


@pytest.mark.parametrize("beginning", ELSEWHERE)
def test_what_runs_a_command_is_there(beginning):
    path, _, what = ELSEWHERE[beginning].partition("::")
    text = (ROOT / path).read_text()
    assert (f"def {what}(" if what.startswith("test_") else what) in text


def test_no_block_of_commands_hides_behind_the_name_of_a_language():
    assert {language for page in GUIDES for language, _ in page.blocks} == {"", "text", "ini", "jinja", "pycon"}


def make(*words):
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("command", [one for one in SHOWN if one.program == "make"], ids=lambda one: one.text)
def test_make_knows_how_to_make_it(command):
    done = make("--dry-run", *command.words[1:])
    assert done.returncode == 0, done.stderr


def test_make_lists_what_there_is_to_make():
    listed = re.findall(r"^  make (\S+)", make().stdout, re.MULTILINE)
    assert {one.words[1] for one in SHOWN if one.begins("make") and one.words[1:]} <= set(listed)


# Deployment


def as_if(text, folder):
    """The command with its absolute paths below that folder."""
    return re.sub(r"(?<=[\s':])/(?=etc/|var/|opt/)", f"{folder}/", text)


def sh(text, **options):
    return subprocess.run(["/bin/sh", "-ec", text], check=True, timeout=30, **options)


def test_following_the_deployment_page_gives_files_that_rekey_starts_with(tmp_path, monkeypatch):
    for folder in ("etc/systemd/system", "etc/nginx/conf.d"):
        (tmp_path / folder).mkdir(parents=True)
    for command in DEPLOYMENT.commands(PROGRAMS):
        if command.program in ("mkdir", "cp", "umask"):
            sh(as_if(command.text, tmp_path), cwd=ROOT)
    secrets = {path.name: path for path in (tmp_path / "etc/rekey").iterdir()}
    assert [oct(path.stat().st_mode & 0o777) for path in secrets.values()] == ["0o600"] * 3
    for name, path in secrets.items():
        monkeypatch.setenv(f"{name.upper()}_FILE", str(path))
    [settings] = [content for language, content in DEPLOYMENT.blocks if language == "ini"]
    for line in settings.split("\n"):
        if line.strip():
            monkeypatch.setenv(*line.strip().split("=", 1))
    monkeypatch.setenv("FLASK_CONFIG", "production")
    assert load()["DATABASE_URL"] == "sqlite:////var/lib/rekey/rekey.db"
    placed = {path.name for path in tmp_path.rglob("etc/*/**/*") if path.is_file()}
    assert placed - set(secrets) == {path.name for path in ROOT.glob("deploy/[sn]*/*")} | {"rekey.conf"}


def units():
    return {path.stem: Unit(path) for path in (ROOT / "deploy/systemd").iterdir()}


def test_the_services_of_the_deployment_page_are_those_of_the_units():
    named = {word for one in SHOWN if one.program == "systemctl" for word in one.words if word.startswith("rekey")}
    assert {re.sub(r"@\d+$", "@", name) for name in named} == units().keys()


def test_a_command_beside_the_services_has_their_settings_and_secrets():
    """What systemd puts in place of %d in a unit's file, it does not in what systemd-run hands it."""
    script = (ROOT / "deploy/rekey").read_text()
    words = shlex.split(script.partition("exec ")[2])
    given = [word.removeprefix("--property=").split("=", 1) for word in words if word.startswith("--property=")]
    assert 'secrets="/run/credentials/$unit.service"' in script
    assert "--unit=$unit" in words
    worker = units()["rekey-worker@"]
    for key in ("LoadCredential", "EnvironmentFile", "DynamicUser", "User", "StateDirectory", "WorkingDirectory"):
        assert [value for name, value in given if name == key] == worker[key]
    files = [word for line in worker["Environment"] for word in line.split() if "%d" in word]
    assert [value for name, value in given if name == "Environment"] == [
        file.replace("%d", "$secrets") for file in files
    ]
    assert words[-2] == worker["ExecStart"][0].split()[0]


# Links, settings, paths


@pytest.mark.parametrize("page", EVERYTHING, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors, link


OF_NO_SETTING = {
    "NAME_FILE": "NAME stands for a setting",
    "LANGUAGES": "a constant of config.py",
    "PURPOSES": "a constant of app/auth/tokens.py",
    "UPDATE": "SQL",
    "ROUNDS": "of make chaos",
    "EMAIL": "stands for an address",
    "REFERENCE": "stands for a reference",
    "TEXT": "stands for a text",
    "NAME": "stands for a name",
    "PASSWORD": "stands for a password",
    "FILE": "stands for a file",
    "N": "stands for a number",
}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_setting_that_is_named_exists(page):
    shown = [*page.spans, *(content for language, content in page.blocks if language in ("", "ini"))]
    for text in shown:
        for name in re.findall(r"(?<![\w-])[A-Z][A-Z0-9_]*(?![\w-])(?=[=\s]|$)", text):
            known = SETTINGS | OF_NO_SETTING.keys()
            assert name in known or name.removesuffix("_FILE") in SETTINGS, f"{name}, in {text!r}"


def test_the_readme_lists_every_setting_and_no_other():
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(["FLASK_CONFIG", *Config.__annotations__])


FOLDERS = (ROOT, ROOT / "app", ROOT / "app/email", ROOT / "app/templates/email", ROOT / "deploy/nginx")
FOLDERS += tuple((ROOT / "app/templates/email").iterdir())
MADE_LATER = {".env": "by the reader", "instance/": "in development"}
A_PATH = re.compile(r"(?![/.]?\w*://)[\w.][\w.<>…/-]*(/|\.(py|md|html|txt|css|conf|toml|po|env|yml))")


def paths_in(page):
    return [span for span in page.spans if A_PATH.fullmatch(span) or span.partition("/")[0] in ("app", "docs", "tests")]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_path_of_the_repository_exists(page):
    for path in paths_in(page):
        pattern = re.sub(r"<\w+>|…", "*", path)
        assert path in MADE_LATER or any(any(folder.glob(pattern)) for folder in FOLDERS), path


def test_paths_are_found():
    assert sum(len(paths_in(page)) for page in GUIDES) > 40
