"""Real servers for tests: a mail server that keeps what it is sent, and the site as production runs it.

Everything stays on the loopback interface, and nothing outlives its `with` block.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPErrorProcessor, HTTPSHandler, ProxyHandler, Request, build_opener

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from config import Testing
from tests.browser import Browser

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
PATIENCE = 30  # seconds; only a test that fails waits that long


def wait_for(condition, what, seconds=PATIENCE):
    """Return what `condition` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
    return result


def free_port():
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


def make_certificate(directory, name):
    """A self-signed certificate and its key for one host; the certificate is also the trust store that accepts it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    files = SimpleNamespace(certificate=directory / "certificate.pem", key=directory / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    command += " -addext keyUsage=critical,digitalSignature,keyCertSign"  # Python 3.13 insists on it
    arguments = ["-addext", f"subjectAltName={name}", "-keyout", files.key, "-out", files.certificate]
    subprocess.run([*command.split(), *arguments], check=True, capture_output=True)
    return files


@dataclass(frozen=True)
class Mail:
    """One mail as the server got it: the envelope, and the bytes of the message."""

    session: tuple[str, int]  # the client's end of the connection
    greeting: str
    sender: str
    recipients: list[str]
    source: bytes

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.source, policy=policy.default)

    @property
    def message_id(self) -> str:
        return self.message["Message-ID"]

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    def _body(self, subtype):
        return self.message.get_body([subtype]).get_content().replace("\r\n", "\n")

    @property
    def link(self) -> str:
        """The one link to act on."""
        [link] = [link for link in self.links if "/auth/not_me/" not in link]
        return link

    @property
    def links(self) -> list[str]:
        """Those of the text part; each has a line of its own."""
        return re.findall(r"^https?://\S+$", self.text, re.MULTILINE)

    def link_to(self, path: str) -> str:
        """The one link under that path."""
        [link] = [link for link in self.links if urlsplit(link).path.startswith(path)]
        return link

    @property
    def html_links(self) -> set[str]:
        return {unescape(link) for link in re.findall(r'href="([^"]*)"', self.html)}


class TidyController(Controller):
    """Closes what is connected before its loop ends: else sockets are left to the garbage collector, which warns."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.accepted = []

    def factory(self):
        self.accepted.append(super().factory())
        return self.accepted[-1]

    def stop(self, no_assert=False):
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(PATIENCE)
        super().stop(no_assert)

    async def _hang_up(self):
        self.server.close()
        for _ in range(10):  # one that was just accepted gets its transport within a few rounds of the loop
            for connection in self.accepted:
                if connection.transport:
                    connection.transport.abort()
            await asyncio.sleep(0)


