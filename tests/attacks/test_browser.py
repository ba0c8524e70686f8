"""Attacks through a victim's browser: forms sent by other sites, redirects to them, frames around ours."""

from http.cookiejar import DefaultCookiePolicy

import pytest
from sqlalchemy import func, select

from app.email import OutboxMessage
from tests.attacks import raw
from tests.attacks.conftest import SECURE, once
from tests.attacks.site import (
    FORMS,
    INBOX,
    NEW_PASSWORD,
    NOT_ME_LINK,
    PASSWORD,
    RESET,
    RESET_LINK,
    SIGN_IN,
    fresh_address,
)

CROSS_SITE = [
    "Origin: null",
    "Origin: https://evil.example",
    "Origin: http://127.0.0.1:1",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
]


def outbox_size(local):
    [(size,)] = local.rows(select(func.count()).select_from(OutboxMessage))
    return size


@once
@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("header", CROSS_SITE)
def test_b64_a_form_that_another_site_sends_is_refused(target, visitor, path, header):
    visitor.get(path)
    fields = FORMS[path] | {"csrf_token": visitor.csrf_token}
    [answer] = raw.volley(target.url, [raw.form_post(visitor, path, fields, header)])
    assert answer.status_code == 403
    assert answer.location is None


@once
@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("path", FORMS)
def test_b64_a_form_without_our_token_is_refused(target, visitor, other_visitor, path):
    visitor.get(path)
    other_visitor.get(path)
    foreign = other_visitor.csrf_token
    for tokens in ({}, {"csrf_token": ""}, {"csrf_token": foreign}, {"csrf_token": visitor.csrf_token + "x"}):
        answer = visitor.client.post(path, data=FORMS[path] | tokens)
        assert answer.status_code == 400
        assert answer.location is None


@pytest.mark.asvs("3.5.1", "7.4.4")
def test_b64_no_other_site_can_sign_a_person_out(local, visitor, alice):
    visitor.sign_in(alice, PASSWORD)
    token = visitor.get("/").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    requests = [raw.form_post(visitor, "/auth/logout", {"csrf_token": token}, header) for header in CROSS_SITE]
    requests.append(raw.form_post(visitor, "/auth/logout", {"csrf_token": "x"}))
    assert {answer.status_code for answer in raw.volley(local.url, requests)} == {400, 403}
    assert visitor.get("/auth/logout").status_code == 405
    assert visitor.is_signed_in


@pytest.mark.asvs("3.5.1", "2.3.1")
@pytest.mark.parametrize("kind", ["reset_password", "not_me"])
def test_b64_no_other_site_can_use_a_link_that_a_person_has_opened(local, visitor, alice, kind):
    local.visitor().ask_for_reset(alice)
    visitor.get(local.last_link(alice, RESET_LINK if kind == "reset_password" else NOT_ME_LINK))
    fields = visitor.form.fields | {"password": NEW_PASSWORD, "password2": NEW_PASSWORD}
    requests = [raw.form_post(visitor, f"/auth/{kind}", fields, header) for header in CROSS_SITE]
    requests.append(raw.form_post(visitor, f"/auth/{kind}", fields | {"csrf_token": ""}))
    assert {answer.status_code for answer in raw.volley(local.url, requests)} == {400, 403}
    assert local.visitor().guess(alice, NEW_PASSWORD) == 422
    assert visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("3.5.1")
def test_b64_refused_forms_leave_nothing_behind(local, visitor):
    before = outbox_size(local)
    visitor.get(RESET)
    fields = {"email": fresh_address(), "csrf_token": visitor.csrf_token}
    raw.volley(local.url, [raw.form_post(visitor, RESET, fields, header) for header in CROSS_SITE])
    visitor.client.post(RESET, data=fields | {"csrf_token": "x"})
    assert outbox_size(local) == before
    assert visitor.client.post(RESET, data=fields).location == INBOX
    assert outbox_size(local) == before + 1


@once
@pytest.mark.asvs("3.4.2", "3.5.2")
@pytest.mark.parametrize("path", ["/", SIGN_IN, "/healthz", "/static/style.css"])
def test_no_other_site_may_read_an_answer(target, path):
    asking = ("Origin: https://evil.example", "Access-Control-Request-Method: POST")
    for line in (f"GET {path}", f"OPTIONS {path}"):
        headers = raw.send(target.url, line, *asking).headers
        assert not [name for name in headers if name.lower().startswith("access-control-")]


@pytest.fixture
def secure_visitor(start_site):
    """A browser on a site with an https URL, behind a proxy that speaks TLS, and a proxy that says so."""
    site = start_site(**SECURE)
    visitor = site.visitor()
    visitor.client.headers |= {"Host": "account.example.com", "X-Forwarded-Proto": "https"}
    visitor.client.cookies.set_policy(DefaultCookiePolicy(secure_protocols=("http", "https")))
    return visitor


