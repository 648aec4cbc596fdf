"""The SQL of one pass: lock a client, take what goes out, remember it. All of it runs in the pump's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.model import UNTRACED, Client, Delivery
from bridge.sql import statement

MOST_TOPICS = 1000  # different ones in the log, for leaping over what does not match
MANY_BATCHES = 100  # so far behind, a batch is not waited for: looking for its events would cost more than it brings


class Todo(NamedTuple):
    """What there is to do for a client.

    Attributes:
        full: Whether its window was full, and is to become a tenth free before new events are handed over.
        woken: Whether its deliveries and lanes are to be looked at.
        ready: Whether a finished key has a successor.
        redriving: Whether parked events of it are to go out again.
        replaying: Whether a replay is under way.
        opened: Deliveries that are open.
        replayed: How many of these come from replays.
        due: Of how many the wait or the lease is over.
    """

    full: bool
    woken: bool
    ready: bool
    redriving: bool
    replaying: bool
    opened: int
    replayed: int
    due: int


class Taken(NamedTuple):
    """What was taken, and in how many seconds there may be more: 0 at once, None never."""

    deliveries: list[Delivery]
    within: float | None


def lock_client(connection: Connection, client: str) -> Client | None:
    """The client, which this pass has for itself; None if another pump has it, or it is not served."""
    row = connection.execute(statement("pass/lock_client"), {"client": client}).mappings().one_or_none()
    if row is None:
        return None
    values = dict(row)
    values["topics"] = tuple(values["topics"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return Client(**values)


def look_at_client(connection: Connection, client: Client) -> Todo:
    """What there is to do for the client."""
    return Todo(*connection.execute(statement("pass/look_at_client"), {"client": client.id}).one())


def hand_over_again(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take retries that are due and deliveries whose lease ran out, at most `room` of them."""
    binds = {**_binds(client, room), "ordered": client.ordering == "key"}
    return _deliveries(client, connection.execute(statement("pass/hand_over_again"), binds).all())


def hand_over_redriven(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take parked events that somebody wants to try again, at most `room` of them."""
    binds = {**_binds(client, room), "ordered": client.ordering == "key", "epoch": client.epoch}
    return _deliveries(client, connection.execute(statement("pass/hand_over_redriven"), binds).all())


def hand_over_replay(connection: Connection, client: Client, *, room: int, slice: int) -> Taken:
    """Take the next events of the oldest replay, at most `room` of the next `slice`."""
    binds = {**_binds(client, room), "ordered": client.ordering == "key", "filter": client.filter, "slice": slice}
    rows = connection.execute(statement("pass/hand_over_replay"), binds).all()
    return Taken(_deliveries(client, rows[:-1]), rows[-1].within) if rows else Taken([], None)


def hand_over_lanes(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take the successors of finished keys, at most `room` of them."""
    binds = {
        **_binds(client, room),
        "epoch": client.epoch,
        "dispatched": client.dispatched,
        "filter": client.filter,
    }
    return _deliveries(client, connection.execute(statement("pass/hand_over_lanes"), binds).all())


def is_gathering(connection: Connection, client: Client, *, horizon: int) -> bool:
    """Whether a batch that is not full may still wait for more events."""
    if client.batch == 1 or not client.batch_wait_ms or horizon - client.dispatched >= MANY_BATCHES * client.batch:
        return False
    binds = {
        "after": client.dispatched,
        "horizon": horizon,
        "filter": client.filter,
        "batch": client.batch,
        "wait_ms": client.batch_wait_ms,
    }
    return bool(connection.execute(statement("pass/is_gathering"), binds).scalar_one())


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
    rows = connection.execute(statement("pass/hand_over_new"), binds).all()
    return _deliveries(client, rows[:-1]), rows[-1].upto


def leap(connection: Connection, client: Client, *, after: int, horizon: int) -> int:
    """How far the log holds nothing for the client; `after` where there are too many topics to know."""
    binds = {"client": client.id, "after": after, "horizon": horizon, "filter": client.filter, "topics": MOST_TOPICS}
    upto: int | None = connection.execute(statement("pass/leap"), binds).scalar_one_or_none()
    return after if upto is None else upto


def finish_pass(
    connection: Connection, client: Client, *, delivered: int, hungry: bool, full: bool, within: float | None = None
) -> None:
    """End a pass: move the cursor over what needed no delivery, and say when the pump must look again."""
    binds = {"client": client.id, "delivered": delivered, "hungry": hungry, "full": full, "within": within}
    connection.execute(statement("pass/finish_pass"), binds)


def end_drain(connection: Connection, client: Client) -> None:
    """Pause a client that was draining and has nothing open any more."""
    connection.execute(statement("pass/end_drain"), {"client": client.id})


def _binds(client: Client, room: int) -> dict[str, Any]:
    return {"client": client.id, "room": room, "call": client.call, "lease": client.ack_timeout_seconds}


def _deliveries(client: Client, rows: Sequence[Any]) -> list[Delivery]:
    return [
        Delivery(client, offset, epoch, attempt, topic, body, batch, _trace(traceparent, tracestate))
        for offset, attempt, epoch, topic, body, traceparent, tracestate, batch in rows
    ]


def _trace(traceparent: str | None, tracestate: str | None) -> Mapping[str, str]:
    if not traceparent:
        return UNTRACED
    return {"traceparent": traceparent, "tracestate": tracestate} if tracestate else {"traceparent": traceparent}
