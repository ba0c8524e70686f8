"""What every request and response passes through: proxies, hostile input, headers, safe redirects, public links."""

import logging
import re
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from flask import Flask, Response, abort, after_this_request, current_app, g, request, session, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers then send none with the form, and Flask-WTF refuses it over HTTPS.
    "Referrer-Policy": "strict-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
BROWSERS = {
    *("Android", "Brave", "Chrome", "Chrome Mobile", "Chrome Mobile iOS", "Chrome Mobile WebView", "Chromium", "Edge"),
    *(
        "Edge Mobile",
        "Epiphany",
        "Facebook",
        "Firefox",
        "Firefox Focus",
        "Firefox Mobile",
        "Firefox iOS",
        "HeadlessChrome",
    ),
    *(
        "IE",
        "Konqueror",
        "Mobile Safari",
        "Mobile Safari UI/WKWebView",
        "Opera",
        "Opera Mini",
        "Opera Mobile",
        "Safari",
    ),
    *("Samsung Internet", "UC Browser", "Vivaldi", "WebKit", "curl"),
}
SYSTEMS = {
    *("Android", "Chrome OS", "Debian", "Fedora", "FreeBSD", "Linux", "Mac OS X", "OpenBSD", "Tizen", "Ubuntu"),
    *("Windows", "iOS", "iPadOS"),
}
# Controls but tab, CR and LF, which forms refuse in words; and what Werkzeug makes of broken UTF-8.
MALFORMED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")
COOKIE_LIFE = timedelta(days=365)
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def init_app(app: Flask) -> None:
    if hops := app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if path := urlsplit(app.config["BASE_URL"]).path:
        app.wsgi_app = under_path(app.wsgi_app, path)  # type: ignore[assignment,method-assign]
    app.url_map.merge_slashes = False  # a redirect to the tidier spelling would name the request's host
    app.before_request(refuse_cross_site)
    app.before_request(refuse_malformed_input)
    app.after_request(add_headers)


def under_path(wsgi_app: "WSGIApplication", path: str) -> "WSGIApplication":
    """Serve below the path of BASE_URL, whether the proxy passes it on or cuts it off.

    Not X-Forwarded-Prefix, which most proxies pass on as a visitor sent it.
    """

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = path
        if environ["PATH_INFO"] == path or environ["PATH_INFO"].startswith(f"{path}/"):
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(path)
        return wsgi_app(environ, start_response)

    return serve


def refuse_cross_site() -> None:
    """Answer 403 to a form that another site sent (OWASP ASVS 5.0, 3.5.1). Clients that do not say so pass: they, too,
    need a CSRF token."""
    if request.method != "POST":
        return
    ours = {_origin(current_app.config["BASE_URL"]), _origin(request.host_url)}
    by_us = request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    if not by_us or request.headers.get("Origin", request.host_url.rstrip("/")) not in ours:
        after_this_request(_keep_session)
        refuse(403, "sent by another site")


def _keep_session(response: Response) -> Response:
    """Set no cookie: the browser sent none along (SameSite), and a new session would sign the person out."""
    session.modified = False
    return response


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def refuse_malformed_input() -> None:
    """Answer 4xx to what our pages never send: controls or broken UTF-8, bodies but forms, files, repeated fields.

    Not for paths, none of which has such a character, nor for `next`: see safe_next.
    """
    query = [text for name, value in _pairs(request.query_string) if name != "next" for text in (name, value)]
    if any(map(is_malformed, (*query, *_header_texts(), *request.cookies.values()))):
        refuse(400, "controls or broken UTF-8")
    if request.method == "POST":
        _refuse_malformed_form()


def _refuse_malformed_form() -> None:
    if request.mimetype not in FORM_TYPES:
        refuse(415 if request.content_length else 400, "no form")
    body = request.get_data(parse_form_data=False) if request.mimetype == FORM_TYPES[0] else b""
    texts = [text for field in (*_pairs(body), *request.form.items()) for text in field]
    repeated = [name for name, values in request.form.lists() if len(values) > 1]
    if request.files or repeated or any(map(is_malformed, texts)):
        refuse(400, "files, repeated fields, controls or broken UTF-8")


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    """The names and values of a query or form. Werkzeug leaves broken UTF-8 as it came; here it becomes U+FFFD."""
    return parse_qsl(encoded.decode("latin-1"), keep_blank_values=True)


