"""Requests as no client library would send them: every byte is the test's own."""

import ssl
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from socket import create_connection
from urllib.parse import urlencode, urlsplit

from tests.servers import PATIENCE

FORM = "Content-Type: application/x-www-form-urlencoded"


@dataclass(frozen=True)
class RawAnswer:
    status_code: int
    headers: Message
    text: str

    @property
    def location(self) -> str | None:
        return self.headers["Location"]


HUNG_UP = RawAnswer(0, Message(), "")  # a server may close the connection on what it does not want to read


def connect(url):
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    connection = create_connection((parts.hostname, port), timeout=4 * PATIENCE)  # a volley keeps a busy machine busy
    if parts.scheme == "http":
        return connection
    return ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname)


def request(url, line, *headers, body=b"", host=None):
    """The bytes of a request. Headers are lines, as text in Latin-1 or as bytes; `host` may be "" for none at all."""
    host = urlsplit(url).netloc if host is None else host
    given = [header if isinstance(header, bytes) else header.encode("latin-1") for header in headers]
    if body and not any(header.lower().startswith(b"content-length:") for header in given):
        given.append(b"Content-Length: %d" % len(body))
    own = [f"Host: {host}".encode()] if host else []
    line = line if isinstance(line, bytes) else line.encode("latin-1")
    return b"\r\n".join([line + b" HTTP/1.1", *own, *given, b"Connection: close", b"", body])


def send(url, line, *headers, body=b"", host=None):
    """Send one request and read the answer."""
    with connect(url) as connection:
        connection.sendall(request(url, line, *headers, body=body, host=host))
        return read(connection, method=str(line)[:4])


def read(connection, method=None):
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
    except ConnectionResetError:
        return HUNG_UP
    return RawAnswer(response.status, response.headers, response.read().decode(errors="replace"))


def volley(url, requests):
    """Answers to requests whose last bytes are sent at one moment, so that the server gets them all at once."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(url)) for _ in requests]
        for connection, whole in zip(connections, requests, strict=True):
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(whole[:-1])
        for connection, whole in zip(connections, requests, strict=True):
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(whole[-1:])
        return [read(connection) for connection in connections]


def form_post(visitor, path, fields, *headers):
    """The bytes of a form as this visitor's browser would send it, cookies and own headers included."""
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.client.cookies)
    standing = [f"{name}: {value}" for name, value in visitor.client.headers.items()]
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return request(visitor.client.url, f"POST {path}", f"Cookie: {cookie}", *standing, FORM, *headers, body=body)


def from_everywhere(visitor, path, fields, networks):
    """The same form once from each of these networks, as from a botnet that shares one browser's cookies."""
    posts = []
    for network in networks:
        visitor.client.headers["X-Forwarded-For"] = network
        posts.append(form_post(visitor, path, fields))
    return posts
