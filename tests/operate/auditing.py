"""A client whose tables are broken by hand, and what an audit says to it."""

from __future__ import annotations

from typing import Any

import psycopg

from bridge.operate.audit import audit
from tests.support.world import World

TABLES = ("events", "clients", "deliveries", "lanes", "parked", "aside", "replays", "horizon")


def make_busy(world: World) -> None:
    """Make a client that is in the middle of its work, and let anything be done to its tables by hand.

    It has finished 1 and 2, and 6 and 10 before their predecessors. 3 and 5 are open, 4 is parked, 7 and 8 wait behind
    3 in the lane of `a`, 9 does not match, and 11 and 12 are not handed over yet.
    """
    world.client(topics=("order.*",), max_attempts=1, window=3)
    world.publish(None, "z", "a", None, "b", None, "a", "a")
    world.publish(None, topic="other")
    world.publish("d", "c", None)
    first, second, _ = world.hand_over()
    world.succeed(first, second)
    world.fail(world.hand_over()[0])
    world.succeed(*world.hand_over())
    world.succeed(*world.hand_over())
    assert world.rows("deliveries") == [3, 5] and world.rows("lanes") == [7] and world.rows("parked") == [4]
    assert world.row()["offset"] == 2 and world.row()["dispatched"] == 10
    world.eyes.execute("SET session_replication_role = replica")  # no trigger refuses anything


def found(world: World, **range: int) -> dict[str, tuple[int, ...]]:
    """Return the kinds of contradictions that an audit finds, and the offsets that it names."""
    return {it.kind: it.offsets for it in audit(world.store, "c", **range).contradictions}


class Kept:
    """The tables as they are now, to be put back."""

    def __init__(self, eyes: psycopg.Connection[Any]) -> None:
        self._eyes = eyes
        for table in TABLES:
            eyes.execute(f"CREATE TEMP TABLE IF NOT EXISTS kept_{table} AS TABLE fq.{table}".encode())

    def rows(self) -> list[str]:
        """Return all rows, as text."""
        every = " UNION ALL ".join(f"SELECT CAST(t AS text) FROM fq.{table} t" for table in TABLES)
        return sorted(row for (row,) in self._eyes.execute(every.encode()))

    def restore(self) -> None:
        """Put back what was kept; the sequence too."""
        with self._eyes.transaction():
            for table in TABLES:
                self._eyes.execute(f"DELETE FROM fq.{table}".encode())
                self._eyes.execute(f"INSERT INTO fq.{table} OVERRIDING SYSTEM VALUE TABLE kept_{table}".encode())
            self._eyes.execute("SELECT setval('fq.events_offset_seq', 12)")
