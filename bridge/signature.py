"""The keyed signature that a callback carries, so that only what was delivered can be settled."""

from __future__ import annotations

import hashlib
import hmac

Attempt = tuple[str, int | str, int, int]  # client, offset or offsets with commas, epoch, attempt


def sign(secret: str, attempt: Attempt) -> str:
    """HMAC-SHA-256 of one attempt, cut to 128 bits; 32 hexadecimal digits."""
    return hmac.digest(secret.encode(), "{}:{}:{}:{}".format(*attempt).encode(errors="replace"), hashlib.sha256)[
        :16
    ].hex()


def genuine(signature: object, secret: str, attempt: Attempt) -> bool:
    """Whether `sign` made this signature; takes the same time whatever is wrong with it."""
    return isinstance(signature, str) and hmac.compare_digest(
        signature.encode(errors="replace"), sign(secret, attempt).encode()
    )
