"""What Prometheus reads: exact over processes, on a socket of its own, and never in the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from socket import create_connection
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import flask_migrate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from app import create_app
from app.auth.models import User
from app.auth.passwords import hash_password
from app.extensions import db
from app.metrics import Queue
from config import Testing
from tests.conftest import NEW_PASSWORD, PASSWORD
from tests.servers import HOST, HttpBrowser, HttpClient, Site, SmtpSink, free_port, wait_for

ADDRESS = "canary.alice@example.com"
OPENER = build_opener(ProxyHandler({}))


def scrape(port):
    """The value of every sample, by name and labels."""
    with OPENER.open(f"http://{HOST}:{port}/metrics", timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def value(samples, name, **labels):
    """The sum of the samples that have this name and, among others, these labels."""
    wanted = set(labels.items())
    return sum(value for (found, *rest), value in samples.items() if found == name and wanted <= set(rest))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Which database it is does not matter here."""
    url = f"sqlite:///{tmp_path_factory.mktemp('metrics')}/rekey.db"
    app = create_app(type("Metrics", (Testing,), {"DATABASE_URL": url}))
    with app.app_context():
        flask_migrate.upgrade()
        User.create(ADDRESS, "Alice", hash_password(PASSWORD))
        db.session.commit()
        db.engine.dispose()
    return url


@pytest.fixture
def counting(database, tmp_path):
    """A site with two processes that is not started yet, and nobody else's port for its metrics."""
    with SmtpSink() as sink, Site(tmp_path, DATABASE_URL=database, MAIL_PORT=sink.port) as site:
        site.sink, site.metrics_port = sink, free_port()
        site.settings |= {"METRICS_BIND": f"{HOST}:{site.metrics_port}", "MAIL_DELIVERY": "worker"}
        site.settings |= {"RATELIMIT_ENABLED": 0, "WEB_CONCURRENCY": 2}
        yield site


def names_used(root):
    """Every metric that the dashboard and the alerts name."""
    dashboard = json.loads((root / "deploy/grafana-dashboard.json").read_text())
    alerts = yaml.safe_load((root / "deploy/alerts.yml").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert len(queries) > 15
    return {name for query in queries for name in re.findall(r"\brekey_\w+", query)}


def test_a_running_site_exports_what_dashboard_and_alerts_ask_for_and_the_totals_are_exact(counting, root):
    counting.settings["RATELIMIT_ENABLED"] = 1
    server = counting.start()
    counting.settings["METRICS_BIND"] = f"{HOST}:{(worker_port := free_port())}"
    counting.start_worker()
    browser = HttpBrowser(counting.url)
    for _ in range(5):
        assert browser.sign_in(ADDRESS, PASSWORD).status_code == 303
        browser.sign_out()
    browser.ask_for_reset(ADDRESS)
    assert browser.reset(counting.sink.receive().link, NEW_PASSWORD).status_code == 303
    assert browser.get(f"/auth/reset_password/{'s3cret' * 20}").status_code == 404
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: HttpClient(counting.url).get("/auth/register"), range(80)))
        guesses = list(pool.map(lambda n: HttpBrowser(counting.url).sign_in(f"n{n}@example.com", "guess"), range(33)))
    wrong, limited = (sum(guess.status_code == code for guess in guesses) for code in (422, 429))
    assert wrong > 20
    assert limited > 0

    samples = scrape(counting.metrics_port)
    assert value(samples, "rekey_requests_total", route="/auth/register", status="200") == 80
    assert value(samples, "rekey_request_seconds_count", route="/auth/register", method="GET") == 80
    assert value(samples, "rekey_sign_ins_total", result="ok") == 5
    assert value(samples, "rekey_sign_ins_total", result="refused") == wrong
    assert value(samples, "rekey_limits_refused_total", limit="failed sign-ins from a network") == limited
    assert value(samples, "rekey_resets_asked_total") == value(samples, "rekey_resets_done_total") == 1
    assert value(samples, "rekey_argon2_seconds_count") == 5 + 1 + wrong
    assert "s3cret" not in str(samples)
    assert ADDRESS not in str(samples)
    assert len(server.children()) == 2

    wait_for(lambda: value(scrape(worker_port), "rekey_mails_total", outcome="sent") == 2, "both mails to be counted")
    wait_for(lambda: value(scrape(worker_port), "rekey_mail_workers") == 1, "the worker to be seen")
    mails = scrape(worker_port)
    assert value(mails, "rekey_mail_tries_total", kind="reset_password", result="sent") == 1
    assert value(mails, "rekey_smtp_seconds_count") == 2

    exported = {name for name, *_ in [*samples, *mails]}
    assert names_used(root) - exported == set()


