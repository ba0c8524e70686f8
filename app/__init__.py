"""Rekey: lets people who forgot their password back in."""

from flask import Flask

import config as settings
from app import auth, database, doctor, email, errors, i18n, limits, logs, look, main, security
from app.extensions import csrf, db, login_manager, mail, migrate
from app.rekey import Rekey


def create_app(config: str | type[settings.Config] | None = None) -> Flask:
    """Build the application.

    `config` is `development`, `testing`, `production` or a config class; without it FLASK_CONFIG decides.
    Raises config.ConfigError, which names every setting that is missing or unsafe.
    """
    app = Rekey(__name__)
    app.config.from_mapping(settings.load(config))
    logs.init_app(app)
    db.init_app(app)
    database.init_app(app, db)
    migrate.init_app(app, db, directory=str(settings.ROOT / "migrations"), render_as_batch=True)
    login_manager.init_app(app)
    security.init_app(app)  # before csrf, which would read the form first
    csrf.init_app(app)
    mail.init_app(app)
    look.init_app(app)  # before i18n, which reads translations once
    i18n.init_app(app)
    limits.init_app(app)
    errors.init_app(app)
    email.init_app(app)
    auth.init_app(app)
    main.init_app(app)
    doctor.init_app(app)
    if app.config["METRICS_BIND"]:
        _count(app)
    return app


def _count(app: Flask) -> None:
    try:
        from app import metrics  # prometheus_client takes memory and time, which a site without it need not pay
    except OSError as error:  # no file to count in; the site is worth more than its figures
        app.logger.error("there are no metrics of this process: %s", error)
    else:
        metrics.init_app(app)
