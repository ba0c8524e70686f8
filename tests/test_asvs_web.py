"""What holds for every page and every answer, those of pages to come included: over HTTPS, as in production."""

import json
import re
from zlib import decompress

import pytest
from itsdangerous import base64_decode
from sqlalchemy import select

from app import create_app
from app.auth import tokens
from app.auth.models import User, UserSession
from app.extensions import db
from config import Testing
from tests.browser import Browser
from tests.conftest import PASSWORD

HOST = "account.example.com"

# Who a page is for. Everybody: people and machines. Holders: of a link that they have opened in this browser.
# Owners: who is signed in, for their own account.
EVERYBODY, HOLDERS, OWNERS = "everybody", "holders of a link", "owners"
FOR = {
    "/": EVERYBODY,
    "/.well-known/security.txt": EVERYBODY,
    "/healthz": EVERYBODY,
    "/language": EVERYBODY,
    "/readyz": EVERYBODY,
    "/static/<path:filename>": EVERYBODY,
    "/auth/login": EVERYBODY,
    "/auth/logout": EVERYBODY,
    "/auth/register": EVERYBODY,
    "/auth/reset_password_request": EVERYBODY,
    "/auth/check_your_inbox": EVERYBODY,
    "/auth/dead_link": HOLDERS,
    "/auth/new_link": HOLDERS,
    "/auth/register/<token>": HOLDERS,
    "/auth/register/finish": HOLDERS,
    "/auth/reset_password/<token>": HOLDERS,
    "/auth/reset_password": HOLDERS,
    "/auth/not_me/<token>": HOLDERS,
    "/auth/not_me": HOLDERS,
    "/auth/change_email/<token>": HOLDERS,
    "/auth/change_email": HOLDERS,
    "/auth/undo_email_change/<token>": HOLDERS,
    "/auth/undo_email_change": HOLDERS,
    "/.well-known/change-password": EVERYBODY,
    "/account": OWNERS,
    "/account/activity": OWNERS,
    "/account/delete": OWNERS,
    "/account/email": OWNERS,
    "/account/email/cancel": OWNERS,
    "/account/password": OWNERS,
    "/account/profile": OWNERS,
    "/account/sessions": OWNERS,
    "/account/sessions/<session_id>/end": OWNERS,
    "/account/sessions/end_others": OWNERS,
    "/auth/confirm": OWNERS,
}
ANYWHERE = {"token": "x", "session_id": "x", "filename": "style.css"}  # what the variable parts of a path may be
RULES = list(create_app("testing").url_map.iter_rules())
PATHS = sorted({re.sub(r"<(?:\w+:)?(\w+)>", lambda part: ANYWHERE[part[1]], rule.rule) for rule in RULES})
PATHS += ["/nothing", "/static/none.css", "/static/mark.svg", "/static/", "/auth/"]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"]


@pytest.fixture(scope="module")
def secure_app(session_app):
    """The application as production configures it for https, on the database of the tests."""
    settings = {"DATABASE_URL": session_app.config["DATABASE_URL"], "BASE_URL": f"https://{HOST}"}
    settings |= {"SERVER_NAME": HOST, "PREFERRED_URL_SCHEME": "https", "SECURITY_CONTACT": "security@example.com"}
    app = create_app(type("OverHttps", (Testing,), settings))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def visitor(app, secure_app):
    return Browser(secure_app.test_client())


@pytest.fixture
def failing(secure_app, monkeypatch):
    """A home page that breaks."""

    def fail():
        raise RuntimeError("a fault of ours")

    monkeypatch.setitem(secure_app.view_functions, "main.home", fail)
    monkeypatch.setitem(secure_app.config, "PROPAGATE_EXCEPTIONS", False)


def ask(visitor, method, path, **kwargs):
    with visitor.client.open(path, method=method, **kwargs) as answer:
        answer.get_data()
    return answer


