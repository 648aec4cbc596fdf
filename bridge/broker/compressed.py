"""Bodies of messages that a fleet compresses: `task_compression` is for all that it publishes, callbacks too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.compression import decompress


def uncompressed(headers: Mapping[str, Any], body: bytes) -> bytes:
    """Return a message's body as it was before it was compressed.

    Raises:
        ValueError: it can't be had: the method is unknown here, or the body is damaged.
    """
    method = headers.get("compression")
    if not method:
        return body
    try:
        plain = decompress(body, method)
    except Exception as error:  # each method has errors of its own
        raise ValueError(f"the body can't be decompressed: {error}") from error
    return plain if isinstance(plain, bytes) else str(plain).encode()
