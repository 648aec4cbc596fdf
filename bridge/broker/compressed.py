"""Bodies of messages that a fleet compresses: `task_compression` is for all that it publishes, callbacks too."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kombu.compression import decompress

from bridge.bounds import INFLATED_BYTES

# A small message may be huge when it is decompressed.
INFLATERS: Mapping[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "gzip": zlib.decompressobj,
    "zlib": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "bzip2": bz2.BZ2Decompressor,
    "bzip": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
    "lzma": lzma.LZMADecompressor,
    "xz": lzma.LZMADecompressor,
}


def uncompressed(headers: Mapping[str, Any], body: bytes) -> bytes:
    """Return a message's body as it was before it was compressed.

    Raises:
        ValueError: it can't be had: the method is unknown here, the body is damaged, or it is larger than 64 MiB.
    """
    method = headers.get("compression")
    if not method:
        return body
    if not isinstance(method, str):
        raise ValueError("its compression is no name")
    try:
        inflate = INFLATERS.get(method)
        if inflate is not None and len(inflate().decompress(body, INFLATED_BYTES + 1)) > INFLATED_BYTES:
            raise ValueError(f"it is longer than {INFLATED_BYTES:,} bytes when it is decompressed")
        plain = decompress(body, method)
    except ValueError:
        raise
    except Exception as error:  # each method has errors of its own
        raise ValueError(f"its body can't be decompressed: {error}") from error
    return plain if isinstance(plain, bytes) else str(plain).encode()
