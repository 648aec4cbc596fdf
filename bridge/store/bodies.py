"""The SQL of large events: their bodies are fetched after their slice, a bounded number of bytes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.bounds import BODY_BYTES
from bridge.model import Client, Delivery
from bridge.sql import statement


class Body(NamedTuple):
    """The body of an event; None if it can't be sent, for the reason in `fault`."""

    offset: int
    body: str | None
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
    }
    return [Body(*row) for row in connection.execute(statement("pass/fetch_bodies"), binds)]
