"""What a page is looked at for. Each function returns what is wrong, in words."""

import gzip
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from axe_playwright_python.base import AXE_SCRIPT as AXE

SCRIPT = Path(__file__).with_name("looks.js").read_text()
# Beyond what axe looks for by itself: targets of 24 pixels (WCAG 2.2, 2.5.8).
ALL_RULES = {"rules": {"target-size": {"enabled": True}}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
# No rule reads the style sheets as text; frames hold mails, which have a test of their own.
QUICK = {"resultTypes": ["violations"], "preload": False, "iframes": False}
MOST_BYTES, MOST_BYTES_ZIPPED = 30 * 1024, 14 * 1024  # of HTML, CSS and scripts together (ux.md, 28)
PHONE = {"width": 320, "height": 568}


def look(page, name, argument=None):
    """Run one of the functions of looks.js in the page."""
    return page.evaluate(f"argument => {{ {SCRIPT}\n return {name}(argument) }}", argument)


def fits(page):
    """No sideways scroll, and no text cut off."""
    return look(page, "fits", page.viewport_size["width"])


def is_comfortable(page):
    """Fields of 16 pixels, so that phones do not zoom in, and buttons that a thumb hits."""
    return look(page, "isComfortable")


def shows_focus(page):
    return look(page, "showsFocus")


def stands_still(page):
    """Nothing moves while it loads."""
    return look(page, "shifts")


def is_accessible(page, rules=ALL_RULES):
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(rules).then(results => results.violations)", QUICK | rules)
    return [f"{rule['id']}: {node['html'][:120]} {node['target']}" for rule in found for node in rule["nodes"]]


def has_contrast(page):
    return is_accessible(page, COLOURS)


def is_light(page):
    """One style sheet and one script at most, nothing from elsewhere, and all of it small."""
    found, own = look(page, "requests"), "{0.scheme}://{0.netloc}/".format(urlsplit(page.url))
    parts = [page.content().encode(), *map(_content, found["styles"]), *map(_content, found["scripts"])]
    plain, zipped = sum(map(len, parts)), sum(len(gzip.compress(part)) for part in parts)
    strangers = [entry["name"] for entry in found["all"] if not entry["name"].startswith(own)]
    return [
        *(f"{name}: {found[name]}" for name in ("styles", "scripts") if len(found[name]) > 1),
        *(f"from elsewhere: {name}" for name in strangers),
        *([f"{plain} bytes, {zipped} zipped"] if plain > MOST_BYTES or zipped > MOST_BYTES_ZIPPED else []),
    ]


@cache
def _content(url):
    with urlopen(url) as answer:
        return answer.read()