class SmtpSink:
    """A mail server that keeps what it is sent: `mails` it has accepted, `tries` it was shown.

    Addresses in `refused` are answered 550, the next `busy` mails 451, and while it is `silent` a mail gets no answer.
    Stopped and started again, it listens on the same port. With a certificate it takes mail over TLS only.
    """

    def __init__(self, certificate=None, *, tls_from_the_start=False, login=None):
        self.port = free_port()
        self.controller: Controller | None = None
        self.mails: list[Mail] = []
        self.tries: list[Mail] = []
        self.logins: list[tuple[str, str]] = []
        self.seen = 0
        self.refused: set[str] = set()
        self.busy = 0
        self.silent = False
        self.options = self._tls(certificate, tls_from_the_start)
        self.options |= self._auth(login)

    @staticmethod
    def _tls(certificate, from_the_start):
        if certificate is None:
            return {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        return {"ssl_context": context} if from_the_start else {"tls_context": context, "require_starttls": True}

    def _auth(self, login):
        if login is None:
            return {}

        def authenticate(server, session, envelope, mechanism, data):
            self.logins.append((data.login.decode(), data.password.decode()))
            return AuthResult(success=self.logins[-1] == login, handled=False)

        # aiosmtpd counts only STARTTLS as TLS
        return {"authenticator": authenticate, "auth_require_tls": "ssl_context" not in self.options}

    def start(self):
        # server_hostname: else every connection looks this machine's name up in the DNS
        self.controller = TidyController(
            self, hostname=HOST, port=self.port, server_hostname="localhost", **self.options
        )
        self.controller.start()

    def stop(self):
        """Hang up on everybody and close the port."""
        if self.controller is not None:
            self.controller.stop()
        self.controller = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def receive(self) -> Mail:
        """The next accepted mail that was not received yet; waits for it."""
        wait_for(lambda: len(self.mails) > self.seen, "a mail")
        self.seen += 1
        return self.mails[self.seen - 1]

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return f"550 5.1.1 <{address}> is not known here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        mail = Mail(session.peer, session.host_name, envelope.mail_from, envelope.rcpt_tos, envelope.original_content)
        self.tries.append(mail)
        while self.silent:
            await asyncio.sleep(0.01)
        if self.busy:
            self.busy -= 1
            return "451 4.3.0 Come back later"
        self.mails.append(mail)
        return "250 OK"


class Program:
    """`python <arguments>` in the repository, in a process group of its own and with nothing but these settings."""

    def __init__(self, *arguments, output, settings):
        self.log = output
        environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8"}
        environment |= {name: str(value) for name, value in settings.items()}
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.kill()

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self, seconds=PATIENCE) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.process.terminate()
        return self.wait()

    def children(self) -> list[int]:
        """The processes it has started, as gunicorn's workers."""
        with suppress(OSError):
            tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}")
            return [int(pid) for pid in (tasks / "children").read_text().split()]
        return []

    def owns_connection(self, session) -> bool:
        """Whether it is this process that has the connection which comes from that address and port (Linux only)."""
        table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        sockets = {f"socket:[{line[9]}]" for line in table if int(line[1].partition(":")[2], 16) == session[1]}
        with suppress(OSError):
            return any(os.readlink(file) in sockets for file in Path(f"/proc/{self.process.pid}/fd").iterdir())
        return False

    def kill(self):
        """SIGKILL the whole group: what a power cut or the OOM killer leaves behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()


class Site:
    """The site as production runs it: gunicorn with the repository's own configuration, and the `flask` command."""

    def __init__(self, directory: Path, **settings):
        self.directory = directory
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.programs: list[Program] = []
        self.settings = {
            "FLASK_CONFIG": "production",
            "SECRET_KEY": Testing.SECRET_KEY,
            "BASE_URL": self.url,
            "MAIL_SERVER": HOST,
            "MAIL_DEFAULT_SENDER": "no-reply@rekey.example",
            "MAIL_DELIVERY": "thread",
            "WEB_CONCURRENCY": 1,  # processes, where a test asks for no more
            "LOG_FORMAT": "text",
            **settings,
        }

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        with ExitStack() as stack:
            for program in self.programs:
                stack.callback(program.kill)
                print(program.output)  # pytest shows it when the test has failed

    def launch(self, *arguments) -> Program:
        output = self.directory / f"output{len(self.programs)}.txt"
        program = Program(*arguments, output=output, settings=self.settings)
        self.programs.append(program)
        return program

    def flask(self, *arguments) -> str:
        """Run a `flask` command to its end; what it printed."""
        program = self.launch("-m", "flask", *arguments)
        assert program.wait() == 0, program.output
        return program.output

    def start(self, *options) -> Program:
        """Start gunicorn, and wait until it answers."""
        server = self.start_unseen(*options)
        wait_for(lambda: self._answers(server), "the site to answer")
        return server

    def start_unseen(self, *options) -> Program:
        """Start gunicorn, and send it nothing."""
        return self.launch("-m", "gunicorn", "wsgi:app", "--bind", f"{HOST}:{self.port}", *options)

    def _answers(self, server):
        assert server.process.poll() is None, server.output
        with suppress(OSError):
            return HttpClient(self.url).get("/healthz").status_code == 200

    def start_worker(self, **pauses) -> Program:
        """Start `flask outbox work`, and wait until it is ready."""
        worker = self.start_worker_unseen(**pauses)
        wait_for(lambda: "Delivering mail" in worker.output, "the worker to start")
        return worker

    def start_worker_unseen(self, **pauses) -> Program:
        """Start `flask outbox work`. Pauses given by name, as POLL_SECONDS=0.05, take that long instead."""
        if not pauses:
            return self.launch("-m", "flask", "outbox", "work")
        hurry = [f"{name}={seconds}" for name, seconds in pauses.items()]
        return self.launch("-m", "tests.hurried", *hurry, "outbox", "work")


@dataclass(frozen=True)
class Answer:
    """What Browser reads of a test client's response."""

    url: str
    status_code: int
    headers: dict[str, str]
    text: str
    header_lines: tuple[tuple[str, str], ...] = ()  # as they came; `headers` keeps one of each name

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @property
    def request(self) -> SimpleNamespace:
        url = urlsplit(self.url)
        return SimpleNamespace(path=url.path, full_path=f"{url.path}?{url.query}")


class AsItCame(HTTPErrorProcessor):
    """Hands every answer on: no exception for a 422, no redirect followed."""

    def http_response(self, request, response):
        return response

    https_response = http_response


class HttpClient:
    """What Browser needs of a test client, over real HTTP and to this one site."""

    def __init__(self, url, headers=None, trust=None):
        self.url = url
        self.headers = headers or {}  # sent with every request
        self.cookies = CookieJar()
        tls = HTTPSHandler(context=ssl.create_default_context(cafile=trust))
        self.opener = build_opener(ProxyHandler({}), tls, HTTPCookieProcessor(self.cookies), AsItCame())

    def get(self, url, *, follow_redirects=False, headers=None) -> Answer:
        answer = self._send(urljoin(self.url, url), None, headers)
        while follow_redirects and answer.location:
            answer = self._send(urljoin(answer.url, answer.location), None, headers)
        return answer

    def post(self, url, *, data, headers=None) -> Answer:
        return self._send(urljoin(self.url, url), urlencode(data).encode(), headers)

    def _send(self, url, body, headers) -> Answer:
        assert url.startswith(f"{self.url}/"), f"{url} is on another site"
        request = Request(url, body, self.headers | (headers or {}))
        with self.opener.open(request, timeout=PATIENCE) as response:
            lines = tuple(response.headers.items())
            return Answer(url, response.status, dict(lines), response.read().decode(), lines)


class HttpBrowser(Browser):
    def __init__(self, url, headers=None, trust=None):
        super().__init__(HttpClient(url, headers, trust))
