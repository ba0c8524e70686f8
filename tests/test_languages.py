"""Which language a person gets, and the switch in the foot of every page."""

import re
from datetime import timedelta
from html import unescape
from http.cookies import SimpleCookie

import pytest
from flask import render_template_string
from flask_babel import force_locale
from wtforms import SelectField
from wtforms.validators import DataRequired, EqualTo, InputRequired

from app import create_app
from app.auth import forms
from app.auth.models import User
from app.database import utcnow
from app.languages import negotiate, own_name
from config import Testing
from tests.browser import Browser
from tests.conftest import PASSWORD

OURS = Testing.LANGUAGES
HEADING = {
    "en": "Sign in",
    "pt_BR": "Entrar",
    "zh_Hant_TW": "登入",
}


@pytest.fixture(scope="module")
def site():
    """The application without a database: who is not signed in needs none."""
    return create_app("testing")


@pytest.fixture
def visitor(site):
    return Browser(site.test_client())


def language_of(page):
    return re.search(r'<html lang="([^"]+)" dir="ltr">', page).group(1).replace("-", "_")


def choose(browser, language, **fields):
    """Press a language's button on the page; the answer, with the page it leads to in `browser.page`."""
    form = re.search(r'<form class="languages".*?</form>', browser.page.text, re.DOTALL).group()
    hidden = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)">\n', form)}
    answer = browser.client.post("/language", data=hidden | {"locale": language} | fields)
    if answer.status_code == 303:
        browser.get(answer.location)
    return answer


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("de", "en"),
        ("en-GB", "en"),
        ("pt", "pt_BR"),
        ("pt-BR", "pt_BR"),
        ("pt-PT", "pt_BR"),
        ("PT-br", "pt_BR"),
        ("zh-TW", "zh_Hant_TW"),
        ("zh-HK", "zh_Hant_TW"),
        ("zh-MO", "zh_Hant_TW"),
        ("zh-Hant", "zh_Hant_TW"),
        ("zh-Hant-TW", "zh_Hant_TW"),
        ("zh-Hant-HK", "zh_Hant_TW"),
        ("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7", "zh_Hant_TW"),
        ("zh-TW-x-own-words", "zh_Hant_TW"),
        ("de-DE,de;q=0.9,pt;q=0.1", "pt_BR"),
        ("en;q=0.1,zh-Hant-TW;q=0.2,pt;q=0.3", "pt_BR"),
        ("en-US;q=0.1,pt;q=0.3", "pt_BR"),
        ("en;q=0,pt;q=0.1", "pt_BR"),
        ("*;q=0.9,pt;q=0.1", "pt_BR"),
    ],
)
def test_the_language_is_the_best_of_ours(header, language):
    assert negotiate(header, OURS) == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "en"),
        ("zh-Hans-TW,pt;q=0.1", "pt_BR"),
        ("zh,en;q=0.1,zh-HK;q=0.05", "en"),
        ("zh-CN", "zh_Hant_TW"),
        ("zh", "zh_Hant_TW"),
        ("zh-Hans-CN,zh-Hans;q=0.9", "zh_Hant_TW"),
        ("zh-SG,ja;q=0.5", "zh_Hant_TW"),
    ],
)
def test_another_script_comes_after_every_language_they_read(header, language):
    assert negotiate(header, OURS) == language


def test_of_two_that_share_a_script_the_territory_decides():
    languages = ("en", "pt_BR", "pt_PT")
    assert [negotiate(header, languages) for header in ("pt-PT", "pt-BR", "pt")] == ["pt_PT", "pt_BR", "pt_BR"]


@pytest.mark.parametrize(
    "header",
    [
        "q=1",
        " ;;;,,,;q=",
        "pt;q=abc",
        "pt;q=-1",
        "pt;q=nan",
        "pt;q=1e999",
        "i-klingon",
        "-",
        "_",
        "../../etc/passwd",
        "é".encode().decode("latin-1"),  # as WSGI hands it over
        "x" * 8192,
        "a," * 4096,
        "*," * 4096,
        '"' * 8192,
        ";" * 8192,
        "-zh" * 2730,
    ],
)
def test_a_hostile_header_gets_the_first_language(visitor, header):
    assert negotiate(header, OURS) == "en"
    answer = visitor.client.get("/auth/login", headers={"Accept-Language": header})
    assert (answer.status_code, language_of(answer.text)) == (200, "en")


def test_of_a_long_header_only_the_beginning_counts():
    assert negotiate("de," * 200 + "pt", OURS) == "en"


