"""What happened to accounts."""

import logging
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app import signals
from app.database import Base, BigId, UtcDateTime, utcnow
from app.extensions import db

logger = logging.getLogger(__name__)


class SecurityEvent(Base):
    """Something the owner of an account would want to know about; without an account, a sign-in to one that is none."""

    __tablename__ = "security_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    device: Mapped[str] = mapped_column(String(100), default="")
    network: Mapped[str] = mapped_column(String(50), default="")

    @classmethod
    def add(cls, user_id: int | None, kind: str, client: dict[str, str]) -> None:
        """Add it to the transaction, and a line to the log; its signal follows the commit."""
        db.session.add(cls(user_id=user_id, kind=kind, **client))
        facts = (kind, user_id or "none", client["network"] or "unknown", client["device"] or "unknown")
        logger.info("security event %s: account %s, network %s, device %s", *facts)
        signals.announce(kind, user_id=user_id, client=client)


Index("ix_security_events_user_id_created_at", SecurityEvent.user_id, SecurityEvent.created_at)
