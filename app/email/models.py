"""The outbox: one row for every mail the site has promised."""

import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, BigId, UtcDateTime


def new_message_id() -> str:
    """130 random bits in 26 letters and digits that can be read out on the telephone."""
    return b32encode(secrets.token_bytes(17)).decode().lower()[:26]


@dataclass(frozen=True)
class Urgency:
    """How soon a mail goes, and when it is no longer worth sending."""

    priority: int  # lower goes first
    life: timedelta


LINK = Urgency(priority=0, life=timedelta(hours=6))  # somebody is waiting for it
FIRST_LINK = Urgency(priority=5, life=timedelta(hours=6))  # to register: a flood of these delays no reset
NOTICE = Urgency(priority=10, life=timedelta(days=3))  # a backlog of these never delays a link


class OutboxMessage(Base):
    """A mail that was promised: what to say and to whom, never the text itself, a link or a token.

    `due_at` is schedule, lease and back-off in one; `leased` tells which, for people to read. A row is open while
    `done_at` is NULL.
    """

    __tablename__ = "outbox_messages"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    args: Mapped[dict[str, Any]] = mapped_column(JSON)
    locale: Mapped[str | None] = mapped_column(String(20))
    priority: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    leased: Mapped[bool] = mapped_column(default=False, server_default=false())
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(10))
    last_error: Mapped[str | None] = mapped_column(String(500))
    tries: Mapped[list[list[str]]] = mapped_column(JSON, default=list, server_default="[]")  # [moment, what happened]
    message_id: Mapped[str] = mapped_column(String(26), unique=True)
    address_digest: Mapped[str | None] = mapped_column(String(64), index=True)

    @property
    def reference(self) -> str:
        """What page and mail show, so that a person and the operator can speak of the same mail."""
        return f"{self.message_id[:4]}-{self.message_id[4:8]}".upper()


# Holds open rows only, in the order they are claimed: its size, and a claim's cost, do not grow with history.
Index(
    "ix_outbox_messages_open",
    OutboxMessage.priority,
    OutboxMessage.due_at,
    postgresql_where=OutboxMessage.done_at.is_(None),
    sqlite_where=OutboxMessage.done_at.is_(None),
)
