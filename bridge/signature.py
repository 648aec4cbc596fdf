"""The keyed signature that a callback carries, so that only what was delivered can be settled."""

from __future__ import annotations

import hashlib
import hmac


def sign(secret: str, client: str, offset: int, epoch: int, attempt: int) -> str:
    """HMAC-SHA-256 of one attempt, cut to 128 bits; 32 hexadecimal digits."""
    return hmac.digest(secret.encode(), f"{client}:{offset}:{epoch}:{attempt}".encode(), hashlib.sha256)[:16].hex()


def genuine(signature: object, secret: str, client: str, offset: int, epoch: int, attempt: int) -> bool:
    """Whether `sign` made this signature; takes the same time whatever is wrong with it."""
    return isinstance(signature, str) and hmac.compare_digest(
        signature.encode(), sign(secret, client, offset, epoch, attempt).encode()
    )
