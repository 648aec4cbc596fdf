"""The SQL of what people do to a client: hold it, move it, replay to it, remove it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import UnknownClient, UsageError
from bridge.sql import statement


class Held(NamedTuple):
    """A client that is locked until the transaction ends; `task` is None for a plain SQL reader."""

    id: str
    task: str | None
    state: str
    offset: int
    dispatched: int
    epoch: int
    open: int
    parked: int


class Counted(NamedTuple):
    """What a move would mean, in events; `exact` is false where the way was too long to look at all of it."""

    again: int
    passed_over: int
    exact: bool


class Moved(NamedTuple):
    """What a move did: the new epoch, and how many deliveries, parked events and replays it forgot."""

    epoch: int
    forgotten: int
    unparked: int
    ended: int


class Stopped(NamedTuple):
    """A replay that was stopped: the next event that it would have looked at, its last one, and how many went out."""

    next: int
    upto: int
    sent: int


def hold(connection: Connection, client: str) -> Held:
    """Lock a client, waiting for the pass or the batch of outcomes that has it.

    Raises:
        UnknownClient: there is none of this id.
    """
    row = connection.execute(statement("operate/hold_client"), {"client": client}).one_or_none()
    if row is None:
        raise UnknownClient(client)
    return Held(*row)


def hold_driven(connection: Connection, client: str) -> Held:
    """Lock a client that the bridge drives.

    Raises:
        UnknownClient: there is none of this id.
        UsageError: it is a plain SQL reader: nothing is ever handed over to it.
    """
    held = hold(connection, client)
    if held.task is None:
        raise UsageError(
            f"client {client!r} is a plain SQL reader: the bridge hands it nothing, it reads and commits by itself"
        )
    return held


def count_move(connection: Connection, client: str, *, target: int, most: int) -> Counted:
    """Count what moving the cursor to `target` would hand over again and skip, looking at `most` events at most."""
    binds = {"client": client, "target": target, "most": most}
    return Counted(*connection.execute(statement("operate/count_move"), binds).one())


def move(connection: Connection, client: str, *, target: int) -> Moved:
    """Move the cursor and forget what is in flight, as a new epoch."""
    return Moved(*connection.execute(statement("operate/move_client"), {"client": client, "target": target}).one())


def count_replay(
    connection: Connection, client: str, *, first: int, upto: int, topics: Sequence[str] | None, most: int
) -> tuple[int, bool]:
    """Count the events that a replay would hand over, and whether all of the range was looked at."""
    binds = {"client": client, "first": first, "upto": upto, "topics": topics and list(topics), "most": most}
    events, exact = connection.execute(statement("operate/count_replay"), binds).one()
    return events, exact


def add_replay(
    connection: Connection, client: str, *, first: int, upto: int, topics: Sequence[str] | None, per_second: float
) -> tuple[int, int]:
    """Let old events go out again; the replay's id and epoch."""
    binds = {
        "client": client,
        "first": first,
        "upto": upto,
        "topics": topics and list(topics),
        "per_second": per_second,
    }
    id, epoch = connection.execute(statement("operate/add_replay"), binds).one()
    return id, epoch


def end_replays(connection: Connection, client: str) -> list[Stopped]:
    """Stop a client's replays where they are."""
    return [Stopped(*row) for row in connection.execute(statement("operate/end_replays"), {"client": client})]


def remove(connection: Connection, client: str) -> None:
    """Remove a client with all that it has."""
    connection.execute(statement("operate/remove_client"), {"client": client})
