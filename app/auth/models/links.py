"""What a link is about where that is not an account as it stands: an address on its way to one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import ColumnElement, ForeignKey, Select, String, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.auth.models.users import User, random_id
from app.database import Base, BigId, UtcDateTime, db_now, utcnow
from app.email import address_key
from app.extensions import db


class Registration(Base):
    """An address that asked for an account and has yet to prove itself."""

    __tablename__ = "registrations"

    nonce: Mapped[str] = mapped_column(String(26), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def unused(cls, nonce: str) -> Self | None:
        """The registration a link opens: not used, and its address not taken meanwhile."""
        registration = db.session.get(cls, nonce)
        taken = registration and (User.by_email(registration.email) or EmailChange.reserves(registration.email))
        return None if taken or registration is None or registration.used_at else registration

    def create_account(self, name: str, password_hash: str) -> User | None:
        """Use the link up and create the account, or None when another post was faster: of any number one wins."""
        first = db.session.scalar(
            update(Registration)
            .where(Registration.nonce == self.nonce, Registration.used_at.is_(None))
            .values(used_at=db_now())
            .returning(Registration.nonce)
        )
        return User.create(self.email, name, password_hash) if first else None


class EmailChange(Base):
    """An account's way from one address to another: asked for, proven by the new mailbox, perhaps undone by the old.

    `nonce` opens the link to the new address, `undo_nonce` the one to the old.
    """

    __tablename__ = "email_changes"

    UNDO = timedelta(days=7)  # from the change; so long the old address is kept for its owner

    nonce: Mapped[str] = mapped_column(String(22), primary_key=True, default=random_id)
    undo_nonce: Mapped[str] = mapped_column(String(22), unique=True, default=random_id)
    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    security_stamp: Mapped[str] = mapped_column(String(22))
    old_email: Mapped[str] = mapped_column(String(254))
    old_email_key: Mapped[str] = mapped_column(String(254), index=True)
    new_email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    user: Mapped[User] = relationship()

    @classmethod
    def ask(cls, user: User, new_email: str) -> Self:
        """Add a change to the transaction; it is the only one that waits."""
        cls.cancel(user)
        change = cls(
            user_id=user.id,
            security_stamp=user.security_stamp,
            old_email=user.email,
            old_email_key=user.email_key,
            new_email=new_email,
        )
        db.session.add(change)
        db.session.flush()
        return change

    @classmethod
    def cancel(cls, user: User) -> None:
        """Drop what waits; links to it are dead."""
        db.session.execute(delete(cls).where(cls.user_id == user.id, cls.used_at.is_(None)))

    @classmethod
    def waiting(cls, nonce: str) -> Self | None:
        """The change a link finishes: not used, and its account as it was when the change was asked for."""
        return db.session.scalar(cls._open().where(cls.nonce == nonce))

    @classmethod
    def waiting_for(cls, user: User) -> Self | None:
        since = utcnow() - timedelta(hours=7)  # a link lives an hour, from a mail that may take six
        return db.session.scalar(cls._open().where(cls.user_id == user.id, cls.created_at > since))

    @classmethod
    def _open(cls) -> Select[Self]:
        as_it_was = (cls.security_stamp == User.security_stamp, User.disabled_at.is_(None))
        return select(cls).join(cls.user).where(cls.used_at.is_(None), *as_it_was)

    @classmethod
    def to_undo(cls, undo_nonce: str) -> Self | None:
        """The change an undo link takes back, whatever happened to the account since, but a disabling."""
        return db.session.scalar(
            select(cls).join(cls.user).where(cls.undo_nonce == undo_nonce, *cls._undoable(), User.disabled_at.is_(None))
        )

    @classmethod
    def reserves(cls, email: str, for_others_than: int = 0) -> bool:
        """Whether an address is kept for an owner who may still undo its change; with a user's id, another owner."""
        kept = (cls.old_email_key == address_key(email), cls.user_id != for_others_than)
        return db.session.scalar(select(cls.nonce).where(*kept, *cls._undoable()).limit(1)) is not None

    @classmethod
    def kept_keys(cls, keys: Sequence[str]) -> set[str]:
        """Which of these canonical addresses are reserved."""
        return set(db.session.scalars(select(cls.old_email_key).where(cls.old_email_key.in_(keys), *cls._undoable())))

    @classmethod
    def left_by(cls, user: User) -> list[str]:
        """The addresses the account may still be taken back from."""
        return list(db.session.scalars(select(cls.old_email).where(cls.user_id == user.id, *cls._undoable())))

    @classmethod
    def _undoable(cls) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return cls.used_at > db_now(-cls.UNDO.total_seconds()), cls.undone_at.is_(None)

    def finish(self) -> bool:
        """Use the link up and change the address. False when another was faster, or the account has changed.

        Raises IntegrityError if the address was taken meanwhile.
        """
        self.user.lock()
        first = db.session.scalar(
            update(EmailChange)
            .where(EmailChange.nonce == self.nonce, EmailChange.used_at.is_(None))
            .values(used_at=db_now())
            .returning(EmailChange.nonce)
        )
        if first is None or not self.user.change_email(self.new_email, self.security_stamp):
            return False
        self._void_what_it_takes_back()
        return True

    def _void_what_it_takes_back(self) -> None:
        """An account that returns to an address it had is as it was then: no undo link since may lead away again."""
        mine = (EmailChange.user_id == self.user_id, *self._undoable())
        returned = EmailChange.old_email_key == address_key(self.new_email)
        since = db.session.scalar(select(func.min(EmailChange.used_at)).where(*mine, returned))
        if since:
            void = update(EmailChange).where(*mine, EmailChange.used_at >= since)
            db.session.execute(void.values(undone_at=db_now()).execution_options(synchronize_session=False))

    def undo(self) -> bool:
        """Use the undo link up: the address it was mailed to is the account's again.

        Every later change and its undo link are void, every link and session is dead. False when another was faster.
        """
        self.user.lock()
        first = db.session.scalar(
            update(EmailChange)
            .where(EmailChange.nonce == self.nonce, *self._undoable())
            .values(undone_at=db_now())
            .returning(EmailChange.used_at)
        )
        if first is None:
            return False
        later = (EmailChange.user_id == self.user_id, EmailChange.used_at > first, EmailChange.undone_at.is_(None))
        db.session.execute(update(EmailChange).where(*later).values(undone_at=db_now()))
        self.cancel(self.user)
        self.user.restore_email(self.old_email)
        return True
