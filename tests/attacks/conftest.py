"""The attack suite runs against a site it starts itself, once on each database; or, with ATTACK_URL, against that one.

`make attack BASE_URL=https://account.example.com` sets ATTACK_URL. It is not called BASE_URL because a shell that has
that set for the site itself must not make `make test` attack it.
"""

import os
from contextlib import ExitStack, contextmanager
from functools import cache

import flask_migrate
import pytest

from app import create_app
from app.extensions import db
from config import Testing
from tests.attacks.site import LocalSite, RemoteSite
from tests.servers import Site, SmtpSink

ATTACK_URL = os.environ.get("ATTACK_URL")
FORMER_KEY = "the key that was in use before " + Testing.SECRET_KEY[:10]

# Settings of the two other sites: on its own in the net; and behind a proxy that speaks TLS.
BARE = {"TRUSTED_PROXIES": 0, "RESET_LINK_MAX_AGE": 600}
SECURE = {"BASE_URL": "https://account.example.com", "TRUSTED_PROXIES": 1, "SECURITY_CONTACT": "security@example.com"}


DATABASES = ["remote"] if ATTACK_URL else ["sqlite", "postgresql"]

# For an attack that is over before the database is asked: once is enough.
once = pytest.mark.parametrize("database_kind", DATABASES[:1], indirect=True, scope="session")


@pytest.fixture(scope="session", params=DATABASES)
def database_kind(request):
    return request.param


@pytest.fixture(scope="session")
def target(database_kind, request):
    """The site under attack. A test that takes this one needs nothing but its URL."""
    return RemoteSite(ATTACK_URL) if ATTACK_URL else request.getfixturevalue("running_site")


@pytest.fixture
def local(target):
    """The site under attack, with its mail and its database."""
    if isinstance(target, LocalSite):
        return target
    return pytest.skip("needs the site's mail and database, which only a site started here shows")


@pytest.fixture
def visitor(target):
    return target.visitor()


@pytest.fixture
def other_visitor(target):
    return target.visitor()


@pytest.fixture
def attacker(target):
    return target.visitor()


@pytest.fixture
def alice(local):
    """The address of a fresh account."""
    return local.account("Alice")


@pytest.fixture
def bob(local):
    return local.account("Bob")


@contextmanager
def observer(site):
    """An application in this process, on the database of a site: to look on, and to deliver without waiting."""
    settings = {name: site.settings[name] for name in ("DATABASE_URL", "BASE_URL", "MAIL_PORT")}
    app = create_app(type("Observer", (Testing,), settings | {"MAIL_SUPPRESS_SEND": False}))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def running_site(make_database, tmp_path_factory):
    """gunicorn with two processes behind one proxy, so that each visitor can come from a network of their own."""
    settings = {"DATABASE_URL": make_database("attacked"), "SECRET_KEY_FALLBACKS": FORMER_KEY, "TRUSTED_PROXIES": 1}
    directory = tmp_path_factory.mktemp("site")
    with SmtpSink() as sink, Site(directory, MAIL_PORT=sink.port, **settings) as site, observer(site) as app:
        with app.app_context():
            flask_migrate.upgrade()
        site.start("--workers", "2")
        yield LocalSite(site, app, sink)


@pytest.fixture(scope="session")
def start_site(target, tmp_path_factory):
    """Starts one more site on the same database, once for the same settings. It leaves the mail to the first."""
    if ATTACK_URL:
        pytest.skip("needs a site with other settings, which only starts here")
    with ExitStack() as stack:

        @cache
        def start(**settings):
            common = {name: target.settings[name] for name in ("DATABASE_URL", "MAIL_PORT")}
            site = Site(tmp_path_factory.mktemp("site"), MAIL_DELIVERY="worker", **common | settings)
            stack.enter_context(site).start()
            return LocalSite(site, target.app, target.sink)

        yield start
