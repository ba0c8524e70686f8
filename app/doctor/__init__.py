"""`flask doctor`: what is wrong with this site, before a locked-out user finds out.

The list of checks begins with those of the settings, which the start-up gate shares (config_checks.py). What follows
looks at the world: each function of a module here yields findings about one topic, raises nothing it can foresee, and
tells no secret.
"""

from flask import Flask


def init_app(app: Flask) -> None:
    from app.doctor import cli

    app.register_blueprint(cli.bp)
