"""The SQL of giving up what is not parked: an open delivery, the next event of a key, the next event of the log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from bridge.sql import statement


def discard_open(connection: Connection, client: str, offsets: Sequence[int]) -> list[int]:
    """Give these open deliveries up for good, and return their offsets."""
    binds = {"client": client, "offsets": list(offsets)}
    return list(connection.execute(statement("operate/discard_open"), binds).scalars())


def skip(connection: Connection, client: str, offset: int, *, horizon: int) -> bool:
    """Pass over an event that would be handed over next; tell whether it was the next of its key, or of the log."""
    binds = {"client": client, "offset": offset}
    if connection.execute(statement("operate/skip_in_lane"), binds).one_or_none() is not None:
        return True
    return connection.execute(statement("operate/skip_next"), {**binds, "horizon": horizon}).one_or_none() is not None
