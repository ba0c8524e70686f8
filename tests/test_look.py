"""Make it yours: name, colour, logo, texts and templates, without a change to the originals."""

import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from flask_babel import get_domain

from app import create_app
from app.email import Draft, OutboxMessage
from app.email.models import new_message_id
from app.email.render import render
from config import ConfigError, Testing
from config_checks import PAPERS, contrast


@pytest.fixture
def folder(tmp_path):
    for name in ("templates/main", "static"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def make_client(folder):
    def make(**settings):
        config = type("Own", (Testing,), {"OVERRIDES_DIR": str(folder), **settings})
        app = create_app(config)
        with app.app_context():
            get_domain().cache.clear()  # which outlives an app
        return app.test_client()

    yield make
    with create_app(Testing).app_context():
        get_domain().cache.clear()


def style_of(client):
    [url] = re.findall(r'href="(/static/style\.css\?v=[0-9a-f]{12})"', client.get("/auth/login").text)
    with client.get(url) as answer:
        assert "immutable" in answer.headers["Cache-Control"]
        return url, answer.text


def test_the_colours_of_the_site_replace_the_brass(make_client):
    before, _ = style_of(make_client())
    after, style = style_of(make_client(BRAND_COLOR="#004488", BRAND_COLOR_DARK="#88ccff"))
    assert "--brass: #004488" in style
    assert "--brass: #88ccff" in style
    assert "#7a5c12" not in style
    assert before != after  # or browsers would show the old colour for a year


def test_a_browser_that_has_the_file_is_not_sent_it_again(make_client):
    client = make_client(BRAND_COLOR="#004488")
    with client.get("/static/style.css") as answer:
        etag = answer.headers["ETag"]
    assert client.get("/static/style.css", headers={"If-None-Match": etag}).status_code == 304
    assert client.get("/static/style.css", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_contrast_is_measured_on_the_colours_of_the_pages(root):
    style = (root / "app/static/style.css").read_text()
    for papers in PAPERS.values():
        assert all(f": {paper};" in style for paper in papers)


def test_a_folder_may_be_named_from_where_one_is(make_client, folder, monkeypatch):
    (folder / "static/mark.svg").write_text("<svg>theirs</svg>")
    monkeypatch.chdir(folder.parent)
    assert make_client(OVERRIDES_DIR=folder.name).get("/static/mark.svg").text == "<svg>theirs</svg>"


def test_the_mark_takes_the_colour_too(make_client):
    assert "#004488" in make_client(BRAND_COLOR="#004488").get("/static/mark.svg").text


@pytest.mark.parametrize(
    ("name", "color", "word"),
    [
        ("BRAND_COLOR", "#ffcc00", "darker"),
        ("BRAND_COLOR_DARK", "#333333", "lighter"),
        ("BRAND_COLOR", "blue", "hexadecimal"),
        ("BRAND_COLOR", "#fff", "hexadecimal"),
    ],
)
def test_a_colour_that_cannot_be_read_on_the_page_is_refused(make_client, name, color, word):
    with pytest.raises(ConfigError, match=rf"{name} is .*{word}"):
        make_client(**{name: color})


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21), ("#ffffff", "#ffffff", 1), ("#777777", "#ffffff", 4.48), ("#ffffff", "#0000ff", 8.59)],
)
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)


def test_a_file_of_theirs_takes_the_place_of_ours(make_client, folder):
    (folder / "static/mark.svg").write_text("<svg>theirs</svg>")
    (folder / "static/extra.txt").write_text("more")
    client = make_client()
    assert client.get("/static/mark.svg").text == "<svg>theirs</svg>"
    with client.get("/static/extra.txt") as answer:
        assert answer.text == "more"
    assert "--brass" in client.get("/static/style.css").text


@pytest.mark.parametrize("path", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt"])
def test_nothing_outside_their_folder_is_served(make_client, folder, path):
    (folder / "secret.txt").write_text("secret")
    answer = make_client().get(f"/static/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_template_of_theirs_takes_the_place_of_ours_and_may_extend_it(make_client, folder):
    (folder / "templates/main/home.html").write_text(
        '{% extends "original/main/home.html" %}{% block heading %}<h1>Welcome to Acme</h1>{% endblock %}'
    )
    page = make_client().get("/").text
    assert "<h1>Welcome to Acme</h1>" in page
    assert "You type your address." in page


@pytest.mark.parametrize(("language", "words"), [("en", "Let me in"), ("pt-BR", "Quero entrar")])
def test_wording_of_theirs_wins_message_by_message(make_client, folder, language, words):
    locale = language.replace("-", "_")
    catalog = Catalog(locale=locale)
    catalog.add("Sign in", words)
    path = folder / f"translations/{locale}/LC_MESSAGES/messages.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalog)
    page = make_client().get("/auth/login", headers={"Accept-Language": language}).text
    assert f"<h1>{words}</h1>" in page
    assert 'type="password"' in page


def test_mails_take_the_colours_too(make_client):
    client = make_client(BRAND_COLOR="#004488", BRAND_COLOR_DARK="#88ccff")
    row = OutboxMessage(kind="test", message_id=new_message_id())
    with client.application.app_context():
        html = render(row, Draft("ann@example.com", {"home": "http://localhost"})).html
    assert "#004488" in html
    assert "#88ccff" in html
    assert "#7a5c12" not in html


def test_a_folder_that_is_not_there_is_named(make_client):
    with pytest.raises(ConfigError, match="OVERRIDES_DIR is '/nowhere'"):
        make_client(OVERRIDES_DIR="/nowhere")
