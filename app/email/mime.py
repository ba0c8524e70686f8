"""A mail as bytes: text and HTML of the same content, seven-bit, in short lines.

The standard library's EmailMessage parses every header it is given and takes a third of a mail's time; ours are few and
known. What it guards against is guarded against here: no header can hold a line break or another control character.
"""

import re
from binascii import b2a_qp
from email.header import Header
from email.utils import formataddr, parseaddr
from functools import lru_cache
from unicodedata import category

LONGEST_PLAIN = 60  # characters of a subject that need no folding


def build(headers: dict[str, str], text: str, html: str, boundary: str) -> bytes:
    """Return a multipart/alternative message (RFC 2046). Raises ValueError for what no header may hold."""
    head = [_header(name, value) for name, value in headers.items()]
    head.append(f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{boundary}"\r\n')
    parts = [_part("plain", text), _part("html", html)]
    separator = f"\r\n--{boundary}".encode()
    return "".join(head).encode() + separator + separator.join(parts) + separator + b"--\r\n"


@lru_cache
def encode_address(address: str) -> str:
    """An address with the name before it, quoted or encoded as that name needs. Raises ValueError."""
    name, mailbox = parseaddr(address)
    _check(address)
    if not mailbox.isascii():
        raise ValueError("an address that SMTP cannot carry")
    return formataddr((name, mailbox))


def _header(name: str, value: str) -> str:
    """Encoded words (RFC 2047) where needed; addresses and ids come ready and must not be folded."""
    _check(value)
    if name == "Subject" and (not value.isascii() or len(value) > LONGEST_PLAIN or "=?" in value):
        value = Header(value, "utf-8", maxlinelen=76, header_name=name).encode(linesep="\r\n")
    return f"{name}: {value}\r\n"


def _check(value: str) -> None:
    if any(category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value):  # CR, LF and NUL among others
        raise ValueError("a control character in a header")


def _part(subtype: str, content: str) -> bytes:
    content = re.sub(r"\r\n?", "\n", content)
    # b2a_qp cuts lines at 76 characters and encodes trailing spaces (RFC 2045, 6.7).
    body = b2a_qp(content.encode(), istext=True).replace(b"\n", b"\r\n")
    head = f'\r\nContent-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode() + body
