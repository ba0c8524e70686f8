"""The real nginx under the repository's own deploy/nginx.conf: only what that includes is the test's."""

import os
import shutil
import subprocess
from contextlib import suppress

import pytest

from tests.servers import HOST, ROOT, free_port, make_certificate, wait_for

MAIN = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/main.log warn;
events {{ worker_connections 512; }}
http {{
    access_log {directory}/other.log;
    {temporary}
    include {site};
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def find_nginx():
    """The command; skips the test where there is none."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return found or pytest.skip("nginx is not installed")


class Nginx:
    """Serves https://127.0.0.1:`port` from these gunicorns while its block lasts."""

    def __init__(self, directory, nodes):
        self.command = find_nginx()
        self.directory = directory
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://{HOST}:{self.port}"
        self.tls = make_certificate(directory, f"IP:{HOST}")
        self.include("nodes.conf", *(f"server {node} max_fails=0;" for node in nodes))
        self.include("http.conf", f"listen {HOST}:{self.plain_port};")
        self.include(
            "https.conf",
            f"listen {HOST}:{self.port} ssl http2;",
            f"ssl_certificate {self.tls.certificate};",
            f"ssl_certificate_key {self.tls.key};",
            f"access_log {directory}/rekey.log rekey;",
            f"error_log {directory}/rekey-error.log crit;",
        )
        self.write_main()

    def include(self, name, *lines):
        (self.directory / "rekey").mkdir(exist_ok=True)
        (self.directory / "rekey" / name).write_text("\n".join(lines) + "\n")

    def write_main(self):
        user = "user root;" if os.geteuid() == 0 else ""  # or it could not look into this directory
        temporary = " ".join(f"{name}_temp_path {self.directory}/{name};" for name in TEMPORARY)
        text = MAIN.format(user=user, directory=self.directory, temporary=temporary, site=ROOT / "deploy/nginx.conf")
        (self.directory / "nginx.conf").write_text(text)

    def arguments(self):
        return [self.command, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    def test(self):
        """What `nginx -t` says."""
        return subprocess.run([*self.arguments(), "-t"], capture_output=True, text=True, check=False)

    def __enter__(self):
        with (self.directory / "output.txt").open("w") as output:
            self.process = subprocess.Popen(self.arguments(), stdout=output, stderr=output, start_new_session=True)
        wait_for(self._listens, "nginx to listen")
        return self

    def _listens(self):
        from socket import create_connection

        assert self.process.poll() is None, (self.directory / "output.txt").read_text()
        with suppress(OSError), create_connection((HOST, self.port)):
            return True

    def __exit__(self, *exc_info):
        self.process.terminate()
        self.process.wait(10)

    def logs(self):
        """All that it has written, by file."""
        return {path.name: path.read_text() for path in self.directory.glob("*.log")}