def test_totals_outlive_the_processes_that_counted(counting):
    """A worker that ends adds what it has counted to what others have; one that is killed leaves its file."""
    server = counting.start("--max-requests", "8", "--max-requests-jitter", "0")
    total = 0
    before = set(server.children())
    while before & set(server.children()):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: HttpClient(counting.url).get("/auth/login"), range(3)))
        total += 3
        assert value(scrape(counting.metrics_port), "rekey_requests_total", route="/auth/login") == total
        assert total < 300
    killed, _ = wait_for(lambda: len(server.children()) == 2 and server.children(), "both processes")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(server.children()) == 2 and killed not in server.children(), "another process")
    assert value(scrape(counting.metrics_port), "rekey_requests_total", route="/auth/login") == total
    assert server.stop() == 0


def queue_figures(queue):
    samples = [sample for family in queue.collect() for sample in family.samples]
    return {sample.labels.get("state", sample.name): sample.value for sample in samples}


def test_the_queue_is_what_the_outbox_has_and_read_once_for_a_while(app, browser, postman, alice, monkeypatch):
    monkeypatch.setattr("app.metrics.FRESH_SECONDS", 600)
    queue = Queue(app)
    nothing = dict.fromkeys(("due", "in_hand", "waiting", "rekey_outbox_oldest_due_seconds", "rekey_mail_workers"), 0)
    assert queue_figures(queue) == nothing
    for _ in range(5):
        browser.ask_for_reset(alice)
    assert queue_figures(queue)["due"] == 0
    figures = queue_figures(Queue(app))
    assert figures.pop("rekey_outbox_oldest_due_seconds") > 0
    assert (figures["due"], figures["waiting"]) == (3, 1)  # three at once, and the next in an hour
    postman.deliver()
    assert queue_figures(Queue(app)) == nothing | {"waiting": 1}


def test_the_queue_is_read_over_one_connection(app):
    held, most = set(), []
    with app.app_context():
        engine = db.engine

    def take(connection, record, proxy):
        held.add(record)
        most.append(len(held))

    def give_back(connection, record):
        held.discard(record)

    event.listen(engine, "checkout", take)
    event.listen(engine, "checkin", give_back)
    try:
        assert list(Queue(app).collect())
    finally:
        event.remove(engine, "checkout", take)
        event.remove(engine, "checkin", give_back)
    assert most == [1]
    assert held == set()


