"""Tell how deeply a JSON text is nested without parsing it: brackets are counted, but none that stands in a text.

All work is done by C on bytes, and the text is looked at in pieces. A parsed event takes ten times its bytes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.bounds import PIECE_BYTES

_ALIKE = bytes.maketrans(b"{}", b"[]")
_NEITHER = bytes(byte for byte in range(256) if byte not in b'[]{}"')  # bracket nor quote


def is_deeper(text: bytes | bytearray, levels: int) -> bool:
    """Tell whether a JSON text has more levels of lists and objects than these; the text must be well-formed."""
    if sum(map(text.count, b"[{")) <= levels:
        return False
    brackets = b"".join(_brackets_of(text))
    for _ in range(levels):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # the innermost pairs: one level less
    return bool(brackets)


def _brackets_of(text: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """Yield the brackets that are no part of a text within quotes."""
    first, inside = 0, 0
    while first < len(text):
        last = first + PIECE_BYTES
        while text[last - 1 : last] == b"\\":  # what is escaped belongs to it
            last += 1
        piece = text[first:last]
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        marks = piece.translate(_ALIKE, _NEITHER).replace(b'""', b"")  # each bracket has as many before it, by twos
        parts = marks.split(b'"')
        yield b"".join(parts[inside::2])
        first, inside = last, inside ^ (len(parts) - 1) & 1
