"""Rekey: lets people who forgot their password back in."""

from typing import Any

from flask import Flask, request

import config as settings
from app import auth, database, email, errors, i18n, main, security
from app.extensions import csrf, db, login_manager, mail, migrate


class Rekey(Flask):
    def log_exception(self, exc_info: Any) -> None:
        """Log the route, not the path: that of a mailed link is a secret."""
        self.logger.error("Exception on %s [%s]", request.url_rule, request.method, exc_info=exc_info)


def create_app(config: str | type[settings.Config] | None = None) -> Flask:
    """Build the application.

    `config` is `development`, `testing`, `production` or a config class; without it FLASK_CONFIG decides.
    Raises config.ConfigError, which names every setting that is missing or unsafe.
    """
    app = Rekey(__name__)
    app.config.from_mapping(settings.load(config))

    db.init_app(app)
    database.init_app(app, db)
    migrate.init_app(app, db, directory=str(settings.ROOT / "migrations"), render_as_batch=True)
    login_manager.init_app(app)
    csrf.init_app(app)
    mail.init_app(app)
    i18n.init_app(app)

    security.init_app(app)
    errors.init_app(app)
    email.init_app(app)
    auth.init_app(app)
    main.init_app(app)
    return app
