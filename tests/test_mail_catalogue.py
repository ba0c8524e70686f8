"""Every mail to look at with made-up facts: in the browser at /dev/mails, as a file by `flask mail preview`."""

import re
from html import unescape

import pytest

from app import create_app
from app.email.catalogue import drafts
from app.extensions import mail
from config import Testing
from tests.letters import LANGUAGES, Letter

FRAME_POLICY = (
    "sandbox allow-top-navigation-by-user-activation allow-popups; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)


@pytest.fixture(scope="module")
def app():
    """As in development, but where its database should be there is none."""
    settings = {"DEV_MAILBOX": True, "DATABASE_URL": "sqlite:////nowhere/rekey.db"}
    return create_app(type("Looking", (Testing,), settings))


@pytest.fixture
def kinds(root):
    return sorted(path.name for path in (root / "app/templates/email").iterdir() if path.is_dir())


@pytest.fixture
def preview(app):
    """Runs `flask mail preview`."""

    def run(*arguments):
        return app.test_cli_runner().invoke(args=["mail", "preview", *arguments])

    return run


def test_every_folder_of_templates_has_a_sample(app, kinds):
    with app.app_context():
        assert list(drafts()) == kinds


def test_the_list_leads_to_every_mail_in_every_language(client, kinds):
    page = client.get("/dev/mails")
    assert page.status_code == 200
    assert page.text.count("<h1") == 1
    links = re.findall(r'href="(/dev/mails/[^"]+)"', page.text)
    assert list(map(unescape, links)) == [f"/dev/mails/{kind}?locale={tag}" for kind in kinds for tag in LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mail_has_a_page_and_its_frames(client, kinds, language):
    for kind in kinds:
        page = client.get(f"/dev/mails/{kind}?locale={language}")
        assert page.status_code == 200
        frames = re.findall(r'<iframe class="(\w+)"[^>]* src="([^"]+)"', page.text)
        assert [shape for shape, _ in frames] == ["mail", "mail", "phone", "phone"]
        for _, link in frames:
            assert client.get(unescape(link)).status_code == 200


def test_the_page_of_a_mail_shows_its_text_and_its_headers(client):
    page = client.get("/dev/mails/reset_password").text
    assert re.findall(r"<h1[^>]*>([^<]+)</h1>", page) == ["Reset your password for Rekey"]
    assert "Hello Ann," in page
    assert "<dt>Auto-Submitted</dt><dd>auto-generated</dd>" in page
    assert "<dt>Content-Language</dt><dd>en</dd>" in page


@pytest.mark.parametrize(
    ("scheme", "night", "meta"),
    [
        ("&scheme=light", "@media not all {", 'content="light"'),
        ("&scheme=dark", "@media all {", 'content="dark"'),
        ("", "@media (prefers-color-scheme: dark) {", 'content="light dark"'),
    ],
)
def test_a_mail_can_be_seen_by_day_and_by_night(client, scheme, night, meta):
    html = client.get(f"/dev/mails/reset_password/html?locale=en{scheme}").text
    assert html.startswith('<!doctype html><base target="_top">')
    assert html.count(night) == 1
    assert html.count(meta) == 2


def test_a_frame_runs_nothing_and_loads_nothing(client):
    headers = client.get("/dev/mails/reset_password/html").headers
    assert headers.getlist("Content-Security-Policy") == [FRAME_POLICY]
    page = client.get("/dev/mails/reset_password")
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.text.count("<iframe") == page.text.count(
        'sandbox="allow-top-navigation-by-user-activation allow-popups"'
    )


@pytest.mark.parametrize(
    "url",
    [
        "/dev/mails/nothing",
        "/dev/mails/nothing/html",
        "/dev/mails/_base.html",
        "/dev/mails/..%2ferrors",
        "/dev/mails/reset_password?locale=xx",
        "/dev/mails/reset_password?locale=",
        "/dev/mails/reset_password/html?locale=../en",
        "/dev/mails/reset_password/html?scheme=blue",
    ],
)
def test_what_there_is_not_is_not_found(client, url):
    assert client.get(url).status_code == 404


def test_no_mail_leaves_for_being_looked_at(app, client, preview):
    with mail.record_messages() as sent:
        client.get("/dev/mails")
        client.get("/dev/mails/goodbye")
        preview("goodbye")
    assert sent == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_preview_is_a_whole_message(preview, kinds, language):
    for kind in kinds:
        result = preview(kind, "--locale", language)
        assert result.exit_code == 0
        letter = Letter(result.stdout_bytes)
        assert letter.message["Content-Language"] == language.replace("_", "-")
        assert letter.text
        assert letter.html.startswith("<!doctype html>")
        assert b"\r\n" in result.stdout_bytes


def test_the_preview_speaks_the_first_language_unless_told(preview):
    assert Letter(preview("goodbye").stdout_bytes).message["Content-Language"] == LANGUAGES[0]


def test_a_wrong_kind_or_language_is_answered_with_the_right_ones(preview, kinds):
    for arguments, right in ((["nothing"], kinds), (["goodbye", "--locale", "xx"], LANGUAGES)):
        result = preview(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert ", ".join(right) in " ".join(result.stderr.split())


def test_the_preview_works_in_production_too():
    """As an operator sees it: the operator's name and address, and no development page loaded."""
    app = create_app(type("Branded", (Testing,), {"APP_NAME": "Acme", "SUPPORT_EMAIL": "help@acme.example"}))
    letter = Letter(app.test_cli_runner().invoke(args=["mail", "preview", "reset_password"]).stdout_bytes)
    assert letter.subject == "Reset your password for Acme"
    assert letter.message["Reply-To"] == "help@acme.example"
    assert letter.message["From"].startswith("Acme <")
