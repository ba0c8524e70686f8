"""The extensions, unbound; `create_app` binds them."""

import flask_login
from flask import Response
from flask_babel import Babel
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect

from app.database import Base, CallingSession


class LoginManager(flask_login.LoginManager):
    """Flask-Login without its remember cookie, which has no end on the server. Sessions have: see UserSession."""

    def _update_remember_cookie(self, response: Response) -> Response:
        return response  # even looking for it would make every answer, static files too, vary by cookie

    def _load_user_from_remember_cookie(self, cookie: str) -> None:
        return None


# Objects stay readable after a commit: views commit before slow work (hashing, SMTP) to hold no lock during it.
db = SQLAlchemy(model_class=Base, session_options={"class_": CallingSession, "expire_on_commit": False})
migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
mail = Mail()
babel = Babel()
