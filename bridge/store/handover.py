"""The SQL of one pass: lock a client, take what goes out, remember it. All of it runs in the pump's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from bridge.model import Client, Delivery
from bridge.sql import statement


def lock_client(connection: Connection, client: str) -> tuple[Client, bool] | None:
    """The client and whether it is to be woken; None if another pump has it, or it is not active."""
    row = connection.execute(statement("lock_client"), {"client": client}).mappings().one_or_none()
    if row is None:
        return None
    values = dict(row)
    woken = values.pop("woken")
    values["topics"] = tuple(values["topics"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return Client(**values), woken


def count_open(connection: Connection, client: Client) -> int:
    """How many deliveries the client has open."""
    return int(connection.execute(statement("count_open"), {"client": client.id}).scalar_one())


def hand_over_again(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take retries that are due and deliveries whose lease ran out, at most `room` of them."""
    binds = {**_binds(client, room), "ordered": client.ordering == "key"}
    return _deliveries(client, connection.execute(statement("hand_over_again"), binds).all())


def hand_over_lanes(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take the successors of finished keys, at most `room` of them."""
    binds = {
        **_binds(client, room),
        "epoch": client.epoch,
        "dispatched": client.dispatched,
        "filter": client.filter,
    }
    return _deliveries(client, connection.execute(statement("hand_over_lanes"), binds).all())


def hand_over_new(
    connection: Connection, client: Client, *, after: int, horizon: int, slice: int, room: int
) -> tuple[list[Delivery], int]:
    """Take the next matching events after `after`, at most `room` of the next `slice`.

    Returns:
        The deliveries, and how far the log was looked through.
    """
    binds = {
        **_binds(client, room),
        "epoch": client.epoch,
        "after": after,
        "horizon": horizon,
        "slice": slice,
        "filter": client.filter,
        "ordered": client.ordering == "key",
    }
    rows = connection.execute(statement("hand_over_new"), binds).all()
    return _deliveries(client, rows[:-1]), rows[-1].upto


def finish_pass(connection: Connection, client: Client, *, delivered: int, hungry: bool, full: bool) -> None:
    """End a pass: move the cursor over what needed no delivery, and say when the pump must look again."""
    binds = {"client": client.id, "delivered": delivered, "hungry": hungry, "full": full}
    connection.execute(statement("finish_pass"), binds)


def _binds(client: Client, room: int) -> dict[str, Any]:
    return {"client": client.id, "room": room, "call": client.call, "lease": client.ack_timeout_seconds}


def _deliveries(client: Client, rows: Sequence[Row[Any]]) -> list[Delivery]:
    return [
        Delivery(
            client=client,
            offset=row.offset,
            epoch=row.epoch,
            attempt=row.attempt,
            topic=row.topic,
            body=row.body,
            trace={name: value for name in ("traceparent", "tracestate") if (value := getattr(row, name))},
        )
        for row in rows
    ]
