"""Pictures of every page of the tour, to be looked at: pytest tests/web --shots DIR. Collected only then."""

import re
from pathlib import Path

import pytest

from config import Config
from tests.web.tour import TOUR, browser_language


@pytest.mark.parametrize("language", Config.LANGUAGES)
def test_every_page_has_its_picture_taken(request, open_browser, scenery, language):
    folder = Path(request.config.getoption("--shots"), language)
    folder.mkdir(parents=True, exist_ok=True)
    scenery.stage.forget_limits()
    page = open_browser(scenery.stage, locale=browser_language(language)).page
    for name, stop in TOUR.items():
        stop.arrive(page, scenery)
        for width in (320, 1000):
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                file = re.sub(r"\W+", "-", f"{name} {width} {scheme}")
                page.screenshot(path=folder / f"{file}.png", full_page=True)
