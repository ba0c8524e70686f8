"""A shared cache as one may stand in front of the site: it keeps whatever it may keep, for everybody."""

import http.client
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from tests.servers import HOST


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kept = self.server.kept.get(self.path)
        self._answer(kept or self._fetch())

    def do_POST(self):
        self._answer(self._fetch(self.rfile.read(int(self.headers["Content-Length"]))))

    def _fetch(self, body=None):
        connection = http.client.HTTPConnection(self.server.origin)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        answer = response.status, response.getheaders(), response.read()
        connection.close()
        rules = response.headers["Cache-Control"] or ""
        if self.command == "GET" and "no-store" not in rules and "private" not in rules:
            self.server.kept[self.path] = answer
        return answer

    def _answer(self, answer):
        status, headers, body = answer
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def caching_proxy(url):
    """Serves the site at `url`; `kept` maps paths to the answers it has kept."""
    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.origin, server.kept = urlsplit(url).netloc, {}
        server.url = f"http://{HOST}:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
