from flask import Blueprint, Response, render_template

bp = Blueprint("main", __name__)


@bp.route("/")
def home() -> str:
    return render_template("main/home.html")


@bp.route("/healthz")
def healthz() -> Response:
    """Says that this process answers; it touches nothing else."""
    return Response("ok\n", mimetype="text/plain")
