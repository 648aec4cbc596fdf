"""The SQL of large events: their bodies are fetched after their slice, a bounded number of bytes at a time.

A long body arrives in pieces, and each is put into its place in the body at once: nothing but one piece is there twice.
libpq would have a row three times while it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.bounds import BODY_BYTES, PIECE_BYTES
from bridge.model import Client, Delivery
from bridge.store.streaming import stream

PIECES_AT_ONCE = 4


class Body(NamedTuple):
    """The body of an event, in UTF-8; None if it can't be sent, for the reason in `fault`."""

    offset: int
    body: bytearray | None
    fault: str | None


def fetch_bodies(
    connection: Connection, client: Client, deliveries: Sequence[Delivery], *, most_bytes: int
) -> list[Body]:
    """Fetch the bodies of the first of these deliveries: at least one, then as many as fit."""
    binds = {
        "client": client.id,
        "offsets": [delivery.offset for delivery in deliveries],
        "attempts": [delivery.attempt for delivery in deliveries],
        "epochs": [delivery.epoch for delivery in deliveries],
        "call": client.call,
        "bytes": most_bytes,
        "most": BODY_BYTES,
        "piece": PIECE_BYTES,
    }
    found: list[Body] = []
    whole, filled = bytearray(), 0
    for offset, length, piece, fault in stream(connection, "pass/fetch_bodies", binds, together=PIECES_AT_ONCE):
        if length is None or length == len(piece):  # as nearly all are
            found.append(Body(offset, None if piece is None else bytearray(piece), fault))
            continue
        if filled == len(whole):  # of the body before
            whole, filled = bytearray(length), 0
            found.append(Body(offset, whole, None))
        whole[filled : filled + len(piece)] = piece
        filled += len(piece)
    return found
