"""A mail as bytes, read back by the standard library's strict parser."""

from email import message_from_bytes, policy

import pytest

from app.email.mime import build, encode_address

STRICT = policy.default.clone(raise_on_defect=True)


def read(headers=None, text="text\n", html="<p>html</p>\n"):
    source = build({"Subject": "Hello"} | (headers or {}), text, html, boundary="=_b")
    assert source.isascii()
    assert max(len(line) for line in source.split(b"\r\n")) <= 998
    assert b"\r" not in source.replace(b"\r\n", b"")
    assert b"\n" not in source.replace(b"\r\n", b"")
    return message_from_bytes(source, policy=STRICT)


@pytest.mark.parametrize(
    "subject",
    [
        "Reset your password",
        "Redefina sua senha \u2013 Rekey",
        "\u91cd\u8a2d\u60a8\u7684\u5bc6\u78bc",
        "mot de passe\u00a0: non",
        "\U0001f511 " * 20,
        "x" * 300,
        "word " * 50 + "end",
        "=?utf-8?q?hi?= there",
    ],
)
def test_a_subject_comes_back_as_it_was(subject):
    assert read({"Subject": subject})["Subject"].strip() == subject.strip()


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize("value", ["a\nBcc: eve@evil.example", "a\r\n\r\nbody", "a\0", "a\u2028b", "a\x1bb", "\ud800"])
@pytest.mark.parametrize("name", ["Subject", "Reply-To", "Message-ID"])
def test_no_header_holds_a_line_break_or_another_control(name, value):
    with pytest.raises(ValueError, match="control character"):
        build({name: value}, "text", "html", boundary="=_b")


def test_an_id_of_a_long_domain_is_not_folded():
    message_id = f"<{'k' * 26}@{'long-' * 10}example.com>"
    assert read({"Message-ID": message_id})["Message-ID"] == message_id


@pytest.mark.parametrize(
    "body",
    [
        "plain\n",
        "\n",
        ".\n..\n.dot\n",
        "trailing space \ntab\t\n",
        "-- \nsignature\n",
        "x" * 5000 + "\n",
        "\u91cd\u8a2d \U0001f511 \u00e9\n" * 50,
        "--=_b--\n",
        "=3D = ==\n",
    ],
)
def test_a_body_comes_back_as_it_was(body):
    message = read(text=body, html=body)
    for kind in ("plain", "html"):
        assert message.get_body([kind]).get_content().replace("\r\n", "\n") == body


@pytest.mark.parametrize("newline", ["\r", "\r\n", "\n"])
def test_every_kind_of_newline_is_one(newline):
    assert read(text=f"a{newline}b\n").get_body(["plain"]).get_content() == "a\r\nb\r\n"


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        ("Rekey <a@example.com>", "Rekey", "a@example.com"),
        ('"Acme, Inc." <a@example.com>', "Acme, Inc.", "a@example.com"),
        ("\u00c9quipe <a@example.com>", "\u00c9quipe", "a@example.com"),
        ("a@example.com", "", "a@example.com"),
    ],
)
def test_an_address_keeps_its_name(given, name, address):
    [found] = read({"From": encode_address(given)})["From"].addresses
    assert (found.display_name, found.addr_spec) == (name, address)


@pytest.mark.parametrize(
    "address", ["\u00e9va@example.com", "a@ex\u00e4mple.com", "a@example.com\r\nBcc: b@example.com"]
)
def test_an_address_that_smtp_cannot_carry_is_refused(address):
    with pytest.raises(ValueError, match=r"cannot carry|control character"):
        encode_address(address)
