"""Flask, with two habits of its own."""

from typing import Any

from flask import Flask, Request, request
from werkzeug.routing import MapAdapter

PROBES = ("/healthz", "/readyz")


class Rekey(Flask):
    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Refuse hosts that are not in TRUSTED_HOSTS; but a probe may name this machine by any address."""
        if request is not None and request.path in PROBES:
            request.environ["HTTP_HOST"] = "localhost"
        return super().create_url_adapter(request)

    def log_exception(self, exc_info: Any) -> None:
        """Log the route, not the path: that of a mailed link is a secret."""
        self.logger.error("Exception on %s [%s]", request.url_rule, request.method, exc_info=exc_info)
