"""What the other tests here trust to see, it sees."""

import pytest
from playwright.sync_api import Error

from tests.web import looks

FAULTY = """<!doctype html><html><head><title>x</title><style>
  input { font-size: 13px; height: 20px } button { outline: none !important }
  a { display: block; width: 10px; height: 10px; font-size: 8px; color: #bbb; background: #ccc }
  :focus { outline: 3px solid #eee }
  #wide { width: 2000px } #cut { width: 50px; height: 20px; overflow: hidden }
</style></head><body><div id="wide">Wide</div><p id="cut">Some words that do not fit into their box</p>
<input><a href="/">a link</a><a href="/">another</a><button>go</button></body></html>"""


def test_faults_of_a_page_are_found(open_browser, stage):
    page = open_browser(stage).page
    page.set_content(FAULTY)
    found = {problem.split(":")[0] for problem in looks.is_accessible(page)}
    assert {"label", "color-contrast", "target-size", "html-has-lang"} <= found
    assert {problem.split(":")[0] for problem in looks.has_contrast(page)} == {"color-contrast"}
    assert {problem.split(":")[0] for problem in looks.is_comfortable(page)} == {
        "small print",
        "a button under 44 pixels",
    }
    rings = {problem.split(":")[0] for problem in looks.shows_focus(page)}
    assert rings == {"no ring", "a faint ring, rgb(238, 238, 238)"}
    assert [problem.split(":")[0] for problem in looks.fits(page)] == [
        f"it is {page.evaluate('document.documentElement.scrollWidth')} wide and the window 1280",
        "cut off",
    ]


LATE = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() => {
    document.body.prepend(Object.assign(document.createElement("hr"), { style: "block-size: 9em" }))
    requestAnimationFrame(() => setTimeout(done))
})))"""


def test_a_layout_that_shifts_is_noticed(person):
    person.open("/auth/login")
    assert looks.stands_still(person.page) == []
    person.page.evaluate(LATE)
    assert [problem.split(" ")[0] for problem in looks.stands_still(person.page)] == ["moved"]


def test_a_heavy_page_is_noticed(person):
    person.open("/auth/login")
    assert looks.is_light(person.page) == []
    person.page.evaluate("document.body.append(Array.from({ length: 9999 }, Math.random).join())")
    [problem] = looks.is_light(person.page)
    assert problem.endswith("zipped")


@pytest.mark.parametrize("url", ["https://rekey.example/", "http://192.0.2.1/"])
def test_nothing_leaves_this_machine(person, watch, url):
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        person.page.goto(url)
    assert watch.problems == [f"request to elsewhere: {url}"]
    watch.noted.clear()


INLINE = "document.head.append(Object.assign(document.createElement('script'), { textContent: 'document.title = 1' }))"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (INLINE, "console: Executing inline script violates the following Content Security Policy"),
        ("setTimeout(() => { throw Error('oh') })", "error in the page: "),
        ("console.error('oh')", "console: oh"),
        ("document.images[0].src = '/static/none.svg'", "console: Failed to load resource"),
    ],
)
def test_what_goes_wrong_in_a_page_is_noticed(person, watch, script, problem):
    person.open("/auth/login")
    with person.context.expect_event("weberror" if "throw" in script else "console"):
        person.page.evaluate(script)
    assert [noted.startswith(problem) for noted in watch.problems] == [True], watch.problems
    watch.noted.clear()
