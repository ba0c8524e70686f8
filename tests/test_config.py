"""Settings: typed, checked together, and without side effects."""

import inspect
import re
import subprocess
import sys

import pytest

import config
from config import Config, ConfigError, Development, load

PRODUCTION = {
    "FLASK_CONFIG": "production",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "BASE_URL": "https://account.example.com",
    "DATABASE_URL": "postgresql://rekey@db.example.com/rekey",
    "MAIL_SERVER": "mail.example.com",
    "MAIL_USE_TLS": "1",
    "MAIL_DEFAULT_SENDER": "no-reply@example.com",
}

SETTINGS = {"FLASK_CONFIG", *inspect.get_annotations(Config)}


@pytest.fixture
def environ(monkeypatch):
    """A function that loads the settings of this environment and no other."""

    def load_with(**changes):
        settings = {name: value for name, value in (PRODUCTION | changes).items() if value is not None}
        monkeypatch.setattr("os.environ", settings)
        return load()

    return load_with


def problems(environ, **changes):
    with pytest.raises(ConfigError) as error:
        environ(**changes)
    return [str(finding) for finding in error.value.findings]


def test_a_complete_environment_is_accepted(environ):
    settings = environ()
    assert settings["SQLALCHEMY_DATABASE_URI"] == "postgresql+psycopg://rekey@db.example.com/rekey"
    assert settings["MAIL_DEFAULT_SENDER"] == "Rekey <no-reply@example.com>"
    assert settings["MAIL_DELIVERY"] == "worker"
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["SESSION_COOKIE_NAME"] == "__Host-session"


@pytest.mark.asvs("13.2.3", "13.3.1")
def test_production_is_the_default_and_has_no_default_secret(environ):
    assert any(
        problem.startswith("SECRET_KEY is missing") for problem in problems(environ, FLASK_CONFIG=None, SECRET_KEY=None)
    )


@pytest.mark.asvs("13.2.3")
def test_every_missing_setting_is_named_at_once(environ):
    missing = problems(environ, **dict.fromkeys(PRODUCTION.keys() - {"FLASK_CONFIG"}))
    assert {problem.split()[0] for problem in missing} == {
        "SECRET_KEY",
        "BASE_URL",
        "DATABASE_URL",
        "MAIL_SERVER",
        "MAIL_DEFAULT_SENDER",
    }


@pytest.mark.asvs("13.4.2", "12.3.1", "11.2.3", "13.3.1", "1.4.2")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLASK_CONFIG", "prodution"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", " " * 50),
        ("SECRET_KEY", "a" * 32),
        ("SECRET_KEY_FALLBACKS", "short"),
        ("APP_NAME", "Re\nkey"),
        ("FLASK_DEBUG", "1"),
        ("BASE_URL", "https://a..b"),
        ("BASE_URL", "https://exa mple.com"),
        ("BASE_URL", "https://account.example.com/a b"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("BASE_URL", "http://account.example.com"),
        ("BASE_URL", "account.example.com"),
        ("BASE_URL", "https://user@account.example.com"),
        ("BASE_URL", "https://account.example.com/?a=b"),
        ("BASE_URL", "http://["),
        ("BASE_URL", "https://account.example.com:99999"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://a/b"),
        ("DATABASE_URL", "postgresql://u:p@host:port/x"),
        ("MAIL_PORT", "smtp"),
        ("MAIL_PORT", "99999"),
        ("MAIL_DEFAULT_SENDER", "a b@c d"),
        ("MAIL_DEFAULT_SENDER", "a@example.com, b@example.com"),
        ("MAIL_DEFAULT_SENDER", "n\u00f6@example.com"),
        ("SUPPORT_EMAIL", "not an address"),
        ("SUPPORT_EMAIL", "help@example.com\n"),
        ("MAIL_CA_FILE", __file__),
        ("MAIL_USE_TLS", "maybe"),
        ("MAIL_USE_TLS", "0"),
        ("MAIL_USE_SSL", "1"),
        ("MAIL_DEFAULT_SENDER", "nobody"),
        ("MAIL_DELIVERY", "pigeon"),
        ("MAIL_CA_FILE", "/nowhere/ca.pem"),
        ("MAIL_TIMEOUT", "0"),
        ("RESET_LINK_MAX_AGE", "599"),
        ("RESET_LINK_MAX_AGE", "86401"),
        ("PASSWORD_MIN_LENGTH", "7"),
        ("ARGON2_MEMORY_KIB", "19455"),
        ("ARGON2_PASSES", "1"),
        ("TRUSTED_PROXIES", "-1"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_BIND", "9100"),
        ("METRICS_BIND", "127.0.0.1:99999"),
        ("WEB_CONCURRENCY", "-1"),
        ("SECRET_KEY_FILE", "/nowhere/secret"),
    ],
)
def test_an_unsafe_or_mistyped_setting_is_named(environ, name, value):
    found = problems(environ, **{name: value})
    assert len(found) == 1
    assert name.removesuffix("_FILE") in found[0] or name == "MAIL_USE_SSL"


@pytest.mark.asvs("16.2.5")
def test_a_secret_never_shows_in_the_message(environ):
    assert "hunter2" not in str(problems(environ, SECRET_KEY="hunter2", SECRET_KEY_FALLBACKS="hunter2"))


@pytest.mark.parametrize("password", ["hun@ter2", "hun@ter2/x", "hu/n@ter2"])
def test_no_part_of_a_password_is_taken_for_the_host_or_name_of_the_database(environ, password):
    [problem] = problems(environ, DATABASE_URL=f"postgresql://rekey:{password}@127.0.0.1/rekey")
    assert problem == "DATABASE_URL cannot be used: percent-encode @ : / in the password."


@pytest.mark.parametrize("user", ["rekey:hun%40ter2", "rekey@server:hunter2"])
def test_a_password_that_is_encoded_and_a_user_with_a_server_are_fine(environ, user):
    assert environ(DATABASE_URL=f"postgresql://{user}@127.0.0.1/rekey")


@pytest.mark.asvs("13.3.1")
def test_a_secret_may_come_from_a_file(environ, tmp_path):
    (tmp_path / "key").write_text("fedcba9876543210fedcba9876543210\n")
    assert environ(SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "key"))["SECRET_KEY"] == "fedcba9876543210" * 2


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("ON", True), ("0", False), ("False", False)])
def test_booleans_are_parsed_and_not_guessed(environ, text, value):
    assert environ(MAIL_ALLOW_PLAINTEXT=text)["MAIL_ALLOW_PLAINTEXT"] is value


