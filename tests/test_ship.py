"""What is shipped: every file parses, and every command, setting, route and path it names exists."""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict

import pytest
import yaml

from app import create_app
from config import Config
from tests.nginx import Nginx

SETTINGS = {"FLASK_CONFIG", *inspect.get_annotations(Config)}
OF_PYTHON = {"PROMETHEUS_MULTIPROC_DIR", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
ACCOUNT = "/etc/letsencrypt/live/account.example.com"
UNITS = ["rekey-web@.service", "rekey-worker@.service", "rekey-migrate.service"]


def assert_is_a_setting(name):
    """Or the file of one, or what Python itself reads."""
    assert name in OF_PYTHON or name.removesuffix("_FILE") in SETTINGS, name


@pytest.fixture(scope="module")
def app():
    return create_app("testing")


@pytest.fixture
def assert_runs(app):
    """Checks a command line: a program that requirements.txt installs, and its sub-command and module."""

    def check(words):
        program, *arguments = shlex.split(words) if isinstance(words, str) else words
        name = program.rpartition("/")[2]
        if name == "flask":
            group, command = [word for word in arguments if not word.startswith("-")][:2]
            assert command in app.cli.commands[group].commands, words
        elif name == "gunicorn":
            assert arguments[0] == "wsgi:app"
            helped = subprocess.run([sys.executable, "-m", "gunicorn", "--help"], capture_output=True, check=True)
            assert [word for word in arguments if word.startswith("-") and word.encode() not in helped.stdout] == []
        else:
            assert name in ("python", "pip", "useradd"), words

    return check


def instructions(text):
    """Those of a Dockerfile, with lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]


@pytest.fixture
def dockerfile(root):
    return instructions((root / "Dockerfile").read_text())


def test_the_image_is_built_of_what_exists_and_by_commands_that_exist(root, dockerfile, assert_runs):
    by_name = defaultdict(list)
    for name, rest in dockerfile:
        by_name[name].append(rest)
    assert set(by_name) <= {
        "FROM",
        "WORKDIR",
        "RUN",
        "ENV",
        "COPY",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "CMD",
    }
    for line in by_name["COPY"]:
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        assert [path for path in sources if path[0] != "/" and not (root / path).exists()] == []
    for line in by_name["RUN"]:
        for command in line.split("&&"):
            words = [word for word in shlex.split(command) if "=" not in word or word.startswith("-")]
            assert_runs(words)
    for line in by_name["ENV"]:
        for assignment in shlex.split(line):
            assert_is_a_setting(assignment.partition("=")[0])
    [command] = by_name["CMD"]
    assert_runs(yaml.safe_load(command))


def test_the_image_runs_as_nobody_special_with_locked_parts_only(dockerfile):
    last = [rest for name, rest in dockerfile if name in ("FROM", "USER", "CMD")][-2:]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last[0])
    [install] = [rest for name, rest in dockerfile if name == "RUN" and rest.startswith("pip install")]
    assert {"--require-hashes", "--no-deps", "-r"} <= set(install.split())
    assert len({rest.split()[0] for name, rest in dockerfile if name == "FROM"}) == 1


def test_the_image_holds_all_that_is_imported_and_nothing_else_of_ours(root, dockerfile):
    copied = {word for name, rest in dockerfile if name == "COPY" and "--from" not in rest for word in rest.split()}
    modules = {path.name for path in root.glob("*.py")}
    assert modules <= copied
    let_in = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied - {"./"}


def test_probes_ask_for_routes_that_exist(root, app):
    files = [root / name for name in ("Dockerfile", "docker-compose.yml", "deploy/nginx.conf", "deploy/Caddyfile")]
    named = {route for path in files for route in re.findall(r"/(?:health|ready)z\b", path.read_text())}
    assert named == {"/healthz", "/readyz"}
    assert named <= {rule.rule for rule in app.url_map.iter_rules()}


@pytest.fixture
def compose(root):
    return yaml.safe_load((root / "docker-compose.yml").read_text())


def test_compose_starts_two_of_each_after_one_migration(compose, assert_runs):
    services = compose["services"]
    assert set(services) == {"web1", "web2", "worker1", "worker2", "migrate", "database", "mail", "proxy"}
    for name in ("web1", "web2", "worker1", "worker2"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    for service in services.values():
        if "command" in service:
            assert_runs(service["command"])
        assert service.get("depends_on", {}).keys() <= services.keys()


def test_compose_names_settings_secrets_and_files_that_exist(root, compose):
    text = (root / "docker-compose.yml").read_text()
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= compose["secrets"].keys()
        for setting, value in service["environment"].items() if service.get("build") else ():
            assert_is_a_setting(setting)
            assert isinstance(value, str), f"{name}: {setting}"
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert (root / source).exists() if source.startswith(".") else source in compose["volumes"], mount
    for secret in compose["secrets"].values():
        assert re.search(rf"(>|-keyout|-out) {secret['file']}\b", text), "nothing says how it is made"


def test_compose_holds_no_credential_and_opens_no_port_to_the_network(root, compose):
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        secrets = [name for name in service.get("environment", {}) if re.search("KEY|PASSWORD|DATABASE_URL", name)]
        assert [name for name in secrets if not name.endswith("_FILE")] == []
    ours = [service for service in compose["services"].values() if service.get("build")]
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)
    ignored = (root / ".gitignore").read_text().split()
    assert "secrets/" in ignored


def test_the_procfile_names_commands_that_exist(root, assert_runs):
    lines = dict(line.split(": ", 1) for line in (root / "Procfile").read_text().splitlines())
    assert set(lines) == {"release", "web", "worker"}
    for line in lines.values():
        for command in line.split("&&"):
            assert_runs(command.strip().removeprefix("exec "))


class Unit:
    """A unit file; its keys may come several times."""

    def __init__(self, path):
        self.values = defaultdict(list)
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, value = line.split("=", 1)
                self.values[section, key].append(value)

    def __getitem__(self, key):
        return self.values["Service", key]


@pytest.mark.parametrize("name", UNITS)
def test_units_name_settings_and_commands_that_exist_and_keep_secrets_in_files(root, name, assert_runs):
    unit = Unit(root / "deploy/systemd" / name)
    credentials = {line.partition(":")[0] for line in unit["LoadCredential"]}
    for line in unit["Environment"]:
        for assignment in shlex.split(line):
            setting, _, value = assignment.partition("=")
            assert_is_a_setting(setting)
            if setting.endswith("_FILE"):
                assert value.removeprefix("%d/") in credentials
            assert not re.search(r"(KEY|PASSWORD|DATABASE_URL)$", setting)
    [command] = unit["ExecStart"]
    assert_runs(command)
    for hardening in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert unit[hardening] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units_and_finds_them_well_closed(root, tmp_path, name):
    command = shutil.which("systemd-analyze") or pytest.skip("systemd is not installed")
    unit = tmp_path / name
    text = (root / "deploy/systemd" / name).read_text()
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    verified = subprocess.run([command, "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.stderr.strip(), verified.returncode) == ("", 0)
    looked = [command, "security", "--offline=true", "--threshold=20", unit]  # of 100, which is open to all
    assert subprocess.run(looked, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("directory", ["deploy/nginx", "deploy/compose"])
def test_nginx_takes_its_files(root, tmp_path, directory):
    nginx = Nginx(tmp_path, [])
    for path in (root / directory).glob("*.conf"):
        text = path.read_text()
        text = re.sub(rf"{ACCOUNT}/fullchain.pem|/run/secrets/tls_certificate", str(nginx.tls.certificate), text)
        text = re.sub(rf"{ACCOUNT}/privkey.pem|/run/secrets/tls_key", str(nginx.tls.key), text)
        text = re.sub(r"\bweb[12]:", "127.0.0.1:", text)  # names of containers
        text = re.sub(r"/var/log/nginx/|/dev/(?=std)", f"{tmp_path}/", text)
        nginx.include(path.name, text)
    assert {path.name for path in (tmp_path / "rekey").iterdir()} == {"nodes.conf", "https.conf", "http.conf"}
    checked = nginx.test()
    assert checked.returncode == 0, checked.stderr
    https = (root / directory / "https.conf").read_text()
    assert re.search(r"^access_log \S+ rekey;", https, re.MULTILINE)
    assert re.search(r"^error_log \S+ crit;", https, re.MULTILINE)


def test_the_nodes_of_the_samples_are_those_of_the_units(root):
    listening = set(re.findall(r"rekey-web@(\d+)", (root / "deploy/systemd/rekey-web@.service").read_text()))
    for name in ("deploy/nginx/nodes.conf", "deploy/Caddyfile"):
        assert set(re.findall(r"127\.0\.0\.1:(\d+)", (root / name).read_text())) == listening


def test_the_caddyfile_is_whole_and_keeps_links_out_of_its_logs(root):
    text = re.sub(r"\s#.*", "", (root / "deploy/Caddyfile").read_text())
    blocks = re.sub(r"\{\$?[a-zA-Z][^{}\s]*(?:[^{}\n]*)\}", "value", text)  # placeholders
    assert blocks.count("{") == blocks.count("}") == len(re.findall(r"(?:^|\s)\{$", blocks, re.MULTILINE))
    for field in ("request>uri", "request>headers", "resp_headers"):
        assert f"{field} delete" in text


def test_nothing_that_is_shipped_names_a_setting_that_does_not_exist(root):
    """Also in comments and advice."""
    files = [path for path in (root / "deploy").rglob("*") if path.is_file() and path.suffix != ".json"]
    for path in [*files, root / "docker-compose.yml", root / "Dockerfile", root / "Procfile"]:
        for name in re.findall(r"\b(?:MAIL|METRICS|LOG|TRUSTED|SECRET|DATABASE|BASE|WEB)_[A-Z_]+\b", path.read_text()):
            assert_is_a_setting(name)
