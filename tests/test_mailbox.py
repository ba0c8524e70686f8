"""The development mailbox: mail sent over SMTP is read back in the browser."""

import os
import re
import smtplib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app
from app.email.mailbox import Catcher
from app.email.smtp import Connection, Message
from config import Testing

LETTER = b"""\
From: Rekey <no-reply@rekey.example>
To: ann@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Fri, 20 Nov 2026 12:00:00 +0000
Message-ID: <one@rekey.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="part"

--part
Content-Type: text/plain; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

plain gr=FC=DFe
--part
Content-Type: text/html; charset="utf-8"

<!doctype html>
<html lang="de"><head><title>Hello</title></head><body><a href="http://localhost/">click</a></body></html>
--part--
""".replace(b"\n", b"\r\n")

BROKEN = {
    "nothing at all": b"",
    "only bytes": b"\xff\xfe\x00\x80",
    "a charset that does not exist": b"Content-Type: text/html; charset=klingon\r\n\r\nqapla'",
    "a charset that is no charset": b"Content-Type: text/plain; charset=undefined\r\n\r\nhello",
    "bytes outside their charset": b"Content-Type: text/plain; charset=us-ascii\r\n\r\n\xe4\xf6\xfc",
    "a multipart without a boundary": b"Content-Type: multipart/mixed\r\n\r\nhello",
    "a multipart that never ends": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n",
    "a lone surrogate in HTML": b"Content-Type: text/html; charset=utf-7\r\n\r\n+2AA-",
    "a lone surrogate in text": b"Subject: =?utf-7?q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA-",
    "a date beyond the calendar": b"Date: Fri, 20 Nov 2026 12:00:00 +999999999999999\r\n\r\n",
    "addresses that are none": b'From: <\r\nTo: @, "(\r\n\r\n',
    "bytes in a header": b"Subject: \xe4\xf6\xfc\r\nTo: \xff\r\n\r\n",
}


@pytest.fixture(scope="module")
def dev_app():
    settings = {"DEV_MAILBOX": True, "MAIL_SERVER": "", "MAIL_SUPPRESS_SEND": False}
    return create_app(type("Dev", (Testing,), settings))


@pytest.fixture
def app(dev_app, tmp_path):
    """The application as in development, with an empty mailbox."""
    dev_app.instance_path = str(tmp_path)
    return dev_app


@pytest.fixture
def send(app):
    """Sends a message over SMTP, as it stands."""

    def send(message: bytes) -> None:
        host, port = app.extensions["mail_catcher"].address()
        with smtplib.SMTP(host, port, local_hostname="localhost") as server:
            server.sendmail("no-reply@rekey.example", ["ann@example.com"], message)

    return send


@pytest.fixture
def page_of(client, send):
    """Sends a message; the URL of its page."""

    def page_of(message: bytes) -> str:
        send(message)
        return re.search(r'"(/dev/mailbox/[^"]+)"', client.get("/dev/mailbox").text).group(1)

    return page_of


def test_an_empty_mailbox_says_how_to_get_a_first_mail(client):
    page = client.get("/dev/mailbox")
    assert page.status_code == 200
    assert 'href="/auth/register"' in page.text


def test_mails_are_listed_newest_first(client, send):
    for number in ("first", "second", "third"):
        send(b"Subject: the %s\r\nTo: ann@example.com\r\n\r\nhello" % number.encode())
    page = client.get("/dev/mailbox").text
    assert re.findall(r"the (first|second|third)", page) == ["third", "second", "first"]
    assert page.count("ann@example.com") == page.count("<time") == 3


def test_a_long_list_stops_and_says_so(client, send, monkeypatch):
    monkeypatch.setattr("app.email.mailbox.LIST_LENGTH", 1)
    send(b"Subject: old\r\n\r\n")
    send(b"Subject: new\r\n\r\n")
    page = client.get("/dev/mailbox").text
    assert "These are the newest 1 of 2." in page
    assert "new</a>" in page
    assert "old</a>" not in page


def test_mail_from_the_site_lands_in_the_mailbox(app, client):
    with app.app_context(), Connection() as connection:
        connection.send(Message("ann@example.com", "Your link", "text", "<p>html</p>", {}))
    assert "Your link" in client.get("/dev/mailbox").text