@pytest.mark.parametrize("language", OURS)
def test_a_page_says_which_language_it_is_in(visitor, language):
    page = visitor.get("/auth/login").text
    assert language_of(page) == "en"
    page = visitor.client.get("/auth/login", headers={"Accept-Language": language.replace("_", "-")}).text
    assert language_of(page) == language
    assert f"<h1>{HEADING[language]}</h1>" in page or f'value="{HEADING[language]}"' in page


def test_a_language_written_from_right_to_left_says_so(site):
    with site.test_request_context(), force_locale("ar"):
        assert render_template_string("<p{{ language_attributes()|xmlattr }}>") == '<p lang="ar" dir="rtl">'


def test_each_language_is_called_what_its_speakers_call_it():
    assert [own_name(language) for language in OURS] == ["English", "Português (Brasil)", "繁體中文"]


def test_the_switch_names_each_language_in_itself_and_marks_the_present_one(visitor):
    form = re.search(r'<form class="languages".*?</form>', visitor.get("/").text, re.DOTALL).group()
    buttons = re.findall(r'<button [^>]*value="(\w+)" lang="([\w-]+)" dir="ltr"([^>]*)>(.*?)</button>', form)
    assert [(value, lang.replace("-", "_")) for value, lang, *_ in buttons] == [(one, one) for one in OURS]
    assert ["aria-current" in rest for _, _, rest, _ in buttons] == [True, False, False]
    assert ["✓" in text for *_, text in buttons] == [True, False, False]
    assert [re.sub("<.*?>.*?</.*?>", "", text).strip() for *_, text in buttons] == [own_name(one) for one in OURS]


@pytest.mark.parametrize("url", ["/", "/auth/login?next=/account", "/auth/register", "/auth/reset_password_request"])
def test_a_choice_changes_this_page_and_the_next(visitor, url):
    visitor.get(url)
    answer = choose(visitor, "pt_BR")
    assert (answer.status_code, answer.location) == (303, url)
    assert language_of(visitor.page.text) == "pt_BR"
    assert language_of(visitor.get("/auth/register").text) == "pt_BR"
    choose(visitor, "zh_Hant_TW")
    assert language_of(visitor.page.text) == "zh_Hant_TW"


def test_a_choice_counts_more_than_the_browser(visitor):
    visitor.get("/")
    choose(visitor, "en")
    assert language_of(visitor.client.get("/", headers={"Accept-Language": "pt-BR"}).text) == "en"


def cookie_of(answer, name):
    [header] = [header for header in answer.headers.getlist("Set-Cookie") if header.startswith(f"{name}=")]
    return SimpleCookie(header)[name]


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.4")
@pytest.mark.parametrize(("url", "name"), [("http://localhost", "language"), ("https://localhost", "__Host-language")])
def test_the_choice_is_kept_for_a_year_out_of_reach_of_scripts(url, name):
    app = create_app(type("At", (Testing,), {"BASE_URL": url}))
    client = app.test_client()
    page = client.get("/", base_url=url).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page).group(1)
    answer = client.post("/language", data={"locale": "pt_BR", "csrf_token": token}, base_url=url)
    cookie = cookie_of(answer, name)
    assert cookie.value == "pt_BR"
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Lax")
    assert (cookie["httponly"], cookie["secure"]) == (True, True if name.startswith("__Host-") else "")
    assert timedelta(seconds=int(cookie["max-age"])) == timedelta(days=365)
    assert answer.headers["Cache-Control"] == "no-store"
    assert language_of(client.get("/", base_url=url).text) == "pt_BR"


@pytest.mark.parametrize("value", ["xx", "", "pt", "pt-BR", "../../etc", "x" * 3000, '"pt_BR'])
def test_a_cookie_that_names_none_of_ours_is_ignored(site, value):
    client = site.test_client()
    client.set_cookie("language", value)
    answer = client.get("/auth/login", headers={"Accept-Language": "zh-TW"})
    assert (answer.status_code, language_of(answer.text)) == (200, "zh_Hant_TW")


@pytest.mark.parametrize("language", ["", "xx", "pt", "pt-BR", "../../etc", "x" * 3000, "en\n"])
def test_a_language_that_is_none_of_ours_is_refused(visitor, language):
    visitor.get("/")
    answer = choose(visitor, language)
    assert answer.status_code == 400
    assert not [header for header in answer.headers.getlist("Set-Cookie") if "language" in header]


