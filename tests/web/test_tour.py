"""Every page of the tour, in every language, by day and at night: usable by anyone, small, steady and quiet."""

from collections import defaultdict

import pytest

from config import Config
from tests.web import looks
from tests.web.tour import TOUR, browser_language

DESKTOP = {"width": 1000, "height": 800}
AS_LOADED = ("stands_still", "is_light", "shows_focus", "is_comfortable")


@pytest.mark.parametrize("language", Config.LANGUAGES)
def test_no_page_has_a_fault(open_browser, scenery, language):
    """One tour, and so one test, for each language; what it fails with names every fault of every page."""
    faults = defaultdict(list)
    page = open_browser(scenery.stage, locale=browser_language(language), viewport=DESKTOP).page
    page.context.add_init_script(looks.AXE)  # handed over once and not for every page
    scenery.stage.forget_limits()
    for name, stop in TOUR.items():
        stop.arrive(page, scenery)
        for what, wrong in inspected(page, language):
            faults[what] += [f"{what}: {name}: {problem}" for problem in wrong]
    found = [fault for faults_of_a_kind in faults.values() for fault in faults_of_a_kind]
    assert not found, "\n".join(found)


def inspected(page, language):
    """By day, then at night, then on a phone. What no word changes is looked at in the first language only."""
    if language == Config.LANGUAGES[0]:
        yield from ((name, getattr(looks, name)(page)) for name in AS_LOADED)
    spoken = page.evaluate("document.documentElement.lang")
    yield "speaks", [spoken] if spoken != language.replace("_", "-") else []
    yield "is_accessible", looks.is_accessible(page)
    yield "fits", looks.fits(page)
    page.emulate_media(color_scheme="dark")
    yield "has_contrast_at_night", looks.has_contrast(page)
    if language == Config.LANGUAGES[0]:
        yield "shows_focus_at_night", looks.shows_focus(page)
    page.set_viewport_size(looks.PHONE)
    yield "fits_a_phone", [*looks.fits(page), *looks.is_comfortable(page)]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)
