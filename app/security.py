"""What every request and response passes through: proxies, hostile input, headers, safe redirects, public links."""

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
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
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def init_app(app: Flask) -> None:
    if hops := app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)  # type: ignore[method-assign]
    app.before_request(refuse_malformed_input)
    app.after_request(add_headers)


def refuse_malformed_input() -> None:
    """Answer 4xx to what no browser sends: other bodies than forms, repeated fields, NUL, broken UTF-8."""
    if request.method != "POST":
        return
    if request.mimetype not in FORM_TYPES:
        abort(415 if request.content_length else 400)
    for values in request.form.listvalues():
        # Werkzeug decodes broken UTF-8 to U+FFFD; PostgreSQL cannot store NUL.
        if len(values) > 1 or "\0" in values[0] or "\ufffd" in values[0]:
            abort(400)


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    if current_app.config["SESSION_COOKIE_SECURE"]:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    return response


def safe_next() -> str | None:
    """The `next` parameter where it is a path on this site, else None.

    Browsers read `//host`, `/\\host` and a path with a tab or newline in it as another site.
    """
    path = request.args.get("next", "")
    printable = path.isascii() and path.isprintable() and "\\" not in path and " " not in path
    return path if printable and path.startswith("/") and not path.startswith("//") else None


def public_url(endpoint: str, **values: Any) -> str:
    """A link for a mail or a terminal: its host is BASE_URL's, whatever the request said."""
    base = urlsplit(current_app.config["BASE_URL"])
    adapter = current_app.url_map.bind(base.netloc, script_name=base.path or "/", url_scheme=base.scheme)
    return adapter.build(endpoint, values, force_external=True)


def client() -> dict[str, str]:
    """Who is asking, in terms a person can check: network and device."""
    return {"network": _network(request.remote_addr), "device": _device(request.user_agent.string[:512])}


def _network(address: str | None) -> str:
    """An IPv4 address as it is, an IPv6 one as its /64: one subscriber."""
    try:
        ip = ip_address(address or "")
    except ValueError:
        return ""
    return str(ip) if ip.version == 4 else str(ip_network(f"{ip}/64", strict=False))


@lru_cache(maxsize=1024)
def _device(user_agent: str) -> str:
    """Browser and system in words that no language has to translate, as in `Firefox (Linux)`; "" if unknown."""
    from ua_parser import parse  # its rules take 90 ms to load: only a process that needs them pays

    result = parse(user_agent)
    browser = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    return (f"{browser} ({system})" if browser and system else browser or system)[:100]
