"""Home, health, and the static files."""

from flask import Flask


def init_app(app: Flask) -> None:
    from app.main import routes, static_files

    app.register_blueprint(routes.bp)
    static_files.init_app(app)