@pytest.mark.asvs("3.5.1", "3.4.5")
def test_b65_a_browser_over_https_completes_a_reset_under_the_pages_referrer_policy(local, secure_visitor, alice):
    page = secure_visitor.get(f"{RESET_LINK}{local.reset_token(alice)}")
    assert page.headers["Referrer-Policy"] == "strict-origin"
    secure_visitor.client.headers |= {  # as a browser then sends
        "Origin": "https://account.example.com",
        "Referer": "https://account.example.com/",
        "Sec-Fetch-Site": "same-origin",
    }
    assert secure_visitor.submit(password=NEW_PASSWORD, password2=NEW_PASSWORD).location == SIGN_IN
    assert secure_visitor.sign_in(alice, NEW_PASSWORD).status_code == 303
    assert secure_visitor.is_signed_in


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "3.4.1")
def test_b65_over_https_cookies_are_bound_to_this_host_and_to_tls(secure_visitor, alice):
    secure_visitor.get(SIGN_IN)
    answer = secure_visitor.submit(email=alice, password=PASSWORD)
    cookies = {line.partition("=")[0]: line for name, line in answer.header_lines if name == "Set-Cookie"}
    assert set(cookies) == {"__Host-session", "__Host-device"}
    for line in cookies.values():
        attributes = {attribute.strip().lower() for attribute in line.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= attributes
        assert not [attribute for attribute in attributes if attribute.startswith("domain")]
        assert len(line) < 4096
    for path in ("/", "/nothing/here", "/static/style.css", "/healthz"):
        hsts = secure_visitor.client.get(path).headers["Strict-Transport-Security"]
        assert int(hsts.partition("max-age=")[2].partition(";")[0]) >= 31_536_000
        assert "includeSubDomains" in hsts


HOSTILE_NEXT = [  # as they stand in the URL
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/%5Cevil.example",
    "%5C%5Cevil.example",
    "/%5C/evil.example",
    "%5C/evil.example",
    "/%09/evil.example",
    "/%0A/evil.example",
    "/%0D/evil.example",
    "%09//evil.example",
    "%0A//evil.example",
    "%20//evil.example",
    "%19//evil.example",
    "%00//evil.example",
    "/%00/evil.example",
    "/%20/evil.example",
    "%E3%80%82//evil.example",
    "/%E2%80%AE//evil.example",
    "/%EF%BC%8Fevil.example",
    "%EF%BC%8F%EF%BC%8Fevil.example",
    "/%C2%85/evil.example",
    "/%7F/evil.example",
    "http://evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:%5C%5Cevil.example",
    "http:///evil.example",
    "ftp://evil.example",
    "javascript:alert(1)",
    "java%0Ascript:alert(1)",
    "data:text/html,evil",
    "vbscript:evil",
    "HOST@evil.example",
    "//HOST@evil.example",
    "http://HOST.evil.example",
    "http://HOST@evil.example",
    "evil.example",
    ".evil.example",
    "@evil.example",
    ":80",
    "?next=//evil.example",
    "%23//evil.example",
    "/%0D%0ASet-Cookie:%20evil=1",
    "/%0D%0ALocation:%20https://evil.example",
    "/a%5Cb",
    "%EF%BB%BF//evil.example",
    "",
]


@pytest.mark.asvs("3.7.2", "3.7.3")
def test_b66_next_leads_to_no_other_site(local, visitor, alice):
    urls = [f"{SIGN_IN}?next={hostile.replace('HOST', local.host)}" for hostile in HOSTILE_NEXT]
    for url in urls[::5]:
        visitor.get(url)
        assert visitor.submit(email=alice, password=PASSWORD).location == "/", url
        visitor.sign_out()
    visitor.sign_in(alice, PASSWORD)  # signed in, the page leads on by itself
    landed = {url: visitor.client.get(url).location for url in urls}
    assert {url: where for url, where in landed.items() if where != "/"} == {}


@pytest.mark.asvs("3.7.2")
def test_b66_next_leads_to_a_page_of_ours(local, visitor, alice):
    visitor.get(f"{SIGN_IN}?next=/auth/check_your_inbox%3Fa=1")
    assert visitor.submit(email=alice, password=PASSWORD).location == "/auth/check_your_inbox?a=1"


@once
@pytest.mark.asvs("3.7.2")
def test_b66_next_may_be_given_once_and_counts_nowhere_else(target, visitor):
    for path in (f"{RESET}?next=//evil.example", f"{INBOX}?next=//evil.example", "/?next=//evil.example"):
        answer = raw.send(target.url, f"GET {path}")
        assert "evil" not in (answer.location or "")


EVERY_KIND = [
    ("GET", "/"),
    ("GET", SIGN_IN),
    ("GET", INBOX),
    ("GET", RESET),
    ("GET", "/auth/reset_password"),
    ("GET", f"{RESET_LINK}x"),
    ("GET", "/nothing/here"),
    ("PUT", SIGN_IN),
    ("POST", SIGN_IN),
    ("GET", "/healthz"),
    ("GET", "/static/style.css"),
    ("GET", "/static/none.css"),
]


@once
@pytest.mark.asvs("3.4.3", "3.4.4", "3.4.5", "3.4.6", "3.4.8", "3.5.8")
@pytest.mark.parametrize(("method", "path"), EVERY_KIND)
def test_b68_no_answer_can_be_framed_sniffed_or_scripted(target, method, path):
    headers = raw.send(target.url, f"{method} {path}").headers
    policy = dict(rule.strip().partition(" ")[::2] for rule in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert not [rule for rule in policy.values() if "unsafe" in rule or "*" in rule or "http" in rule]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] in ("strict-origin", "no-referrer")
    assert "camera=()" in headers["Permissions-Policy"]
    assert "charset=utf-8" in headers["Content-Type"] or path.startswith("/static/")


@pytest.mark.asvs("3.4.3", "3.6.1")
def test_b68_no_page_needs_code_or_style_of_its_own(local, visitor, alice):
    link = f"{RESET_LINK}{local.reset_token(alice)}"
    for path in ("/", *FORMS, link, "/nothing/here"):
        text = visitor.get(path).text
        assert not [mark for mark in ("<script>", " style=", "<style", "javascript:", " onclick", "//") if mark in text]
