"""Rekey on many machines, by hand on one: two gunicorns, two mail workers, PostgreSQL, and nginx in front over TLS."""

import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from socket import create_connection
from threading import Event

import pytest
from sqlalchemy import create_engine, text

from config_checks import sqlalchemy_url
from tests.browser import FormReader
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.nginx import Nginx
from tests.servers import HOST, HttpBrowser, HttpClient, Site, SmtpSink, free_port, wait_for

ZOE = "zoe@example.com"
QUICK_LEASE = {"LEASE_SECONDS": 3, "RENEW_SECONDS": 0.5}  # else a dead worker's mail waits for a minute


class Topology:
    """The machines. A node is a Site of its own: the same database and settings, another port."""

    def __init__(self, stack, directory, url):
        self.stack, self.directory = stack, directory
        self.sink = stack.enter_context(SmtpSink())
        ports = [free_port(), free_port()]
        self.nginx = stack.enter_context(Nginx(directory, [f"{HOST}:{port}" for port in ports]))
        self.url = self.nginx.url
        self.nodes = [self.add_machine(f"web{port}", url, port) for port in ports]
        self.mailers = self.add_machine("mail", url)
        self.nodes[0].flask("db", "upgrade")
        self.workers = [self.mailers.start_worker_unseen(**QUICK_LEASE) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            self.servers = list(pool.map(Site.start, self.nodes))
        self.secrets = []

    def add_machine(self, name, url, port=None):
        (self.directory / name).mkdir()
        site = Site(self.directory / name, DATABASE_URL=url, MAIL_PORT=self.sink.port, BASE_URL=self.url)
        site.port = port or site.port
        site.url = f"http://{HOST}:{site.port}"
        site.settings |= {"MAIL_DELIVERY": "worker", "TRUSTED_PROXIES": 1, "RATELIMIT_ENABLED": 0}
        return self.stack.enter_context(site)

    def browser(self):
        return HttpBrowser(self.url, trust=self.nginx.tls.certificate)

    def mailed_link(self, path):
        """That link of the next mail that has one; past notices."""
        while True:
            links = self.sink.receive().links
            self.secrets += [token for link in links if len(token := link.rpartition("/")[2]) > 40]
            if found := [link for link in links if path in link]:
                return found[0]


@pytest.fixture(scope="module")
def topology(postgresql, tmp_path_factory):
    engine = create_engine(sqlalchemy_url(postgresql), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE topology"))
    engine.dispose()
    with ExitStack() as stack:
        url = postgresql.replace("/postgres?", "/topology?")
        yield Topology(stack, tmp_path_factory.mktemp("topology"), url)


def test_the_journey_goes_on_while_a_node_and_a_worker_die(topology):
    browser = topology.browser()
    browser.register(ZOE)
    link = topology.mailed_link("/auth/register/")
    assert browser.fill(link, name="Zoe", password=PASSWORD, password2=PASSWORD).status_code == 303
    assert browser.sign_in(ZOE, PASSWORD).status_code == 303

    topology.servers[0].kill()
    assert all(browser.is_signed_in for _ in range(4))
    browser.sign_out()
    topology.sink.silent = True
    assert browser.ask_for_reset(ZOE).location == "/auth/check_your_inbox"
    in_hand = wait_for(lambda: topology.sink.tries[len(topology.sink.mails) :], "the mail to be in hand")[0]
    [killed] = [worker for worker in topology.workers if worker.owns_connection(in_hand.session)]
    killed.kill()
    topology.sink.silent = False

    link = topology.mailed_link("/auth/reset_password/")  # from the other worker, when the lease is over
    assert browser.reset(link, NEW_PASSWORD).status_code == 303
    assert browser.sign_in(ZOE, NEW_PASSWORD).status_code == 303
    topology.servers[0] = topology.nodes[0].start()


def use_constantly(topology, stop):
    """Load pages and send forms until told to stop; how often there was which status."""
    statuses = Counter()
    while not stop.is_set():
        client = HttpClient(topology.url, trust=topology.nginx.tls.certificate)
        form = client.get("/auth/reset_password_request")
        sent = FormReader(form.text).fields | {"email": "nobody@example.com"}
        answer = client.post("/auth/reset_password_request", data=sent) if form.status_code == 200 else form
        statuses.update([form.status_code, answer.status_code, client.get("/").status_code])
        time.sleep(0.02)  # leave a starting node some of the processor
    return statuses


def test_a_rolling_restart_refuses_no_request(topology):
    stop = Event()
    with ThreadPoolExecutor(3) as pool:
        users = [pool.submit(use_constantly, topology, stop) for _ in range(3)]
        try:
            for number, node in enumerate(topology.nodes):
                assert topology.servers[number].stop() == 0
                topology.servers[number] = node.start()
                time.sleep(0.5)  # of traffic through both
        finally:
            stop.set()
    statuses = sum((user.result() for user in users), Counter())
    assert set(statuses) == {200, 303}
    assert statuses.total() > 30


def half_a_request(topology, stack):
    """Headers that promise a form, and its first byte."""
    context = ssl.create_default_context(cafile=topology.nginx.tls.certificate)
    connection = stack.enter_context(create_connection((HOST, topology.nginx.port), timeout=30))
    stream = stack.enter_context(context.wrap_socket(connection, server_hostname=HOST))
    head = f"POST /auth/login HTTP/1.1\r\nHost: {HOST}:{topology.nginx.port}\r\nContent-Length: 1000\r\n"
    stream.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\ne".encode())
    return stream


def test_requests_that_never_end_stop_nobody(topology):
    with ExitStack() as stack:
        streams = [half_a_request(topology, stack) for _ in range(40)]  # all of gunicorn's threads are eight
        for _ in range(3):
            for stream in streams:
                stream.sendall(b"x")
            assert topology.browser().get("/auth/login").status_code == 200


def test_what_a_visitor_says_of_the_way_it_came_counts_for_nothing(topology):
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Host": "evil.example", "X-Request-ID": "mine-mine-mine"}
    client = HttpClient(topology.url, forged, trust=topology.nginx.tls.certificate)
    answer = client.get("/auth/login")
    assert (answer.status_code, len(answer.headers["X-Request-ID"])) == (200, 32)
    client.post("/auth/login", data=FormReader(answer.text).fields | {"email": ZOE, "password": "a wrong password"})
    written = "".join(server.output for server in topology.servers)
    assert "network 127.0.0.1" in written
    assert "192.0.2.66" not in written
    assert answer.headers["X-Request-ID"] in topology.nginx.logs()["rekey.log"]


def test_plain_http_leads_to_https(topology):
    answer = HttpClient(f"http://{HOST}:{topology.nginx.plain_port}").get("/auth/login?next=/account")
    assert (answer.status_code, answer.location) == (301, f"https://{HOST}/auth/login?next=/account")


def test_no_log_of_nginx_holds_a_link(topology):
    for server in topology.servers:
        server.kill()  # an error for every request
    token = topology.secrets[0]
    client = HttpClient(topology.url, trust=topology.nginx.tls.certificate)
    mangled = (f"reset_password%2F{token}", f"RESET_PASSWORD/{token}", f"reset_password?{token}", f"x/{token}x")
    for path in (f"reset_password/{token}", *mangled):
        assert client.get(f"/auth/{path}").status_code == 502
    logs = topology.nginx.logs()
    assert "/auth/reset_password/... 303" in logs["rekey.log"]
    assert "/auth/login 200" in logs["rekey.log"]
    assert len(topology.secrets) >= 3
    for name, written in logs.items():
        assert [secret for secret in topology.secrets if secret in written] == [], name
