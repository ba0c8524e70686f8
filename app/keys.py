"""One key per purpose, derived from SECRET_KEY, so that no signature or digest serves another purpose."""

import hmac

from flask import current_app


def keys_for(purpose: str) -> list[bytes]:
    """The key to use, then those that SECRET_KEY_FALLBACKS still honours (HKDF's expand step, RFC 5869)."""
    secrets = [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]
    return [hmac.digest(secret.encode(), f"rekey {purpose}".encode() + b"\x01", "sha256") for secret in secrets]


def keyed_digest(purpose: str, text: str) -> str:
    """A digest that says nothing about `text` to whoever holds only the database."""
    return hmac.new(keys_for(purpose)[0], text.encode(), "sha256").hexdigest()
