"""What a browser is shown, in a form that can be compared: whatever differs from answer to answer is taken out."""

import re

NONCES = ("Set-Cookie", "Date", "X-Request-ID")


def seen(visitor, path, **fields):
    """What a browser is shown when it sends a form: the answer, and the page it leads to, without their nonces."""
    visitor.get(path)
    answer = visitor.submit(**fields)
    return [plain(answer, fields["email"]), plain(visitor.page, fields["email"])]


def plain(answer, address):
    """Status, headers, attributes of cookies, and body."""
    names = [(name, "NONCE" if name in NONCES else value) for name, value in answer.header_lines]
    cookies = [re.sub("=[^;]*", "", line, count=1) for name, line in answer.header_lines if name == "Set-Cookie"]
    text = re.sub(r'(name="csrf_token"[^>]* value=)"[^"]+"', r'\1"NONCE"', answer.text)
    text = re.sub(r'(class="reference">)[A-Z2-7]{4}-[A-Z2-7]{4}<', r"\1REFERENCE<", text)
    return answer.status_code, names, cookies, text.replace(address, "ADDRESS")


def without_seconds(answer, address):
    """The same without the number in Retry-After, which the clock decides."""
    status, headers, cookies, text = plain(answer, address)
    clocked = ("Retry-After", "Content-Length")
    text = re.sub(r"in \d+ (second|minute)s?", "SOON", text)
    return status, [(name, "" if name in clocked else value) for name, value in headers], cookies, text
