"""Attacks on the host: no mail and no page takes the site's name from a request."""

import pytest

from config import ConfigError, Testing, load
from tests.attacks import raw
from tests.attacks.conftest import BARE, once
from tests.attacks.site import FORMS, INBOX, REGISTER, RESET, RESET_LINK, SIGN_IN
from tests.servers import HOST, Program

EVIL = "evil.example"
EVIL_HOSTS = [
    EVIL,
    f"{EVIL}:80",
    f"{HOST}.{EVIL}",
    f"{EVIL}.{HOST}",
    f"{EVIL}#{HOST}",
    f"{EVIL}/{HOST}",
    f"{HOST}@{EVIL}",
    f"{HOST}:80@{EVIL}",
    f"{HOST} {EVIL}",
    f"{HOST},{EVIL}",
    f"{EVIL}.",
    "[::ffff:6.6.6.6]",
    "6.6.6.6",
    '"><script>evil</script>',
]


def shows_evil(answer):
    return "evil" in answer.text or "evil" in str(answer.headers)


@once
@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize("host", EVIL_HOSTS)
def test_b35_a_foreign_host_is_refused_and_shown_nowhere(target, host):
    for path in ("/", *FORMS, "/auth/reset_password", "/nothing/here", f"{RESET_LINK}x", "/static/style.css"):
        answer = raw.send(target.url, f"GET {path}", host=host)
        assert 400 <= answer.status_code < 500, path
        assert not shows_evil(answer), path


@once
@pytest.mark.asvs("4.1.3")
def test_b35_two_hosts_are_one_too_many(target):
    answer = raw.send(target.url, f"GET {SIGN_IN}", f"Host: {EVIL}")
    assert 400 <= answer.status_code < 500
    assert not shows_evil(answer)


@once
@pytest.mark.asvs("4.1.3")
def test_b35_a_request_line_that_names_a_foreign_site_changes_no_link(target):
    answer = raw.send(target.url, f"GET http://{EVIL}{SIGN_IN}")
    assert not shows_evil(answer)


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize("path", [RESET, REGISTER])
def test_b35_a_form_sent_under_a_foreign_host_promises_no_mail(local, visitor, alice, path):
    visitor.get(path)
    fields = {"email": alice, "csrf_token": visitor.csrf_token}
    for host in (EVIL, f"{HOST}.{EVIL}"):
        own = f"Host: {local.host}".encode()
        request = raw.form_post(visitor, path, fields).replace(own, f"Host: {host}".encode())
        [answer] = raw.volley(local.url, [request])
        assert answer.status_code == 400
    assert local.mails_to(alice) == []


@pytest.mark.asvs("4.1.3")
def test_b35_another_of_our_own_names_does_not_come_into_the_mail(local, visitor, alice):
    visitor.get(RESET)
    request = raw.form_post(visitor, RESET, {"email": alice, "csrf_token": visitor.csrf_token})
    port = local.host.rpartition(":")[2]
    renamed = request.replace(f"Host: {local.host}".encode(), f"Host: localhost:{port}".encode())
    [answer] = raw.volley(local.url, [renamed])
    assert answer.status_code == 303
    assert local.last_link(alice).startswith(f"{local.url}{RESET_LINK}")


@once
def test_b35_a_health_check_may_use_any_name(local):
    assert raw.send(local.url, "GET /healthz", host="10.0.0.7:8000").status_code == 200


FORWARDED = [
    f"X-Forwarded-Host: {EVIL}",
    "X-Forwarded-Proto: evil",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    f"X-Forwarded-Server: {EVIL}",
    f"Forwarded: host={EVIL};proto=evil",
    f"X-Host: {EVIL}",
    f"X-HTTP-Host-Override: {EVIL}",
    f"X-Original-Host: {EVIL}",
    "X-Original-URL: /evil",
    "X-Rewrite-URL: /evil",
    "X-Script-Name: /evil",
    "X-HTTP-Method-Override: DELETE",
]


