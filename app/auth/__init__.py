"""Who you are: register, sign in, recover."""

from flask import Blueprint, Flask

bp = Blueprint("auth", __name__, url_prefix="/auth")


def init_app(app: Flask) -> None:
    from app.auth import cli, emails, links, purge, recover, register, sign_in  # noqa: F401 - each registers what it holds

    app.register_error_handler(links.DeadLink, links.show_dead_link)
    app.register_blueprint(bp)
    app.register_blueprint(cli.bp)
