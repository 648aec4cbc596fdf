"""What a person asks of a long log does not read all of it (G10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bridge.model import Position
from bridge.store import clients, status
from bridge.store.status import read_status
from tests.support.plans import explain, nodes, rows_of
from tests.support.world import World

FILL = """INSERT INTO fq.events (topic, key, created_at)
          SELECT 'order.created', 'k' || n % 100, now() - make_interval(secs => 30000 - n)
            FROM generate_series(1, 30000) n"""


def most_rows(world: World, name: str, binds: Mapping[str, Any]) -> float:
    """Return how many rows the busiest step of a statement looks at."""
    with world.store.transaction() as connection:
        (plan,) = explain(connection, name, binds, "ANALYZE, FORMAT JSON")
    return max(map(rows_of, nodes(plan[0]["Plan"])))


def test_g10_a_client_that_wants_none_of_a_long_log_does_not_make_status_read_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.client("none", topics=("rare.*",))
    world.client("all")
    world.eyes.execute(FILL.encode())
    world.eyes.execute("UPDATE fq.clients SET dispatched = 30000")
    world.eyes.execute("""INSERT INTO fq.lanes (client_id, key, "offset") SELECT 'none', 'k' || n, n
                            FROM generate_series(1, 99) n""")
    world.eyes.execute("ANALYZE")
    assert most_rows(world, "look/status", {"client": None, "most": 100}) <= 2 * (10 * 100 / 2 + 100)
    monkeypatch.setattr(status, "MOST_EVENTS_COUNTED", 100)
    told = {row.client: (row.lag_events, row.lag_is_exact) for row in read_status(world.store)}
    assert told == {"all": (100, False), "none": (0, False)}, "of what was not looked at nothing is known"
    monkeypatch.setattr(status, "MOST_EVENTS_COUNTED", 30_000)
    told = {row.client: (row.lag_events, row.lag_is_exact) for row in read_status(world.store)}
    assert told == {"all": (30_000, False), "none": (0, True)}


@pytest.mark.parametrize("name", ["look/status", "checkup/clients"])
def test_g10_the_parked_events_of_one_client_are_not_read_for_each_of_the_others(world: World, name: str) -> None:
    world.client()
    world.eyes.execute(FILL.replace("30000", "2000").encode())
    world.eyes.execute("""INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
                          SELECT 'c', n, 1, 1, 1, 'no', now() FROM generate_series(1, 2000) n""")
    world.eyes.execute("INSERT INTO fq.clients (id) SELECT 'reader-' || n FROM generate_series(1, 50) n")
    world.eyes.execute("ANALYZE")
    with world.store.looking(lock_seconds=3) as connection:
        (plan,) = explain(connection, name, {"client": None, "most": 10}, "ANALYZE, FORMAT JSON")
    parked = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "parked"]
    assert sum(map(rows_of, parked)) < 2 * 2000


@pytest.mark.parametrize("seconds", [29_900, 10])
def test_g10_a_moment_is_found_without_reading_the_whole_log(world: World, seconds: int) -> None:
    world.eyes.execute(FILL.encode())
    world.eyes.execute("SELECT brin_summarize_new_values('fq.events_created_at')")
    world.eyes.execute("ANALYZE")
    row = world.eyes.execute("SELECT max(created_at) - make_interval(secs => %s) FROM fq.events", [seconds]).fetchone()
    assert row is not None
    binds = {"since": row[0], "horizon": 30_000, "looks": 1000}
    assert most_rows(world, "log/offset_since", binds) < 15_000
    with world.store.transaction() as connection:
        found = clients.resolve_position(connection, Position(since=row[0]), horizon=30_000)
    assert found == 30_000 - seconds - 1
