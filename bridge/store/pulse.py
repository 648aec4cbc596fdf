"""The SQL around the passes: the horizon, who needs a pass, and who lingers."""

from __future__ import annotations

from typing import NamedTuple

from bridge.sql import statement
from bridge.store.connect import Store


class Pulse(NamedTuple):
    """Whether there is work for a pump, and whether this holder is the newest one that lingers."""

    work: bool
    leading: bool


def advance_horizon(store: Store) -> int:
    """Move the horizon as far as it is final, and return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    with store.transaction() as connection:
        return int(connection.execute(statement("advance_horizon")).scalar_one())


def wakeful(store: Store, *, horizon: int) -> list[str]:
    """Ids of the clients that a pump must look at."""
    with store.reading() as connection:
        return list(connection.execute(statement("wakeful"), {"horizon": horizon}).scalars())


def pulse(store: Store, *, holder: str) -> Pulse:
    """Ask, in one cheap statement, whether there is anything to do."""
    with store.reading() as connection:
        return Pulse(*connection.execute(statement("pulse"), {"holder": holder}).one())


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
