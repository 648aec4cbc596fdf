"""What many events take grows with their number, not with its square, whatever Postgres knows of the tables (G10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bridge.sql import for_psycopg
from bridge.store.handover import lock_client
from tests.support.world import World

MANY = 1000
FILL = "INSERT INTO fq.events (topic, key) SELECT 'order.created', 'k' || n FROM generate_series(%s, %s::int) n"
TABLES = b"ANALYZE fq.events, fq.deliveries, fq.lanes, fq.parked, fq.aside, fq.replays, fq.clients"
OFFSETS = list(range(1, MANY + 1))
COMMON: dict[str, Any] = {"room": MANY, "call": "event", "lease_seconds": 60, "filter": "^", "epoch": 1}
ABOUT: dict[str, Any] = {
    "clients": ["c"] * MANY,
    "offsets": OFFSETS,
    "among": ["c"],
    "first": 1,
    "last": MANY,
    "epochs": [1] * MANY,
    "attempts": [1] * MANY,
    "error_types": ["E"] * MANY,
    "errors": ["no"] * MANY,
    "tracebacks": [None] * MANY,
    "failures": ["{}"] * MANY,
}
OPEN = """INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
          SELECT 'c', e."offset", 1, e.key, now() + interval '1 hour' FROM fq.events e"""
DUE = "UPDATE fq.deliveries SET due_at = now() - interval '1 s', state = 'retrying'"
LAPSED = """UPDATE fq.deliveries SET due_at = now() - interval '1 s',
            sent_at = now() - make_interval(hours => 1, secs => "offset" / 50)"""  # by passes of fifty
ALL_OUT = 'UPDATE fq.clients SET dispatched = (SELECT max("offset") FROM fq.events)'
LANES = """INSERT INTO fq.lanes (client_id, key, "offset", ready)
           SELECT 'c', e.key, e."offset", true FROM fq.events e"""
PARKED = """INSERT INTO fq.parked (client_id, "offset", epoch, attempts, attempt, first_at, key, reason, redrive)
            SELECT 'c', e."offset", 1, 1, 1, now(), e.key, 'no', true FROM fq.events e"""
REPLAY = """INSERT INTO fq.replays (client_id, epoch, next, upto, filter, per_second, started_at)
            VALUES ('c', 2, 1, 1000000, '^', 1000000, now() - interval '1 h')"""
ASIDE = """INSERT INTO fq.aside (client_id, replay_id, "offset", key, lane)
           SELECT 'c', r.id, e."offset", e.key, false FROM fq.events e, fq.replays r"""
# name: what has happened before, and what the statement is given
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "pass/hand_over_new": ([], {"after": 0, "horizon": MANY, "slice": MANY}),
    "pass/hand_over_again": ([ALL_OUT, OPEN, DUE], {"strict": False}),
    "pass/hand_over_lanes": ([ALL_OUT, LANES], {"dispatched": MANY}),
    "pass/hand_over_redriven": ([ALL_OUT, PARKED], {}),
    "pass/hand_over_replay": ([ALL_OUT, REPLAY], {"replay": 1, "slice": MANY, "most_aside": MANY}),
    "pass/hand_over_aside": ([ALL_OUT, REPLAY, ASIDE], {}),
    "pass/expired": ([ALL_OUT, OPEN, LAPSED], {"max_attempts": 1}),
    "pass/look_at_leases": ([ALL_OUT, OPEN, LAPSED], {}),
    "pass/renew_leases": ([ALL_OUT, OPEN], {"offsets": OFFSETS, "seconds": [60.0] * MANY, "behinds": [None] * MANY}),
    "pass/postpone": ([ALL_OUT, OPEN], {"offsets": OFFSETS, "seconds": 1.0}),
    "watch/recall_lost": ([ALL_OUT, OPEN], {**ABOUT, "counts": [False] * MANY, "noted": [False] * MANY, "wait": 0.0}),
    "operate/discard_open": ([ALL_OUT, OPEN], {"offsets": OFFSETS}),
    "outcomes/succeed": ([ALL_OUT, OPEN], {}),
    "outcomes/failing": ([ALL_OUT, OPEN], {"state": "sent"}),
    "outcomes/retry_later": ([ALL_OUT, OPEN], {"wait_seconds": [1.0] * MANY, "anew": [False] * MANY}),
    "outcomes/split": ([ALL_OUT, OPEN], {"parts": OFFSETS}),
    "outcomes/park": ([ALL_OUT, OPEN], {"reasons": ["no"] * MANY, "held": [False] * MANY}),
}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_of(node: dict[str, Any]) -> float:
    """Rows that a node of a plan has made or looked at, over all its loops."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("known", ["nothing", "few", "all"])
@pytest.mark.parametrize("name", CASES)
def test_g10_no_statement_about_many_events_compares_each_with_each(
    world: World, name: str, known: str, ordered: bool
) -> None:
    before, given = CASES[name]
    world.client(window=MANY, ordering="key" if ordered else "none")
    if known == "few":
        world.eyes.execute(FILL, [1, 20])
        world.eyes.execute(TABLES)
        world.eyes.execute(FILL, [21, MANY])
    else:
        world.eyes.execute(FILL, [1, MANY])
    for statement in before:
        world.eyes.execute(statement.encode())
    if known == "all":
        world.eyes.execute(TABLES)
    binds = {"client": "c", "ordered": ordered, **COMMON, **(ABOUT if name.startswith("outcomes/") else {}), **given}
    with world.store.transaction() as connection:
        lock_client(connection, "c")
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        rows = raw.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + for_psycopg(name), binds).fetchall()
        connection.rollback()
    plan = rows[0][0][0]["Plan"]
    found = list(nodes(plan))
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in found) >= MANY / 2, "it was about many events"
    assert [(node["Node Type"], rows_of(node)) for node in found if rows_of(node) > 50 * MANY] == []
