from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort, current_app, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.main.readiness import failing_part

bp = Blueprint("main", __name__)


@bp.route("/")
def home() -> str:
    return render_template("main/home.html")


@bp.route("/healthz")
def healthz() -> Response:
    """Says that this process answers; it touches nothing else."""
    return Response("ok\n", mimetype="text/plain")


@bp.route("/readyz")
def readyz() -> Response:
    """Says that requests can be served; else 503 and the name of the part that fails, `database` or `schema`."""
    failing = failing_part()
    return Response(f"{failing or 'ok'}\n", 503 if failing else 200, mimetype="text/plain")


@bp.route("/.well-known/security.txt")
def security_txt() -> Response:
    """Where to report a security problem (RFC 9116)."""
    contact = current_app.config["SECURITY_CONTACT"] or abort(404)
    expires = datetime.now(UTC) + timedelta(days=180)
    lines = [
        f"Contact: {contact if contact.startswith('https:') else f'mailto:{contact}'}",
        f"Expires: {expires.isoformat(timespec='seconds')}",
        f"Canonical: {current_app.config['BASE_URL']}/.well-known/security.txt",
    ]
    return Response("\n".join(lines) + "\n", mimetype="text/plain")


@bp.route("/.well-known/change-password")
def change_password() -> ResponseReturnValue:
    """Where password managers look (W3C, "A Well-Known URL for Changing Passwords")."""
    return redirect(url_for("account.password"), 303)
