"""Every mail there is, in every language, as its reader sees it: by day, at night, and on a phone."""

from urllib.parse import urlsplit

import pytest

from tests.web import looks
from tests.web.stage import PATIENCE_MS

# Landmarks are for pages: a mail stands inside one, which has its own.
NO_LANDMARKS = {"rules": {"landmark-one-main": {"enabled": False}, "region": {"enabled": False}}}


@pytest.fixture
def page(chromium, scenery):
    """Past the content security policy, which lets no script run in a mail: axe is one."""
    with chromium.new_context(base_url=scenery.dev.url, locale="en-US", bypass_csp=True) as context:
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(looks.AXE)
        yield context.new_page()


@pytest.fixture
def mails(page):
    """Path and language of each, from the catalogue."""
    page.goto("/dev/mails")
    links = page.get_by_role("main").locator("a[href*='locale=']").all()
    found = [urlsplit(link.get_attribute("href")) for link in links]
    assert len(found) > 10
    return [f"{url.path}/html?{url.query}" for url in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_mail(page, mails, scheme):
    wrong = []
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(looks.PHONE)
    for mail in mails:
        assert page.goto(f"{mail}&scheme={scheme}").status == 200
        wrong += [f"{mail}: {problem}" for problem in [*looks.is_accessible(page, NO_LANDMARKS), *looks.fits(page)]]
    assert not wrong, "\n".join(wrong)