def _header_texts() -> list[str]:
    """Header values, which WSGI hands over as Latin-1, as the UTF-8 that they are."""
    return [text.encode("latin-1", "replace").decode(errors="replace") for text in request.headers.values()]


def refuse(code: int, why: str) -> NoReturn:
    """Answer with an error, and log it: the route and never the path, which may hold a token."""
    logger.warning(
        "refused with %d on %s: %s, network %s", code, request.url_rule, why, client()["network"] or "unknown"
    )
    abort(code)


def is_malformed(text: str) -> bool:
    """Whether it holds what no keyboard types and PostgreSQL, a log or a mail cannot hold."""
    return MALFORMED.search(text) is not None


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static" or "Cache-Control" not in response.headers:  # as it is on an error
        response.headers["Cache-Control"] = "no-store"
    if current_app.config["SESSION_COOKIE_SECURE"]:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    return response


def safe_next() -> str | None:
    """The `next` parameter where it is a path on this site, else None."""
    return own_path(request.args.get("next", ""))


def this_page() -> str:
    """Where a form in the head or foot of this page leads back to: never to a mailed token, nor where only POST does.

    Home, where a path was not found: anything may be in it.
    """
    if "this_page" in g:
        return str(g.this_page)
    rule = request.url_rule
    if rule is None or request.endpoint == "static" or "GET" not in (rule.methods or ()):
        return url_for("main.home")
    path = request.script_root + request.path
    if "token" in rule.arguments:
        return path.rpartition("/")[0]
    query = request.query_string.decode("latin-1")
    return own_path(f"{path}?{query}" if query else path) or own_path(path) or url_for("main.home")


def own_path(path: str) -> str | None:
    """The path where it leads to a page of this site, else None.

    Browsers read `//host`, `/\\host` and a path with a tab or newline in it as another site.
    """
    printable = path.isascii() and path.isprintable() and "\\" not in path and " " not in path
    return path if printable and path.startswith("/") and not path.startswith("//") else None


def read_cookie(name: str) -> str | None:
    return request.cookies.get(_cookie_name(name))


def set_cookie(response: Response, name: str, value: str) -> None:
    """One of ours that lasts a year, signed in or not."""
    response.set_cookie(_cookie_name(name), value, max_age=COOKIE_LIFE, **_cookie_flags())


def delete_cookie(response: Response, name: str) -> None:
    response.delete_cookie(_cookie_name(name), **_cookie_flags())


def _cookie_flags() -> dict[str, Any]:
    return {"secure": current_app.config["SESSION_COOKIE_SECURE"], "httponly": True, "samesite": "Lax"}


def _cookie_name(name: str) -> str:
    return f"__Host-{name}" if current_app.config["SESSION_COOKIE_SECURE"] else name


def public_url(endpoint: str, **values: Any) -> str:
    """A link for a mail or a terminal: its host is BASE_URL's, whatever the request said."""
    base = urlsplit(current_app.config["BASE_URL"])
    adapter = current_app.url_map.bind(base.netloc, script_name=base.path or "/", url_scheme=base.scheme)
    return adapter.build(endpoint, values, force_external=True)


def client() -> dict[str, str]:
    """Who is asking, in terms a person can check: network and device."""
    return {"network": _network(request.remote_addr), "device": _device(request.user_agent.string[:512])}


def _network(address: str | None) -> str:
    """An IPv4 address as it is, an IPv6 one as its /64: one subscriber. "" for what is none."""
    # Some proxies add the port, as in 192.0.2.1:50123 or [2001:db8::1]:50123.
    bare = re.sub(r"^(?:([\d.]+)|\[(.*)\]):\d+$", r"\1\2", address or "")
    try:
        ip = ip_address(bare)
    except ValueError:
        return ""
    if isinstance(ip, IPv6Address):
        mapped = ip.ipv4_mapped  # how a socket for both kinds shows IPv4
        return str(mapped or ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


@lru_cache(maxsize=1024)
def _device(user_agent: str) -> str:
    """Browser and system in words that no language has to translate, as in `Firefox (Linux)`; "" if unknown."""
    from ua_parser import parse  # its rules take 90 ms to load: only a process that needs them pays

    result = parse(user_agent)
    # Only what is on our lists: the parser passes parts of the header on, and this goes into a mail to a stranger.
    browser = result.user_agent.family if result.user_agent and result.user_agent.family in BROWSERS else ""
    system = result.os.family if result.os and result.os.family in SYSTEMS else ""
    return f"{browser} ({system})" if browser and system else browser or system