def test_without_mail_no_figure_says_that_mail_waits_or_nobody_delivers(app, browser, alice, root, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_DELIVERY", "off")
    browser.ask_for_reset(alice)
    exported = {family.name for family in Queue(app).collect()}
    assert exported == {"rekey_outbox_messages"}
    rules = yaml.safe_load((root / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
    [missing] = [rule["expr"] for rule in rules if "absent(" in rule["expr"]]
    assert missing == "absent(rekey_outbox_messages)"  # or it would fire for ever


def test_without_a_database_there_is_no_queue_and_the_rest_is_there(tmp_path):
    with Site(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/rekey.db") as site:
        site.settings["METRICS_BIND"] = f"{HOST}:{(port := free_port())}"
        site.settings["MAIL_DELIVERY"] = "worker"
        site.start()
        samples = scrape(port)
    assert value(samples, "rekey_requests_total", route="/healthz") > 0
    assert not [name for name, *_ in samples if name.startswith("rekey_outbox")]


def test_a_database_that_hangs_holds_up_no_scrape_for_long(app, database_kind):
    if database_kind == "sqlite":
        pytest.skip("on SQLite nothing holds up who only reads")
    queue = Queue(app)
    with app.app_context(), db.engine.connect() as holder:
        holder.execute(text("LOCK TABLE outbox_messages"))
        assert list(queue.collect()) == []
    wait_for(lambda: list(queue.collect()), "the database to answer again")


def test_metrics_are_not_on_the_sites_own_port_and_the_site_not_on_theirs(counting):
    counting.start()
    assert HttpClient(counting.url).get("/metrics").status_code == 404
    for path in ("/", "/healthz", "/metrics/x"):
        with pytest.raises(HTTPError, match="404"):
            OPENER.open(f"http://{HOST}:{counting.metrics_port}{path}", timeout=10)


@pytest.mark.parametrize("command", ["gunicorn", "worker"])
def test_a_port_that_is_taken_stops_nothing(counting, command):
    with SmtpSink() as other:
        counting.settings["METRICS_BIND"] = f"{HOST}:{other.port}"
        program = counting.start() if command == "gunicorn" else counting.start_worker()
        assert "there are no metrics" in program.output
        assert program.stop() == 0


def test_a_client_that_says_nothing_holds_up_no_request_and_no_stop(counting):
    server, silent = counting.start(), (HOST, counting.metrics_port)
    with create_connection(silent), create_connection(silent):
        assert HttpClient(counting.url).get("/").status_code == 200
        assert server.stop() == 0


def test_figures_that_cannot_be_read_stop_nothing(counting, tmp_path):
    counting.settings["PROMETHEUS_MULTIPROC_DIR"] = tmp_path / "figures"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/counter_1.db").write_bytes(b"of an earlier run, and cut off")
    server = counting.start()
    assert value(scrape(counting.metrics_port), "rekey_requests_total", route="/healthz") > 0

    broken = tmp_path / "figures/counter_1.db"
    broken.write_bytes(b"no figures")
    with pytest.raises(OSError, match=r"closed|reset"):
        scrape(counting.metrics_port)
    assert HttpClient(counting.url).get("/").status_code == 200
    broken.unlink()
    assert value(scrape(counting.metrics_port), "rekey_requests_total", route="/") == 1
    assert server.stop() == 0
    assert (tmp_path / "figures").exists()


def test_where_they_are_off_nothing_listens_and_nothing_is_loaded(counting):
    del counting.settings["METRICS_BIND"]
    counting.start()
    with pytest.raises(URLError):
        scrape(counting.metrics_port)
    command = "import sys, app; app.create_app('testing'); sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", command], check=False).returncode == 0


def test_what_was_shared_is_gone_when_the_site_has_stopped(counting, tmp_path):
    counting.settings["TMPDIR"] = tmp_path / "tmp"
    counting.settings["TMPDIR"].mkdir()
    server = counting.start()
    [directory] = counting.settings["TMPDIR"].glob("rekey-metrics-*")
    assert list(directory.glob("*.db"))
    assert server.stop() == 0
    assert not directory.exists()


def kill_both(counting, server):
    """SIGKILL the workers, one after the other, and wait until one that is new answers."""
    for old in wait_for(lambda: len(server.children()) == 2 and server.children(), "both processes"):
        os.kill(old, signal.SIGKILL)
        wait_for(lambda old=old: len(server.children()) == 2 and old not in server.children(), "another process")
    wait_for(lambda: counting._answers(server), "the site to answer")


def test_a_directory_that_was_cleaned_away_is_made_anew(counting, tmp_path):
    counting.settings["TMPDIR"] = tmp_path / "tmp"
    counting.settings["TMPDIR"].mkdir()
    server = counting.start()
    [directory] = counting.settings["TMPDIR"].glob("rekey-metrics-*")
    shutil.rmtree(directory)
    kill_both(counting, server)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert HttpClient(counting.url).get("/").status_code == 200
    assert value(scrape(counting.metrics_port), "rekey_requests_total", route="/", status="200") == 1
    shutil.rmtree(directory)
    assert server.stop() == 0
    assert "Traceback" not in server.output


def test_a_directory_that_cannot_be_made_costs_the_figures_and_not_the_site(counting, tmp_path):
    counting.settings["PROMETHEUS_MULTIPROC_DIR"] = figures = tmp_path / "figures"
    server = counting.start()
    shutil.rmtree(figures)
    figures.write_text("a file in its place")
    kill_both(counting, server)
    assert HttpClient(counting.url).get("/").status_code == 200
    assert "there are no metrics of this process" in server.output
    assert server.stop() == 0


def test_a_command_starts_without_the_directory_too(counting, tmp_path):
    counting.settings["PROMETHEUS_MULTIPROC_DIR"] = tmp_path / "gone"
    assert "there are no metrics of this process" in counting.flask("outbox", "status")


def test_so_does_one_that_was_never_there(counting, tmp_path):
    (tmp_path / "file").touch()
    counting.settings["PROMETHEUS_MULTIPROC_DIR"] = tmp_path / "file/figures"
    server = counting.start()
    assert HttpClient(counting.url).get("/").status_code == 200
    assert server.stop() == 0
