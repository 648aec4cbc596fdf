"""Long texts that are never there as a whole: what they are made of is put together when it is sent, piece by piece.

A message with a large event would else be there several times at once: filled in, encoded, in base64, in its envelope,
and in the command that the broker gets. Pure.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterator, Sequence

from bridge.bounds import PIECE_BYTES


class Pieces:
    """A text made of parts, in UTF-8: iterating yields its bytes, `len` tells how many.

    Args:
        parts: What it is made of, in order; a bytearray must stay as it is.
    """

    def __init__(self, parts: Sequence[str | bytearray | Pieces]) -> None:
        self._parts = [part.encode() if isinstance(part, str) else part for part in parts]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes | bytearray]:
        for part in self._parts:
            if isinstance(part, Pieces):
                yield from part
            else:
                for first in range(0, len(part), PIECE_BYTES):
                    yield part[first : first + PIECE_BYTES]

    def whole(self) -> bytearray:
        """Return it as a whole, which is then there once more."""
        found, filled = bytearray(len(self)), 0
        for piece in self:
            found[filled : filled + len(piece)] = piece
            filled += len(piece)
        return found


class Base64(Pieces):
    """A part of a JSON text, which ends between two values, as base64 that more can follow."""

    def __init__(self, parts: Sequence[str | bytearray | Pieces]) -> None:
        super().__init__(parts)
        self._parts.append(b" " * (-super().__len__() % 3))  # else the last bytes would be filled up with `=`

    def __len__(self) -> int:
        return super().__len__() // 3 * 4

    def __iter__(self) -> Iterator[bytes | bytearray]:
        rest = b""
        for piece in super().__iter__():
            found = rest + piece
            whole = len(found) // 3 * 3
            yield b2a_base64(found[:whole], newline=False)
            rest = found[whole:]


def event_in(bodies: Sequence[str | bytearray], *, batched: bool) -> str | Pieces:
    """Return a message's event, of a batch the list of its events, as JSON: a text where it is short."""
    if not batched:
        [body] = bodies
        if isinstance(body, bytearray) and len(body) <= PIECE_BYTES:
            return body.decode()
        event = Pieces(bodies)
    else:
        behind = [", "] * (len(bodies) - 1) + ["]"]
        event = Pieces(["[", *(part for pair in zip(bodies, behind, strict=True) for part in pair)])
    return event.whole().decode() if len(event) <= PIECE_BYTES else event
