"""Tries to sign in: how many failed in a row, from where, and what follows.

From one place they slow down; from anywhere, a hundred in a row stop the password (NIST SP 800-63B-4, 3.2.2). They are
counted for addresses, so that those without an account behave alike. Recovery by mail is never held up by it.
"""

from dataclasses import dataclass
from typing import Self

from flask_babel import get_locale

from app import limits
from app.auth import device
from app.auth.models import SecurityEvent, User
from app.email import address_key, enqueue
from app.security import client

STOPPED_AFTER = 100
NOTICE_AFTER = 20
FROM_ONE_PLACE, FROM_ANYWHERE = "sign-ins from one place", "sign-ins from anywhere"


@dataclass(frozen=True)
class Attempt:
    """One try, counted as failed until it has succeeded. The caller commits."""

    address: str
    here: int  # failures in a row from this place, this one included
    failures: int  # and from anywhere

    @classmethod
    def begin(cls, address: str) -> Self:
        """Raises Limited while a pause lasts."""
        here = limits.count_failure(FROM_ONE_PLACE, _place(address), pausing=True)
        failures = limits.count_failure(FROM_ANYWHERE, address_key(address), pausing=False)
        if not device.knows_address(address):
            limits.take(limits.SIGN_INS_FROM, client()["network"])
        return cls(address, here, failures)

    @property
    def is_stopped(self) -> bool:
        return self.failures > STOPPED_AFTER

    def succeeded(self) -> None:
        forget(self.address)
        if not device.knows_address(self.address):
            limits.give_back(limits.SIGN_INS_FROM, client()["network"])

    def failed(self, user: User | None) -> None:
        """Record it, with the same statements whether there is an account or not."""
        SecurityEvent.add(user.id if user else None, self._event(), client())
        daily = self.failures >= NOTICE_AFTER and limits.allows(limits.FAILURE_NOTICES, address_key(self.address))
        if daily or self.failures == STOPPED_AFTER:
            args = {"email": self.address, "failures": self.failures, "client": client()}
            enqueue("sign_in_failures", args, address=self.address, locale=str(get_locale()))

    def _event(self) -> str:
        if self.failures == STOPPED_AFTER:
            return "password_stopped"
        return "sign_in_limited" if self.here == limits.FREE_FAILURES else "sign_in_refused"


def forget(address: str) -> None:
    """The owner is back: nothing of what failed before counts."""
    limits.forget(FROM_ONE_PLACE, _place(address))
    limits.forget(FROM_ANYWHERE, address_key(address))


def _place(address: str) -> str:
    """A known browser is a place of its own: strangers in its network do not slow it down."""
    network = client()["network"]
    return f"{address_key(address)} {'known browser' if device.knows_address(address) else f'network {network}'}"