def what_it_says(answer):
    text = answer.text
    token = text.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    return answer.status_code, answer.location, text.replace(token, "") if token else text


@pytest.mark.asvs("4.1.3", "15.3.4")
def test_b37_forwarding_headers_count_for_nothing_where_there_is_no_proxy(local, start_site, alice):
    site = start_site(**BARE)
    for path in (SIGN_IN, INBOX):
        as_it_is = what_it_says(raw.send(site.url, f"GET {path}"))
        for header in FORWARDED:
            assert what_it_says(raw.send(site.url, f"GET {path}", header)) == as_it_is, header

    visitor = site.visitor()
    visitor.get(RESET)
    fields = {"email": alice, "csrf_token": visitor.csrf_token}
    [answer] = raw.volley(site.url, [raw.form_post(visitor, RESET, fields, *FORWARDED)])
    assert (answer.status_code, answer.location) == (303, INBOX)
    [mail] = local.mails_to(alice)
    assert mail.link_to(RESET_LINK).startswith(f"{local.url}/")
    assert "evil" not in mail.text + mail.html
    assert "198." not in mail.text  # the network the visitor made up


@once
@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.parametrize("header", [*FORWARDED, f"X-Forwarded-Prefix: //{EVIL}", f"X-Forwarded-Prefix: https://{EVIL}"])
def test_b37_what_one_trusted_proxy_passes_on_leads_nowhere_else(target, header):
    """A proxy that sets X-Forwarded-For lets the others through as the visitor sent them."""
    for path in ("/", SIGN_IN, INBOX, RESET):
        answer = raw.send(target.url, f"GET {path}", header)
        assert answer.status_code in (200, 303) or 400 <= answer.status_code < 500
        assert EVIL not in answer.text + str(answer.headers), path


BAD_BASE_URLS = [
    "",
    "http://account.example.com",
    "account.example.com",
    "https://",
    "https://user:password@account.example.com",
    "https://account.example.com@evil.example",
    "https://account.example.com/?next=evil",
    "https://account.example.com/#evil",
    "https://evil.example\\@account.example.com",
    "ftp://account.example.com",
    "javascript:alert(1)",
    "https://account.example.com evil.example",
    "https://*.example.com",
]


@pytest.mark.asvs("13.2.6")
@pytest.mark.parametrize("url", BAD_BASE_URLS)
def test_b39_a_base_url_that_would_make_bad_links_stops_the_start(monkeypatch, url):
    settings = {"DATABASE_URL": "sqlite:////tmp/none.db", "MAIL_DELIVERY": "off", "SECRET_KEY": Testing.SECRET_KEY}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BASE_URL", url)
    with pytest.raises(ConfigError) as refusal:
        load("production")
    assert [finding.check for finding in refusal.value.findings] == ["base url"]


@pytest.mark.asvs("4.1.2")
def test_b39_b40_a_link_from_the_command_line_has_the_base_url_with_its_path(local, alice, tmp_path):
    base = "https://account.example.com/rekey"
    settings = local.settings | {"BASE_URL": base}
    with Program("-m", "flask", "users", "reset-link", alice, output=tmp_path / "link", settings=settings) as program:
        assert program.wait() == 0
        assert program.output.startswith(f"{base}{RESET_LINK}")


@pytest.mark.asvs("4.1.2")
def test_b40_mail_and_command_line_give_links_of_the_same_base(local, alice, tmp_path):
    command = ("-m", "flask", "users", "reset-link", alice)
    with Program(*command, output=tmp_path / "link", settings=local.settings) as program:
        assert program.wait() == 0
        printed = program.output.strip()
    mailed = local.reset_link(alice)
    assert printed.rpartition("/")[0] == mailed.rpartition("/")[0] == f"{local.url}{RESET_LINK}"[:-1]
    for link in (printed, mailed):
        assert local.visitor().get(link).status_code == 200
