"""Accounts and the browsers that are signed in to them."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

from flask_login import UserMixin
from itsdangerous import BadData
from sqlalchemy import ForeignKey, Index, String, delete, literal_column, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, contains_eager, mapped_column, relationship
from sqlalchemy.orm.attributes import set_committed_value

from app.auth import tokens
from app.auth.models.events import SecurityEvent
from app.database import Base, BigId, UtcDateTime, db_now, utcnow
from app.email import address_key
from app.extensions import db


def random_id() -> str:
    """128 random bits in 22 URL-safe characters."""
    return secrets.token_urlsafe(16)


class User(UserMixin, Base):
    """An account. It begins when a mailed link has proven the address."""

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # or a deleted account's id would go to the next one

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    security_stamp: Mapped[str] = mapped_column(String(22), unique=True, default=random_id)
    locale: Mapped[str | None] = mapped_column(String(20))
    time_zone: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    # Of the request's own session; Flask-Login keeps it in the cookie.
    session_token = ""  # nosec B105

    def get_id(self) -> str:
        """What Flask-Login puts into the cookie: the session's secret, so that sign-out ends copies of it too."""
        return self.session_token

    @classmethod
    def create(cls, email: str, name: str, password_hash: str) -> Self | None:
        """Add an account to the transaction; None, with the transaction rolled back, if the address is taken."""
        user = cls(
            email=email,
            email_key=address_key(email),
            name=name,
            password_hash=password_hash,
            password_changed_at=utcnow(),
        )
        db.session.add(user)
        try:
            db.session.flush()
        except IntegrityError:
            db.session.rollback()
            return None
        return user

    @classmethod
    def by_email(cls, address: str) -> Self | None:
        return db.session.scalar(select(cls).where(cls.email_key == address_key(address)))

    @classmethod
    def by_stamp(cls, stamp: str) -> Self | None:
        """The account that a link with this stamp opens, if it is still to be opened."""
        return db.session.scalar(select(cls).where(cls.security_stamp == stamp, cls.disabled_at.is_(None)))

    def get_reset_password_token(self, expires_in: int | None = None) -> str:
        """A token for a reset link that lives `expires_in` seconds, by default RESET_LINK_MAX_AGE."""
        return tokens.issue("reset_password", self.security_stamp, expires_in)

    @classmethod
    def verify_reset_password_token(cls, token: str) -> Self | None:
        """The account a reset token opens, or None if it is forged, expired or used."""
        try:
            return cls.by_stamp(tokens.redeem("reset_password", token))
        except BadData:
            return None

    def change_password(self, password_hash: str) -> bool:
        """Set the password and a new stamp, which kills every open link and session of the account.

        Compare-and-swap: False when the stamp has changed since this object was read. Of any number of parallel posts
        with one link exactly one wins.
        """
        won = self._swap(self.security_stamp, password_hash=password_hash, password_changed_at=db_now())
        if won:
            self.end_sessions()
        return won

    def end_session(self, session_id: str) -> bool:
        """End one of this account's sessions. False if it has no such."""
        gone = delete(UserSession).where(UserSession.user_id == self.id, UserSession.id == session_id)
        return db.session.scalar(gone.returning(UserSession.id)) is not None

    def end_sessions(self, but: str = "") -> int:
        """End every session, or all but one; how many."""
        gone = (
            delete(UserSession).where(UserSession.user_id == self.id, UserSession.id != but).returning(UserSession.id)
        )
        return len(db.session.scalars(gone).all())

    def change_email(self, email: str, stamp: str) -> bool:
        """Give the account another address and a new stamp, which kills every open link; sessions go on.

        Compare-and-swap on the stamp. False when it is no longer that one. Raises IntegrityError if the address is
        taken.
        """
        return self._change(stamp, email=email, email_key=address_key(email))

    def restore_email(self, email: str) -> None:
        """Give the account its former address back: links and sessions made since are dead, whoever made them."""
        mine = update(User).where(User.id == self.id)
        # Whoever changed the address knew the password.
        mine = mine.values(password_hash=None, security_stamp=random_id())
        db.session.execute(mine.values(email=email, email_key=address_key(email)))
        self.end_sessions()

    def void_links(self) -> bool:
        """Set a new stamp, which kills every open link; sessions go on. Compare-and-swap, as in change_password."""
        return self._change(self.security_stamp)

    def _change(self, stamp: str, **values: Any) -> bool:
        """Swap, and take the sessions along."""
        won = self._swap(stamp, **values)
        if won:
            mine = (UserSession.user_id == self.id, UserSession.security_stamp == stamp)
            db.session.execute(update(UserSession).where(*mine).values(security_stamp=self.security_stamp))
        return won

    def _swap(self, stamp: str, **values: Any) -> bool:
        """Compare the stamp, and set a new one together with these values: of many at once, one wins."""
        new = random_id()
        won = db.session.scalar(
            update(User)
            .where(User.id == self.id, User.security_stamp == stamp, User.disabled_at.is_(None))
            .values(security_stamp=new, **values)
            .returning(User.id)
            .execution_options(synchronize_session=False)
        )
        if won:
            for name, value in {"security_stamp": new, **values}.items():
                if isinstance(value, str):
                    set_committed_value(self, name, value)
        return won is not None

    def lock(self) -> bool:
        """Let nobody else change the account until the transaction ends. False if somebody has, since it was read.

        Taken before limits and sessions, in the order of a reset: else the two could wait for each other.
        """
        unchanged = (User.id == self.id, User.security_stamp == self.security_stamp, User.disabled_at.is_(None))
        return db.session.scalar(select(User.id).where(*unchanged).with_for_update()) is not None

    def upgrade_password(self, password_hash: str) -> None:
        """Keep the same password under a better hash, unless it was changed since this object was read."""
        unchanged = (User.id == self.id, User.password_hash == self.password_hash)
        db.session.execute(update(User).where(*unchanged).values(password_hash=password_hash))

    @classmethod
    def imported_password(cls) -> str | None:
        """Any one password hash that another system made, and no sign-in has replaced yet."""
        return db.session.scalar(select(cls.password_hash).where(IMPORTED).limit(1))

    @property
    def has_signed_in(self) -> bool:
        """Whether it ever has, or within the year for which events are kept."""
        return (
            db.session.scalar(
                select(SecurityEvent.id)
                .where(SecurityEvent.user_id == self.id, SecurityEvent.kind == "signed_in")
                .limit(1)
            )
            is not None
        )

    def record(self, kind: str, client: dict[str, str]) -> None:
        """Add a security event to the transaction; `client` is who did it."""
        SecurityEvent.add(self.id, kind, client)