def test_a_choice_without_the_pages_token_is_refused(visitor):
    answer = visitor.client.post("/language", data={"locale": "pt_BR", "next": "/"})
    assert answer.status_code == 400
    assert language_of(visitor.get("/").text) == "en"


HOSTILE = [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "evil",
    "javascript:x",
    "/a b",
    "/é",
    "",
]


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("path", HOSTILE)
def test_the_way_back_leads_to_no_other_site(visitor, path):
    visitor.get("/auth/login")
    assert choose(visitor, "pt_BR", next=path).location == "/"


@pytest.mark.parametrize(
    "url",
    ["/nothing", "/nothing/a%20b", "/static/none.css", "/?c=%FF", "/auth/logout", "/language", "/auth/reset_password"],
)
def test_the_switch_works_on_pages_that_are_errors(visitor, url):
    assert visitor.get(url).status_code in (400, 404, 405)
    answer = choose(visitor, "pt_BR")
    assert (answer.status_code, language_of(visitor.page.text)) == (303, "pt_BR")


def test_a_form_that_was_sent_is_not_sent_again(visitor):
    visitor.fill("/auth/login?next=/account", email="nonsense", password="x")
    assert visitor.page.status_code == 422
    assert choose(visitor, "pt_BR").location == "/auth/login?next=/account"
    assert visitor.page.status_code == 200


@pytest.mark.asvs("14.2.1")
@pytest.mark.parametrize("purpose", ["reset_password", "register", "change_email", "undo_email_change", "not_me"])
@pytest.mark.parametrize("rest", ["", "/", "/x", "?a=b", "%20"])
def test_no_page_of_a_dead_link_passes_its_token_on(visitor, purpose, rest):
    token = "IjEi.aR8abc.SOMETHINGSECRETSOMETHING"
    visitor.page = visitor.client.get(f"/auth/{purpose}/{token}{rest}")
    assert visitor.page.status_code in (404, 410)
    assert token not in visitor.page.text
    answer = choose(visitor, "pt_BR")
    assert token not in answer.location
    assert language_of(visitor.page.text) == "pt_BR"


def test_no_page_of_a_link_that_works_passes_its_token_on(browser, reset_link):
    token = reset_link.rpartition("/")[2]
    assert token not in browser.get(reset_link).text
    assert choose(browser, "pt_BR").location == "/auth/reset_password"
    assert browser.page.status_code == 200
    assert "password2" in browser.form.inputs


def test_below_a_path_the_way_back_stays_there():
    app = create_app(type("Below", (Testing,), {"BASE_URL": "http://localhost/sub"}))
    page = app.test_client().get("/sub/auth/login?next=/sub/account").text
    assert 'name="next" value="/sub/auth/login?next=/sub/account"' in page
    assert app.test_client().get("/sub/account").location == "/sub/auth/login?next=/sub/account"


def locale_of(app, email):
    with app.app_context():
        return User.by_email(email).locale


def test_somebody_signed_in_takes_the_choice_to_other_browsers(app, browser, other_browser, alice):
    browser.sign_in(alice, PASSWORD)
    choose(browser, "zh_Hant_TW")
    assert locale_of(app, alice) == "zh_Hant_TW"
    other_browser.get("/")
    choose(other_browser, "pt_BR")
    other_browser.sign_in(alice, PASSWORD)
    assert language_of(other_browser.page.text) == "zh_Hant_TW"


def test_a_choice_outlives_signing_out(browser, alice):
    browser.sign_in(alice, PASSWORD)
    choose(browser, "pt_BR")
    token = re.search(r'action="/auth/logout">\s*<input[^>]*value="([^"]+)"', browser.get("/").text).group(1)
    browser.client.post("/auth/logout", data={"csrf_token": token})
    assert language_of(browser.get("/auth/login").text) == "pt_BR"


def test_mails_follow_the_choice(browser, other_browser, postman, alice):
    browser.sign_in(alice, PASSWORD)
    choose(browser, "pt_BR")
    other_browser.ask_for_reset(alice)
    [message] = postman.deliver()
    assert message.extra_headers["Content-Language"] == "pt-BR"
    assert '<html lang="pt-BR" dir="ltr">' in message.html


def test_the_last_mail_is_in_the_language_of_the_page(browser, postman, alice):
    browser.get("/auth/login")
    choose(browser, "pt_BR")
    browser.sign_in(alice, PASSWORD)
    browser.fill("/account/delete", current_password=PASSWORD)
    [message] = postman.deliver()
    assert message.extra_headers["Content-Language"] == "pt-BR"


