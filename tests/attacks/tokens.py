"""Links written by the test itself, without the product's code: under a key it knows, at a time it chooses."""

import hmac
import time
from hashlib import sha256

from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from config import Testing

PURPOSES = ("reset_password", "register", "not_me")


def mint(purpose: str, payload: str, *, age: int = 0, life: int = 3600, key: str = Testing.SECRET_KEY) -> str:
    """A token as the site of these tests writes them, issued `age` seconds ago."""
    issued = int(time.time()) - age
    signer = type("Then", (TimestampSigner,), {"get_timestamp": lambda self: issued})
    derived = hmac.digest(key.encode(), f"rekey link {purpose}".encode() + b"\x01", "sha256")
    options = {"key_derivation": "hmac", "digest_method": sha256}
    return URLSafeTimedSerializer(derived, salt=purpose, signer=signer, signer_kwargs=options).dumps([payload, life])
