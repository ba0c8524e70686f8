"""Home, health, the choice of a language, and the static files."""

from flask import Flask


def init_app(app: Flask) -> None:
    from app.main import language, readiness, routes, static_files  # noqa: F401 - language registers itself

    app.register_blueprint(routes.bp)
    static_files.init_app(app)
    readiness.init_app(app)
