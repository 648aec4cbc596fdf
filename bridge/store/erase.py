"""The SQL of erasing: what the events of a key hold is replaced, a bounded number of events in each transaction."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.held import hold_client
from bridge.store.sessions import limit, lock_settings

MOST_COUNTED_EVENTS = 100_000  # before it is done: a second's work at the most


class Erasable(NamedTuple):
    """The events of a key; `exact` is false where there are so many that not all were counted."""

    events: int
    to_erase: int
    exact: bool


class KeyHolder(NamedTuple):
    """What a client holds of a key beside the events themselves.

    Attributes:
        client: Id of the client.
        in_flight: Open deliveries whose message is out: with the payload that the event had when it was handed over.
        texts: Parked events and deliveries that have the text of an error.
    """

    client: str
    in_flight: int
    texts: int


def last_drawn(store: Store) -> int:
    """Return the last offset that was drawn, whether its event is committed or not."""
    with store.reading() as connection:
        return int(connection.execute(statement("log/last_drawn")).scalar_one())


def count_erasable(store: Store, key: str, *, upto: int) -> Erasable:
    """Count the events of a key up to an offset."""
    with store.reading() as connection:
        binds = {"key": key, "upto": upto, "most": MOST_COUNTED_EVENTS}
        return Erasable(*connection.execute(statement("look/erasable"), binds).one())


def key_holders(store: Store, key: str, *, upto: int) -> list[KeyHolder]:
    """Return the clients that hold something of a key, in the order of their ids."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/key_holders"), {"key": key, "upto": upto})
        return [KeyHolder(*row) for row in rows]


def erase_events(connection: Connection, key: str, *, after: int, upto: int, most: int) -> tuple[int | None, int]:
    """Erase the next events of a key; return the highest offset looked at, None for none, and how many had content."""
    binds = {"key": key, "after": after, "upto": upto, "most": most}
    last, erased = connection.execute(statement("operate/erase"), binds).one()
    return last, erased


def erase_texts(connection: Connection, client: str, key: str, *, after: int, most: int) -> tuple[int | None, int]:
    """Erase what attempts at a key's erased events have left, with the client held: return the same."""
    hold_client(connection, client)
    binds = {"client": client, "key": key, "after": after, "most": most}
    last, parked, open = connection.execute(statement("operate/erase_texts"), binds).one()
    return last, parked + open


def replace_key(
    connection: Connection, key: str, pseudonym: str, *, after: int, upto: int, most: int, lock_seconds: float
) -> tuple[int | None, int]:
    """Replace the key of the next events that no client needs any more, and return the same.

    Raises:
        StoreLocked: a client could not be had for `lock_seconds`.
    """
    limit(connection, lock_settings(lock_seconds), writes=True, anywhere=True)
    connection.execute(statement("operate/lock_clients_table"))
    binds = {"key": key, "pseudonym": pseudonym, "after": after, "upto": upto, "most": most}
    last, replaced = connection.execute(statement("operate/erase_key"), binds).one()
    return last, replaced