def every_answer(visitor, path, **kwargs):
    """By every method; the answer with the method."""
    return [(method, ask(visitor, method, path, **kwargs)) for method in METHODS]


def token_of(secure_app, purpose, payload):
    with secure_app.app_context():
        return tokens.issue(purpose, payload)


def stamp_of(secure_app, email):
    with secure_app.app_context():
        return User.by_email(email).security_stamp


def open_link(visitor, secure_app, purpose, email):
    visitor.get(f"/auth/{purpose}/{token_of(secure_app, purpose, stamp_of(secure_app, email))}")


def assert_bound(answer):
    policy = dict(rule.strip().partition(" ")[::2] for rule in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "object-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "strict-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]


@pytest.mark.asvs("3.4.1", "3.4.3", "3.4.4", "3.4.5", "3.4.6", "3.4.8", "3.5.8")
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_tells_the_browser_what_it_may_not_do(visitor, path):
    for _, answer in every_answer(visitor, path):
        assert_bound(answer)


@pytest.mark.asvs("3.4.1", "3.4.3", "3.4.4", "3.4.6", "16.5.1", "14.3.2")
def test_so_does_an_answer_that_something_went_wrong(visitor, failing):
    answers = [
        ask(visitor, "GET", "/"),
        ask(visitor, "GET", "/auth/login", headers={"Host": "evil.example"}),
        ask(visitor, "POST", "/auth/login", data=b"{}", content_type="application/json"),
        ask(visitor, "POST", "/auth/login", data={"email": "x" * 70_000}),
        ask(visitor, "POST", "/auth/login", data={}, headers={"Origin": "https://evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [500, 400, 415, 413, 403]
    for answer in answers:
        assert_bound(answer)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "a fault of ours" not in answer.text


@pytest.mark.asvs("3.4.2", "3.5.2")
@pytest.mark.parametrize("path", PATHS)
def test_no_answer_lets_another_site_read_it(visitor, path):
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for _, answer in every_answer(visitor, path, headers=asking):
        assert not [name for name in dict(answer.headers) if name.startswith("Access-Control-")]


@pytest.mark.asvs("4.1.1", "3.2.1", "4.2.2")
@pytest.mark.parametrize("path", PATHS)
def test_every_body_says_what_it_is_and_how_long(visitor, path):
    kinds = {"css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
    kinds |= {"/healthz": "text/plain", "/readyz": "text/plain"}
    for _, answer in every_answer(visitor, path):
        kind = kinds.get(path.rpartition(".")[2], "text/html") if answer.status_code == 200 else "text/html"
        if answer.data:
            assert answer.content_type == f"{kind}; charset=utf-8"
            assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.asvs("14.2.2", "14.2.5", "14.3.2")
@pytest.mark.parametrize("path", PATHS)
def test_nothing_may_be_kept_but_static_files(visitor, path):
    for method, answer in every_answer(visitor, path):
        static = path.startswith("/static/") and method in ("GET", "HEAD") and answer.status_code == 200
        assert answer.headers["Cache-Control"] == ("no-cache" if static else "no-store")


@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule)
def test_a_method_a_page_does_not_have_is_refused(visitor, rule):
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: ANYWHERE[part[1]], rule.rule)
    for method in {"PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "POST", "GET"} - rule.methods:
        form = {"x": "y"} if method == "POST" else None
        assert ask(visitor, method, path, data=form).status_code == 405


@pytest.mark.asvs("13.4.7", "16.5.4")
@pytest.mark.parametrize("folder", ["/static/", "/static/../", "/static/../../"])
def test_asking_for_the_methods_of_a_file_does_not_tell_whether_it_is_there(visitor, secure_app, monkeypatch, folder):
    """Flask answers OPTIONS by itself, without looking for the file."""
    monkeypatch.setitem(secure_app.config, "PROPAGATE_EXCEPTIONS", False)
    there = {"/static/": "style.css", "/static/../": "keys.py", "/static/../../": "README.md"}[folder]
    statuses = {ask(visitor, "OPTIONS", folder + name).status_code for name in (there, "none.css")}
    assert len(statuses) == 1
    assert 500 not in statuses


@pytest.mark.asvs("4.1.4")
@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_stands_in_for_the_method(visitor, header):
    assert ask(visitor, "GET", "/auth/logout?_method=POST", headers={header: "POST"}).status_code == 405


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize("path", sorted(rule.rule for rule in RULES if "POST" in rule.methods))
def test_every_form_wants_its_token_from_whoever_is_signed_in_and_holds_links(visitor, secure_app, alice, path):
    visitor.sign_in(alice, PASSWORD)
    for purpose in ("reset_password", "not_me"):
        open_link(visitor, secure_app, purpose, alice)
    for forged in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 91}):
        assert ask(visitor, "POST", path, data=forged).status_code == 400
    assert visitor.is_signed_in


@pytest.mark.asvs("3.5.3")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_changes_nothing(visitor, secure_app, alice, method):
    def rows():
        with secure_app.app_context():
            return {table.name: db.session.execute(select(table)).all() for table in db.metadata.sorted_tables}

    visitor.sign_in(alice, PASSWORD)
    links = [f"/auth/{kind}/{token_of(secure_app, kind, stamp_of(secure_app, alice))}" for kind in tokens.PURPOSES]
    before = rows()
    for path in [*links, *PATHS, *links]:
        ask(visitor, method, path)
    assert rows() == before


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "4.2.5")
@pytest.mark.parametrize("remember", [{}, {"remember": "y"}])
def test_cookies_are_bound_to_this_host_to_tls_and_to_requests_and_stay_small(visitor, secure_app, add_user, remember):
    address = add_user("a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".com")  # as long as one can be
    visitor.get("/auth/login")
    answer = visitor.client.post(
        "/auth/login",
        data=visitor.form.fields | {"email": address, "password": PASSWORD} | remember,
        headers={"Referer": f"https://{HOST}/auth/login"},
    )
    written = answer.headers.getlist("Set-Cookie")
    visitor.ask_for_reset(address)
    for purpose in ("reset_password", "not_me"):
        stamp = stamp_of(secure_app, address)
        answer = ask(visitor, "GET", f"/auth/{purpose}/{token_of(secure_app, purpose, stamp)}")
        written += answer.headers.getlist("Set-Cookie")
    assert {line.partition("=")[0] for line in written} == {"__Host-session", "__Host-device"}
    for line in written:
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not [part for part in attributes if part.startswith("domain")]
        assert len(line) < 4096


def content(cookie):
    """What a session cookie holds, for anybody who has it."""
    packed, payload = cookie.startswith("."), base64_decode(cookie.lstrip(".").split(".")[0])
    return json.loads(decompress(payload) if packed else payload)


@pytest.mark.asvs("7.2.1", "7.2.2", "14.3.3")
def test_the_cookie_of_somebody_signed_in_holds_a_secret_and_nothing_about_them(visitor, secure_app, alice):
    visitor.ask_for_reset(alice)
    visitor.sign_in(alice, PASSWORD)
    visitor.get("/")
    held = content(visitor.client.get_cookie("__Host-session", domain=HOST).value)
    assert set(held) == {"_user_id", "_fresh", "_id", "_permanent", "csrf_token"}
    assert re.fullmatch(r"[\w-]{43}", held["_user_id"])
    with secure_app.app_context():
        assert UserSession.find(held["_user_id"]).user.email == alice


@pytest.mark.asvs("6.3.4", "8.2.1")
def test_it_is_known_of_every_page_who_it_is_for():
    assert {rule.rule for rule in RULES} == set(FOR)


@pytest.mark.asvs("8.2.1", "8.3.1", "2.3.1")
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("rule", [rule for rule, who in FOR.items() if who == HOLDERS])
def test_a_page_for_the_holder_of_a_link_opens_to_nobody_else(visitor, alice, rule, signed_in):
    if signed_in:
        visitor.sign_in(alice, PASSWORD)
    visitor.get("/auth/reset_password_request")
    fields = visitor.form.fields | {"password": PASSWORD, "password2": PASSWORD, "name": "Eve"}
    path = rule.replace("<token>", "made-up")
    assert ask(visitor, "GET", path).status_code in (404, 405)
    posted = ask(visitor, "POST", path, data=fields, headers={"Referer": f"https://{HOST}{path}"})
    assert posted.status_code in (404, 405)


@pytest.mark.asvs("8.2.1", "8.3.2", "7.4.2")
@pytest.mark.parametrize("purpose", ["reset_password", "not_me"])
def test_a_link_of_a_disabled_account_opens_nothing_from_that_moment(visitor, secure_app, alice, purpose):
    open_link(visitor, secure_app, purpose, alice)
    assert visitor.page.status_code == 200
    with secure_app.app_context():
        db.session.execute(User.__table__.update().values(disabled_at=db.func.current_timestamp()))
        db.session.commit()
    assert visitor.submit(password=PASSWORD, password2=PASSWORD).status_code == 410


@pytest.mark.asvs("7.4.4")
@pytest.mark.parametrize("path", [path for path in PATHS if "static" not in path])
def test_every_page_of_somebody_signed_in_has_a_way_out(visitor, alice, path):
    visitor.sign_in(alice, PASSWORD)
    answer = ask(visitor, "GET", path)
    if answer.mimetype == "text/html" and answer.status_code != 303:
        assert 'action="/auth/logout"' in answer.text


@pytest.mark.asvs("13.4.3", "13.4.7", "13.4.1")
@pytest.mark.parametrize(
    "path", ["/static/", "/static", "/static/.", "/static/../", "/.git/HEAD", "/static/../wsgi.py"]
)
def test_no_folder_is_listed_and_nothing_served_from_outside(visitor, path):
    assert ask(visitor, "GET", path).status_code in (404, 405)


@pytest.mark.asvs("14.2.1")
@pytest.mark.parametrize("purpose", ["reset_password", "not_me"])
def test_after_one_redirect_no_address_no_form_and_no_link_on_the_page_holds_the_token(
    visitor, secure_app, alice, purpose
):
    token = token_of(secure_app, purpose, stamp_of(secure_app, alice))
    answer = ask(visitor, "GET", f"/auth/{purpose}/{token}")
    assert (answer.status_code, answer.location) == (303, f"/auth/{purpose}")
    assert token not in ask(visitor, "GET", answer.location).text


@pytest.mark.asvs("16.4.1")
def test_nothing_that_a_stranger_sends_is_in_the_log(visitor, caplog):
    caplog.set_level("DEBUG")
    forged = "FORGED\n2026-11-20 INFO signed in"
    environ = {"HTTP_USER_AGENT": forged, "HTTP_REFERER": forged, "HTTP_X_FORWARDED_FOR": forged}
    quoted = "FORGED%0A%1b%5b31m"
    requests = [("GET", f"/{quoted}"), ("GET", f"/auth/login?next={quoted}"), ("GET", f"/auth/reset_password/{quoted}")]
    for method, path in [*requests, ("POST", f"/auth/login?x={quoted}")]:
        ask(visitor, method, path, environ_overrides=environ)
    for fields in ({"email": forged}, {"email": "FORGED@example.com", "password": forged}, {"csrf_token": forged}):
        visitor.get("/auth/login")
        visitor.client.post("/auth/login", data=visitor.form.fields | fields, headers={"Referer": f"https://{HOST}/"})
    assert caplog.records
    for record in caplog.records:
        assert "FORGED" not in record.getMessage()
        assert "\n" not in record.getMessage()
