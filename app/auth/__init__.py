"""Who you are: register, sign in, recover, and your account."""

from flask import Blueprint, Flask

bp = Blueprint("auth", __name__, url_prefix="/auth")


def init_app(app: Flask) -> None:
    from app.auth import (  # noqa: F401 - each registers
        access,
        account,
        change_email,
        cli,
        dead_links,
        emails,
        links,
        purge,
        recover,
        register,
        sessions,
        sign_in,
    )

    app.before_request(access.require_sign_in)

    app.register_error_handler(links.DeadLink, dead_links.show_dead_link)
    app.register_blueprint(bp)
    app.register_blueprint(account.bp)
    app.register_blueprint(cli.bp)