def test_the_page_of_a_mail_shows_all_of_it(client, page_of):
    url = page_of(LETTER)
    page = client.get(url).text
    assert "<h1>Grüße</h1>" in page
    assert "Rekey &lt;no-reply@rekey.example&gt;" in page
    assert "Fri, 20 Nov 2026 12:00:00 +0000" in page
    assert "plain grüße" in page
    assert "&lt;one@rekey.example&gt;" in page
    assert "plain gr=FC=DFe" in page
    assert f'src="{url}/html"' in page


def test_a_mail_is_kept_byte_for_byte(page_of, tmp_path):
    page_of(LETTER)
    [file] = (tmp_path / "mailbox" / "new").iterdir()
    assert file.read_bytes() == LETTER


def test_only_the_page_of_a_mail_may_frame_anything(client, page_of):
    policy = client.get(page_of(LETTER)).headers["Content-Security-Policy"]
    frameless = client.get("/dev/mailbox").headers["Content-Security-Policy"]
    assert sorted(policy.split("; ")) == sorted([*frameless.split("; "), "frame-src 'self'"])


def test_the_html_part_runs_nothing_and_loads_nothing(client, page_of):
    headers = client.get(page_of(LETTER) + "/html").headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers.getlist("Content-Security-Policy") == [
        "sandbox allow-top-navigation-by-user-activation allow-popups; default-src 'none'; "
        "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    ]
    assert headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]


def test_links_in_the_html_part_leave_the_frame(client, page_of):
    html = client.get(page_of(LETTER) + "/html").text
    assert html.startswith('<!doctype html><base target="_top">')
    fragment = client.get(page_of(b"Content-Type: text/html\r\n\r\n<a href='/'>click</a>") + "/html").text
    assert fragment.startswith('<base target="_top"><a')


def test_a_mail_without_html_has_no_frame(client, page_of):
    url = page_of(b"Subject: plain\r\n\r\nhello")
    assert "<iframe" not in client.get(url).text
    assert client.get(url + "/html").status_code == 404


def test_markup_in_a_mail_is_shown_and_not_obeyed(client, page_of):
    url = page_of(b"Subject: <script>1</script>\r\nTo: <script>2</script>\r\n\r\n</pre><script>3</script>")
    for page in (client.get("/dev/mailbox").text, client.get(url).text):
        assert "<script>" not in page
        assert "&lt;script&gt;1" in page


@pytest.mark.parametrize("key", ["x", "../x", "..%2fsecret", "..", "%00", "new%2fx", "%ff", "cur", "x" * 5000])
@pytest.mark.parametrize("view", ["", "/html"])
def test_no_key_leads_out_of_the_mailbox(client, send, tmp_path, key, view):
    send(LETTER)
    (tmp_path / "secret").write_text("Subject: secret")
    assert client.get(f"/dev/mailbox/{key}{view}").status_code == 404


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_mail_is_shown_as_well_as_can_be(client, page_of, message):
    url = page_of(message)
    assert client.get(url).status_code == 200
    assert client.get(url + "/html").status_code == (200 if b"text/html" in message else 404)


def test_an_unknown_charset_does_not_hide_the_text(client, page_of):
    assert "qapla" in client.get(page_of(BROKEN["a charset that does not exist"]) + "/html").text


def test_all_threads_of_a_process_share_one_server(app):
    catcher = Catcher(app)
    with ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(lambda _: catcher.address(), range(32)))
    assert len(addresses) == 1


def test_a_forked_process_starts_a_server_of_its_own(app, monkeypatch):
    catcher = app.extensions["mail_catcher"]
    parent, process = catcher.address(), os.getpid()
    monkeypatch.setattr("app.email.mailbox.os.getpid", lambda: process + 1)
    assert catcher.address() != parent


def test_catching_mail_logs_nothing(send, caplog, capfd):
    caplog.set_level("INFO")
    send(LETTER)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.asvs("15.2.3")
def test_without_the_setting_there_is_no_mailbox_and_nothing_of_it_is_loaded(root):
    program = """
import sys
from app import create_app
from config import Testing

client = create_app(Testing).test_client()
print(*(client.get(f"/dev/{page}").status_code for page in ("mailbox", "mails", "mails/test", "mails/test/html")))
print({"app.email.mailbox", "app.auth.mail_samples", "aiosmtpd"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split("\n") == ["404 404 404 404", "set()", ""]
