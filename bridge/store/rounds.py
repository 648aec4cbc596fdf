"""The SQL around the passes: which clients need one, which pump waits for work, why a client could not be served."""

from __future__ import annotations

from typing import NamedTuple

from bridge.settings.client import DEFAULT_BRIDGE
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.repeated import run
from bridge.wording import SAID_CHARACTERS, storable

BEAT_HOLDS_SECONDS = 60.0  # a note about a beat, at least
SKEW_SECONDS = 2.0  # by which a clock may differ from Postgres' before `explain` says so


class Work(NamedTuple):
    """What a wait ended with.

    Attributes:
        work: Whether there is something for a pump to do.
        newest: Whether the holder had the turn to wait when this wait began.
        due: Whether a scheduled event is due.
        due_rest_seconds: In how many seconds the next wait may look for these again.
    """

    work: bool
    newest: bool
    due: bool
    due_rest_seconds: float = 0


def clients_to_serve(store: Store, *, bridge: str = DEFAULT_BRIDGE, horizon: int) -> list[str]:
    """Return the ids of the clients that need a pass, the one with the lowest `dispatched` first."""
    with store.reading() as connection:
        return list(run(connection, "pass/clients_to_serve", {"bridge": bridge, "horizon": horizon}).scalars())


def prepare_turns(store: Store, *, bridge: str) -> None:
    """Make the row that serialises `pass_over` for this bridge."""
    with store.writing() as connection:
        connection.execute(statement("pass/prepare_turns"), {"bridge": bridge})


def pass_over(store: Store, *, bridge: str = DEFAULT_BRIDGE, horizon: int, slice: int) -> None:
    """Move all clients of a bridge over the next events, at most `slice`, where none of these matches their topics."""
    with store.writing() as connection:
        connection.execute(statement("pass/pass_over"), {"bridge": bridge, "horizon": horizon, "slice": slice})


def wait_for_work(
    store: Store,
    *,
    bridge: str = DEFAULT_BRIDGE,
    holder: str,
    seconds: float,
    poll_seconds: float,
    look_for_due: bool = True,
    due_rest_seconds: float = 0,
) -> Work:
    """Wait until there is something to do, or the time is up; not at all if another tick has taken the turn.

    Args:
        store: The event log and its clients.
        bridge: The bridge's name.
        holder: The tick that waits.
        seconds: The longest wait.
        poll_seconds: The pause between two looks.
        look_for_due: Whether to look for scheduled events, too.
        due_rest_seconds: How long not to, because the look before has taken long.
    """
    binds = {
        "bridge": bridge,
        "holder": holder,
        "seconds": seconds,
        "poll_seconds": poll_seconds,
        "look_for_due": look_for_due,
        "due_rest": due_rest_seconds,
    }
    with store.reading() as connection:
        return Work(*run(connection, "pass/wait_for_work", binds).one())


def take_turn(
    store: Store,
    *,
    bridge: str = DEFAULT_BRIDGE,
    holder: str,
    seconds: float,
    apart_seconds: float = -1,
    after_seconds: float = -1,
) -> bool:
    """Take the turn to wait for work from the tick that has it; tell whether it was taken.

    Args:
        store: The event log and its clients.
        bridge: Whose clients it serves.
        holder: The tick that wants it.
        seconds: For how long.
        apart_seconds: A tick that comes so soon after another one took the turn does not take it.
        after_seconds: Nor does one that comes so soon after the turn of another one ended.
    """
    binds = {
        "bridge": bridge,
        "holder": holder,
        "seconds": seconds,
        "apart_seconds": apart_seconds,
        "after_seconds": after_seconds,
    }
    with store.writing() as connection:
        return connection.execute(statement("pass/take_turn"), binds).one_or_none() is not None


def end_tick(store: Store, *, bridge: str = DEFAULT_BRIDGE, most_seconds: float) -> None:
    """Note the end of a tick whose turn has run out, or that has not taken it, for those close behind; not for ever.

    Args:
        store: The event log and its clients.
        bridge: Whose tick it is.
        most_seconds: Longest time since the turn was taken: then the next tick takes it.
    """
    with store.writing() as connection:
        connection.execute(statement("pass/end_tick"), {"bridge": bridge, "most_seconds": most_seconds})


def note_tick(store: Store, *, bridge: str = DEFAULT_BRIDGE, host: str, clock: float) -> None:
    """Remember that a pump is at work, and what time it is where it runs, in seconds since 1970."""
    with store.writing() as connection:
        connection.execute(statement("pass/note_tick"), {"bridge": bridge, "host": host, "clock": clock})


def note_beat(store: Store, *, bridge: str = DEFAULT_BRIDGE, beat: str, seconds: float) -> None:
    """Remember for so many seconds that a beat is at work."""
    with store.writing() as connection:
        connection.execute(statement("pass/note_beat"), {"bridge": bridge, "beat": beat, "seconds": seconds})


def beat_holds_seconds(interval_seconds: float) -> float:
    """Return how long the note about a beat holds that starts the pump this often."""
    return max(BEAT_HOLDS_SECONDS, 3 * interval_seconds)


def silent_bridges(store: Store) -> list[str]:
    """Return the bridges that have clients, and whose pumps have not been at work for a minute."""
    with store.reading() as connection:
        return list(connection.execute(statement("look/silent_bridges")).scalars())


def note_trouble(store: Store, *, client: str, trouble: str) -> None:
    """Remember why a client could not be served, for `status`."""
    with store.writing() as connection:
        connection.execute(
            statement("pass/note_trouble"), {"client": client, "trouble": storable(trouble, most=SAID_CHARACTERS)}
        )
