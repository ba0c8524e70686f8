"""One key per purpose, derived from SECRET_KEY, so that no signature or digest serves another purpose."""

import hmac

from flask import current_app


def keys_for(purpose: str) -> list[bytes]:
    """The key to use, then those that SECRET_KEY_FALLBACKS still honours (HKDF's expand step, RFC 5869)."""
    secrets = [current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"]]
    return [hmac.digest(secret.encode(), f"rekey {purpose}".encode() + b"\x01", "sha256") for secret in secrets]


def keyed_digests(purpose: str, text: str) -> list[str]:
    """Digests that say nothing about `text` to whoever holds only the database: one for each key, the present first."""
    return [hmac.new(key, text.encode(), "sha256").hexdigest() for key in keys_for(purpose)]
