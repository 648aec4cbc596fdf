"""The SQL around the passes: the horizon, who needs a pass, and who lingers."""

from __future__ import annotations

from typing import NamedTuple

from bridge.sql import statement
from bridge.store.connect import Store


class Pulse(NamedTuple):
    """Whether there is work for a pump, and whether this holder is the newest one that lingers."""

    work: bool
    newest: bool


def advance_horizon(store: Store) -> int:
    """Move the horizon as far as it is final, and return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    with store.reading() as connection:
        return int(connection.execute(statement("advance_horizon")).scalar_one())


def wakeful(store: Store, *, horizon: int) -> list[str]:
    """Ids of the clients that a pump must look at."""
    with store.reading() as connection:
        return list(connection.execute(statement("wakeful"), {"horizon": horizon}).scalars())


def skip(store: Store, *, horizon: int, slice: int) -> None:
    """Move all clients over the next events, at most `slice`, where none of these matches."""
    with store.reading() as connection:
        connection.execute(statement("skip"), {"horizon": horizon, "slice": slice})


def wait_for_work(store: Store, *, holder: str, seconds: float, poll_seconds: float) -> Pulse:
    """Wait until there is something to do, the lease is another's, or the time is up."""
    with store.reading() as connection:
        binds = {"holder": holder, "seconds": seconds, "poll_seconds": poll_seconds}
        return Pulse(*connection.execute(statement("wait_for_work"), binds).one())


def take_lease(store: Store, *, holder: str, seconds: float) -> None:
    """Take the right to linger from whoever has it."""
    with store.reading() as connection:
        connection.execute(statement("take_lease"), {"holder": holder, "seconds": seconds})


def secret(store: Store) -> str:
    """The key that signs callbacks where no setting names one."""
    with store.reading() as connection:
        return str(connection.execute(statement("secret")).scalar_one())


def note_trouble(store: Store, *, client: str, trouble: str) -> None:
    """Remember why a client could not be served, for `status`."""
    with store.reading() as connection:
        connection.execute(statement("note_trouble"), {"client": client, "trouble": trouble})