def test_a_choice_on_the_profile_is_confirmed_in_its_own_language(browser, alice):
    browser.sign_in(alice, PASSWORD)
    browser.fill("/account/profile", name="Alice", locale="pt_BR", time_zone="")
    assert language_of(browser.page.text) == "pt_BR"
    assert "Salvo." in browser.page.text


def test_as_the_browser_says_undoes_every_choice(app, browser, alice):
    browser.sign_in(alice, PASSWORD)
    choose(browser, "pt_BR")
    browser.fill("/account/profile", name="Alice", locale="", time_zone="")
    assert locale_of(app, alice) is None
    assert language_of(browser.get("/").text) == "en"


def test_a_failure_is_told_in_the_language_that_was_chosen(site, visitor, monkeypatch):
    visitor.get("/")
    choose(visitor, "pt_BR")

    def fail():
        raise RuntimeError("a fault of ours")

    monkeypatch.setitem(site.view_functions, "main.home", fail)
    monkeypatch.setitem(site.config, "PROPAGATE_EXCEPTIONS", False)
    answer = visitor.get("/")
    assert (answer.status_code, language_of(answer.text)) == (500, "pt_BR")
    assert 'class="languages"' not in answer.text


READERS = [
    ("en", "UTC", "November 20, 2026, 3:05 PM UTC"),
    ("en", "America/New_York", "November 20, 2026, 10:05 AM EST"),
    ("en", "Asia/Kathmandu", "November 20, 2026, 8:50 PM GMT+05:45"),
    ("pt_BR", "America/Sao_Paulo", "20 de novembro de 2026, 12:05 (BRT)"),
    ("zh_Hant_TW", "Asia/Taipei", "2026年11月20日 晚上11:05\uff08GMT+08:00\uff09"),
]


@pytest.mark.parametrize(("language", "zone", "words"), READERS)
def test_a_moment_is_told_as_the_reader_writes_it_in_a_zone_that_is_named(site, language, zone, words):
    when = utcnow().replace(year=2026, month=11, day=20, hour=15, minute=5, second=9, microsecond=7)
    facts = {"when": when, "reader": User(time_zone=zone)}
    with site.test_request_context(), force_locale(language):
        assert render_template_string("{{ when|moment }}", **facts) == words
        element = render_template_string('{% from "_time.html" import time with context %}{{ time(when) }}', **facts)
    assert element == f'<time datetime="2026-11-20T15:05:09Z">{words}</time>'


def test_every_time_on_a_page_is_one_that_machines_can_read(browser, alice):
    browser.sign_in(alice, PASSWORD)
    for url in ("/account", "/account/sessions", "/account/activity"):
        page = browser.get(url).text
        elements = re.findall(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">[^<]+ UTC</time>', page)
        assert elements
        assert len(re.findall(r"\bUTC\b", page)) == len(elements)


FORMS = [form for form in vars(forms).values() if isinstance(form, type) and issubclass(form, forms.FlaskForm)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_no_refusal_is_in_the_words_of_a_library(form):
    """Those would be English, whatever the page."""
    for unbound in [value for value in map(form.__dict__.get, dir(form)) if hasattr(value, "field_class")]:
        kwargs = unbound.kwargs
        for validator in [*kwargs.get("validators", []), *(unbound.args[1] if len(unbound.args) > 1 else [])]:
            assert not isinstance(validator, InputRequired | DataRequired | EqualTo) or validator.message
        assert not issubclass(unbound.field_class, SelectField) or kwargs["invalid_choice_message"]


def test_a_choice_off_the_list_is_refused_in_our_words(browser, alice):
    browser.sign_in(alice, PASSWORD)
    choose(browser, "pt_BR")
    browser.fill("/account/profile", name="", locale="xx", time_zone="Mars/Base")
    assert browser.page.status_code == 422
    assert browser.page.text.count("Escolha uma opção da lista.") == 4
    assert "Informe um nome de 1 a 64 caracteres." in browser.page.text


def test_an_account_keeps_the_language_it_was_registered_in(browser, other_browser, postman):
    browser.get("/")
    choose(browser, "pt_BR")
    browser.register("carol@example.com")
    browser.get(postman.link())
    browser.submit(name="Carol", password=PASSWORD, password2=PASSWORD)
    postman.deliver()
    other_browser.ask_for_reset("carol@example.com")  # a stranger, in English
    [message] = postman.deliver()
    assert message.extra_headers["Content-Language"] == "pt-BR"
