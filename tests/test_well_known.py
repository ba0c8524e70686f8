"""Addresses that others look for."""

from datetime import UTC, datetime

import pytest

from app import create_app
from config import Testing


@pytest.mark.parametrize(
    ("setting", "contact"),
    [
        ({"SECURITY_CONTACT": "security@example.com"}, "mailto:security@example.com"),
        ({"SECURITY_CONTACT": "https://example.com/report"}, "https://example.com/report"),
        ({"SUPPORT_EMAIL": "help@example.com"}, "mailto:help@example.com"),
    ],
)
def test_security_txt_says_where_to_report(setting, contact):
    client = create_app(type("WithContact", (Testing,), setting)).test_client()
    answer = client.get("/.well-known/security.txt")
    assert answer.content_type == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == contact
    assert fields["Canonical"] == "http://localhost/.well-known/security.txt"
    assert datetime.fromisoformat(fields["Expires"]) > datetime.now(UTC)


def test_without_a_contact_there_is_none(client):
    assert client.get("/.well-known/security.txt").status_code == 404