# Empty, and so free to look at, on a site that imported nobody.
IMPORTED = User.password_hash.not_like(literal_column("'$argon2id$%'"))  # a parameter would hide the index
Index("ix_users_imported_password", User.id, postgresql_where=IMPORTED, sqlite_where=IMPORTED)


class UserSession(Base):
    """One browser signed in. Alive while its stamp is the account's; the cookie's secret is kept as a digest only."""

    __tablename__ = "user_sessions"

    # Idle and absolute life, on the server's clock. Longer for browsers that asked to be remembered.
    LIVES = {
        False: (timedelta(hours=24), timedelta(days=14)),
        True: (timedelta(days=14), timedelta(days=30)),
    }
    TOUCH_EVERY = timedelta(minutes=1)
    PROOF = timedelta(minutes=15)
    MOST = 20  # of one account; the least used ends

    id: Mapped[str] = mapped_column(String(22), primary_key=True, default=random_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    security_stamp: Mapped[str] = mapped_column(String(22))
    remember: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    proved_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)  # when the password was last given
    device: Mapped[str] = mapped_column(String(100))
    network: Mapped[str] = mapped_column(String(50))

    user: Mapped[User] = relationship()

    @classmethod
    def start(cls, user: User, client: dict[str, str], *, remember: bool) -> str:
        """Add a session to the transaction; return its secret, 256 bits that only the cookie will know."""
        kept = select(cls.id).where(cls.user_id == user.id).order_by(cls.last_used_at.desc()).limit(cls.MOST - 1)
        db.session.execute(delete(cls).where(cls.user_id == user.id, cls.id.not_in(kept)))
        token = secrets.token_urlsafe(32)
        stamp = user.security_stamp
        db.session.add(
            cls(user_id=user.id, token_digest=cls.digest(token), security_stamp=stamp, remember=remember, **client)
        )
        return token

    @classmethod
    def find(cls, token: str) -> Self | None:
        """The live session of this secret, with its user."""
        session = db.session.scalar(
            select(cls)
            .join(cls.user)
            .options(contains_eager(cls.user))
            .where(
                cls.token_digest == cls.digest(token),
                cls.security_stamp == User.security_stamp,
                User.disabled_at.is_(None),
            )
        )
        return session if session and session.is_alive() else None

    @classmethod
    def of(cls, user: User) -> list[Self]:
        """Those that live, the one used last first; none of a disabled account."""
        mine = select(cls).where(cls.user_id == user.id, cls.security_stamp == user.security_stamp)
        found = db.session.scalars(mine.order_by(cls.last_used_at.desc()))
        return [session for session in found if session.is_alive() and not user.disabled_at]

    @classmethod
    def end(cls, token: str) -> None:
        db.session.execute(delete(cls).where(cls.token_digest == cls.digest(token)))

    @staticmethod
    def digest(token: str) -> str:
        """Plain SHA-256 is enough for 256 random bits (OWASP ASVS 5.0, 6.5.2)."""
        return sha256(token.encode()).hexdigest()

    def is_alive(self) -> bool:
        idle, absolute = self.LIVES[self.remember]
        now = utcnow()
        return now < self.last_used_at + idle and now < self.created_at + absolute

    @property
    def is_proved(self) -> bool:
        """Whether the password was given so lately that a security change needs no more (OWASP ASVS 5.0, 7.5.1)."""
        return utcnow() < self.proved_at + self.PROOF

    def prove(self) -> None:
        """Note that the password was given just now."""
        db.session.execute(update(UserSession).where(UserSession.id == self.id).values(proved_at=utcnow()))

    def rekey(self) -> str:
        """Give the session another secret, which is returned: the cookie it had, and copies of it, are dead."""
        token = secrets.token_urlsafe(32)
        mine = update(UserSession).where(UserSession.id == self.id)
        db.session.execute(mine.values(token_digest=self.digest(token)))
        return token

    @property
    def wants_touch(self) -> bool:
        return utcnow() >= self.last_used_at + self.TOUCH_EVERY

    def touch(self) -> None:
        """Note the use, once a minute at most, and whoever else does so at this moment."""
        db.session.execute(
            update(UserSession)
            .where(UserSession.id == self.id, UserSession.last_used_at <= utcnow() - self.TOUCH_EVERY)
            .values(last_used_at=utcnow())
        )
