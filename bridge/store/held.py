"""The SQL of what people do to a client: hold it, move it, replay to it, remove it.

A client is held by its row's lock until the transaction ends, so no pass and no settling runs in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import UnknownClient, UsageError
from bridge.sql import statement

MOST_EVENTS_LOOKED_AT = 1_000_000  # to say what a seek or a replay means: this takes about a second


class HeldClient(NamedTuple):
    """A client that is held until the transaction ends; `task` is None for a plain SQL reader."""

    id: str
    task: str | None
    state: str
    offset: int
    dispatched: int
    epoch: int
    open: int
    parked: int
    released: bool = False  # whether the log is pruned without regard to it


class MoveCount(NamedTuple):
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


class StoppedReplay(NamedTuple):
    """A replay that was stopped.

    Attributes:
        next: The offset at which it would have gone on.
        upto: Its last offset.
        sent: How many events had gone out.
    """

    next: int
    upto: int
    sent: int


def hold_client(connection: Connection, client: str) -> HeldClient:
    """Lock a client, waiting for the pass or the batch of outcomes that has it.

    Raises:
        UnknownClient: there is none of this id.
    """
    row = connection.execute(statement("operate/hold_client"), {"client": client}).one_or_none()
    if row is None:
        raise UnknownClient(client)
    return HeldClient(*row)


def hold_driven_client(connection: Connection, client: str) -> HeldClient:
    """Lock a client that the bridge drives.

    Raises:
        UnknownClient: there is none of this id.
        UsageError: it is a plain SQL reader, to which nothing is ever handed over.
    """
    held = hold_client(connection, client)
    if held.task is None:
        raise UsageError(
            f"client {client!r} is a plain SQL reader: it reads and commits by itself, the bridge hands it nothing"
        )
    return held


def hold_log(connection: Connection, *, released: str | None = None) -> int | None:
    """Let nobody remove events until the transaction ends; wait for who does, and return how far the log is pruned.

    Args:
        connection: It is in a transaction that has locked no client yet.
        released: Do so only if this client is released.
    """
    pruned = connection.execute(statement("operate/hold_log"), {"released": released}).scalar_one_or_none()
    return None if pruned is None else int(pruned)


def release_client(connection: Connection, client: str, *, reason: str, by: str) -> None:
    """Let a client stop holding the log."""
    connection.execute(statement("operate/release"), {"client": client, "reason": reason, "by": by})


def count_move(connection: Connection, client: str, *, target: int) -> MoveCount:
    """Count the events that moving the cursor to `target` would hand over again, and those that it would pass over."""
    binds = {"client": client, "target": target, "most": MOST_EVENTS_LOOKED_AT}
    return MoveCount(*connection.execute(statement("operate/count_move"), binds).one())


def move_client(connection: Connection, client: str, *, target: int) -> Moved:
    """Move the cursor and forget what is in flight, as a new epoch."""
    return Moved(*connection.execute(statement("operate/move_client"), {"client": client, "target": target}).one())


def count_replay(
    connection: Connection, client: str, *, first: int, upto: int, topics: Sequence[str] | None
) -> tuple[int, bool]:
    """Count the events that a replay would hand over, and tell whether all of the range was looked at."""
    binds = {
        "client": client,
        "first": first,
        "upto": upto,
        "topics": topics and list(topics),
        "most": MOST_EVENTS_LOOKED_AT,
    }
    events, exact = connection.execute(statement("operate/count_replay"), binds).one()
    return events, exact


def add_replay(
    connection: Connection, client: str, *, first: int, upto: int, topics: Sequence[str] | None, per_second: float
) -> tuple[int, int]:
    """Let old events go out again, and return the replay's id and epoch."""
    binds = {
        "client": client,
        "first": first,
        "upto": upto,
        "topics": topics and list(topics),
        "per_second": per_second,
    }
    id, epoch = connection.execute(statement("operate/add_replay"), binds).one()
    return id, epoch


def end_replays(connection: Connection, client: str) -> list[StoppedReplay]:
    """Stop a client's replays where they are."""
    return [StoppedReplay(*row) for row in connection.execute(statement("operate/end_replays"), {"client": client})]


def remove_client(connection: Connection, client: str) -> None:
    """Remove a client with all that it has."""
    connection.execute(statement("operate/remove_client"), {"client": client})
