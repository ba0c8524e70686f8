"""Tests in a real browser: Chromium, and the site as production serves it.

Playwright keeps an event loop running in the main thread, where asyncio.run then fails: so it lives and ends with this
package.
"""

import asyncio
import shutil
import signal
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.servers import SmtpSink
from tests.web.people import Person, Watch
from tests.web.scenery import DevelopmentSite, Scenery, site_without_database
from tests.web.stage import PATIENCE_MS, Mailbox, Stage

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no request leaves this machine
)


def pytest_addoption(parser):
    parser.addoption("--shots", metavar="DIR", help="write a picture of every page of the tour into this folder")


def pytest_ignore_collect(collection_path, config):
    wanted = config.getoption("--shots", None)
    return True if collection_path.name == "test_shots.py" and not wanted else None


@cache
def browser_path():
    """The system's Chromium, else Playwright's own, else None."""
    if path := next(filter(None, map(shutil.which, NAMES)), None):
        return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def pytest_runtest_setup():
    """Here and not in a fixture, so that one line of the summary stands for all."""
    if browser_path() is None:
        pytest.skip("there is no Chromium: apt install chromium, or playwright install chromium")


@pytest.fixture(scope="package")
def chromium():
    """One browser for all tests here."""
    handlers = [signal.getsignal(number) for number in SIGNALS]
    expect.set_options(timeout=PATIENCE_MS)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS) as browser,
    ):
        yield browser
    asyncio.run(asyncio.sleep(0))  # the tests after these find the main thread as it was
    assert handlers == [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(scope="package")
def stage(chromium, tmp_path_factory):
    """A running site."""
    with SmtpSink() as sink, Stage(tmp_path_factory.mktemp("site"), Mailbox(sink)) as stage:
        yield stage


@pytest.fixture(scope="package")
def secure_stage(chromium, tmp_path_factory):
    """The same, over HTTPS."""
    with SmtpSink() as sink, Stage(tmp_path_factory.mktemp("secure"), Mailbox(sink), secure=True) as stage:
        yield stage


@pytest.fixture(scope="package")
def scenery(stage, tmp_path_factory):
    """What the tour needs to be there."""
    with (
        site_without_database(tmp_path_factory.mktemp("away")) as away,
        DevelopmentSite(tmp_path_factory.mktemp("dev")) as dev,
    ):
        yield Scenery(stage, away, dev)


@pytest.fixture
def watch():
    """Fails the test on requests to elsewhere, and on errors in the console, as those about the CSP."""
    watch = Watch()
    yield watch
    assert watch.problems == []


@pytest.fixture
def open_browser(chromium, watch):
    """Opens browsers, each with cookies of its own; what it takes are Playwright's options of a context."""
    with ExitStack() as stack:

        def open_browser(stage, kind=Person, **options):
            context = chromium.new_context(**{"base_url": stage.url, "locale": "en-US"} | options)
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            watch.follow(context)
            return kind(context.new_page())

        yield open_browser


@pytest.fixture
def person(open_browser, stage):
    """Somebody at a browser of their own. Limits are as if nobody had been there before."""
    stage.forget_limits()
    return open_browser(stage)


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def anyone(request, open_browser, stage):
    """Somebody whose browser runs scripts, and somebody whose browser does not."""
    stage.forget_limits()
    return open_browser(stage, java_script_enabled=request.param)


@pytest.fixture
def account(stage):
    """The address of an account that nobody else uses."""
    return stage.add_account()