@pytest.mark.asvs("3.3.1")
@pytest.mark.parametrize("spelling", ["HTTPS://account.example.com", " https://account.example.com/ "])
def test_cookies_are_secure_however_https_is_spelt(environ, spelling):
    assert environ(BASE_URL=spelling)["SESSION_COOKIE_SECURE"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_addresses_work_as_hosts_give_them(environ, scheme):
    url = environ(DATABASE_URL=f"{scheme}://a:b@host/name")["SQLALCHEMY_DATABASE_URI"]
    assert url == "postgresql+psycopg://a:b@host/name"


def test_the_sender_falls_back_to_the_first_of_admins(environ):
    settings = environ(MAIL_DEFAULT_SENDER=None, ADMINS="ops@example.com, boss@example.com", APP_NAME="Acme, Inc.")
    assert settings["MAIL_DEFAULT_SENDER"] == '"Acme, Inc." <ops@example.com>'


@pytest.mark.parametrize(
    "sender", ["Example <a@example.com>", '"Example, Inc." <a@example.com>', "=?utf-8?b?w4k=?= <a@example.com>"]
)
def test_the_sender_may_have_a_name(environ, sender):
    assert environ(MAIL_DEFAULT_SENDER=sender)["MAIL_DEFAULT_SENDER"].endswith("<a@example.com>")


@pytest.mark.asvs("12.3.1")
def test_plain_smtp_is_for_this_machine_only(environ):
    assert environ(MAIL_SERVER="127.0.0.1", MAIL_USE_TLS="0")
    assert environ(MAIL_USE_TLS="0", MAIL_ALLOW_PLAINTEXT="1")


def test_without_mail_no_mail_server_is_needed(environ):
    assert environ(MAIL_DELIVERY="off", MAIL_SERVER=None, MAIL_DEFAULT_SENDER=None)


def test_without_mail_the_address_of_whom_to_ask_is_checked_all_the_same(environ):
    [problem] = problems(environ, MAIL_DELIVERY="off", SUPPORT_EMAIL="not an address")
    assert problem.startswith("SUPPORT_EMAIL is 'not an address'")


@pytest.mark.asvs("13.3.2")
def test_development_needs_no_setting_and_keeps_its_key(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr("os.environ", {"FLASK_CONFIG": "development", "PORT": "8000"})
    settings = load()
    assert settings["BASE_URL"] == "http://127.0.0.1:8000"
    assert len(settings["SECRET_KEY"]) == 64
    assert settings["SECRET_KEY"] == load()["SECRET_KEY"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_development_reads_dotenv_and_the_environment_wins(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    monkeypatch.setattr(config, "ROOT", tmp_path)
    (tmp_path / ".env").write_text("APP_NAME=From the file\nSUPPORT_EMAIL=help@example.com\n")
    monkeypatch.setattr("os.environ", {"FLASK_CONFIG": "development", "APP_NAME": "From the environment"})
    settings = load(Development)
    assert (settings["APP_NAME"], settings["SUPPORT_EMAIL"]) == ("From the environment", "help@example.com")


def test_importing_config_fails_nowhere_and_leaves_no_trace(root, tmp_path):
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); import config"]
    assert subprocess.run(command, env={}, cwd=tmp_path, check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_in_the_readme_and_no_other(root):
    first_cells = re.findall(r"^\| (.+?) \|", (root / "README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", " ".join(first_cells))) == SETTINGS


def test_every_setting_is_in_the_example_and_no_other(root):
    lines = (root / ".env.example").read_text()
    assert set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", lines, re.MULTILINE)) == SETTINGS
