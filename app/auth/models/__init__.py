"""Who you are: accounts, their sessions, what happened to them, and addresses on the way."""

from app.auth.models.events import SecurityEvent
from app.auth.models.links import EmailChange, Registration
from app.auth.models.users import User, UserSession, random_id

__all__ = ["EmailChange", "Registration", "SecurityEvent", "User", "UserSession", "random_id"]
