"""What was handed over and finished costs nobody anything, although its dead rows are still there (G5)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bridge.model import Outcome
from bridge.sql import for_psycopg
from bridge.store.chunks import MOST_CUTS, chunks
from bridge.store.outcomes import lock_clients, succeed
from tests.conftest import Connect
from tests.support.world import World

DEAD = 40_000
FEW = 200  # pages that a statement may look at


@pytest.fixture(params=["never analysed", "analysed while empty", "analysed"])
def crowded(request: pytest.FixtureRequest, world: World, connect: Connect) -> psycopg.Connection[Any]:
    """A client that has finished many events whose dead rows nobody may remove, and has a few open, one for each key."""
    snapshot = connect(autocommit=False)
    snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    snapshot.execute("SELECT FROM fq.clients")
    world.client(window=DEAD)
    statement = "INSERT INTO fq.events (topic, key) SELECT 'order.created', 'k' || n FROM generate_series(1, %s) n"
    world.eyes.execute(statement, [DEAD])
    world.limit = DEAD
    world.succeed(*world.hand_over())
    assert world.cursor() == DEAD
    if request.param == "analysed while empty":
        world.eyes.execute("ANALYZE fq.deliveries, fq.clients")
    world.publish(*"abc")
    world.hand_over()
    world.publish(*"abd")
    if request.param == "analysed":
        world.eyes.execute("ANALYZE fq.deliveries, fq.clients")
    return snapshot


def pages(world: World, name: str, binds: dict[str, Any]) -> int:
    """Pages that a statement looks at, in a transaction as passes and outcomes have it."""
    with world.store.transaction() as connection:
        lock_clients(connection, ["c"])
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        raw.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        [(found,)] = raw.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + for_psycopg(name), binds).fetchall()
        connection.rollback()
    plan = found[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


STATEMENTS: dict[str, dict[str, Any]] = {
    "pass/look_at_client": {},
    "pass/expired": {"max_attempts": 3},
    "pass/done": {},
    "pass/hand_over_again": {"room": 100, "ordered": True, "call": "event", "lease_seconds": 60},
    "pass/hand_over_new": {
        "after": DEAD + 3,
        "horizon": DEAD + 6,
        "slice": 100,
        "room": 100,
        "filter": ".*",
        "ordered": True,
        "epoch": 1,
        "call": "event",
        "lease_seconds": 60,
    },
    "pass/hand_over_lanes": {
        "dispatched": DEAD + 3,
        "room": 100,
        "filter": ".*",
        "epoch": 1,
        "call": "event",
        "lease_seconds": 60,
    },
    "pass/finish_pass": {"delivered": 1, "hungry": False, "full": False, "within_seconds": None},
}


REPORTED = [DEAD + 1, DEAD + 2, DEAD + 3]
ABOUT: dict[str, Any] = {
    "clients": ["c"] * 3,
    "offsets": REPORTED,
    "among": ["c"],
    "first": REPORTED[0],
    "last": REPORTED[-1],
}
WHY = {"error_types": ["E"] * 3, "errors": ["no"] * 3, "tracebacks": [None] * 3}
OUTCOMES: dict[str, dict[str, Any]] = {
    "outcomes/succeed": {"epochs": [1] * 3, "attempts": [1] * 3},
    "outcomes/failing": {"epochs": [1] * 3, "attempts": [1] * 3, "state": "sent"},
    "outcomes/retry_later": {"wait_seconds": [1.0] * 3, "fresh": [False] * 3, **WHY},
    "outcomes/split": {"parts": [DEAD + 1] * 3},
    "outcomes/park": {"reasons": ["no"] * 3, "held": [False] * 3, **WHY},
}


def test_g5_neither_a_pass_nor_an_outcome_nor_a_look_reads_what_is_finished(
    world: World, crowded: psycopg.Connection[Any]
) -> None:
    binds = {name: {"client": "c", **given} for name, given in STATEMENTS.items()}
    binds |= {name: {**ABOUT, **given} for name, given in OUTCOMES.items()}
    binds["outcomes/move_cursors"] = {"clients": ["c"], "succeeded": [1], "failed": [False]}
    read = {name: pages(world, name, given) for name, given in binds.items()}
    world.eyes.execute('UPDATE fq.clients SET "full" = true')
    world.eyes.execute("INSERT INTO fq.lanes (client_id, key, \"offset\", ready) VALUES ('c', 'k', 1, true)")
    read["wait_for_work"] = pages(world, "pass/wait_for_work", {"holder": "p", "seconds": 0, "poll_seconds": 0})
    assert {name: number for name, number in read.items() if number >= FEW} == {}


def test_outcomes_that_are_far_apart_are_all_finished(world: World) -> None:
    offsets = [5_000_002, 5, 5_000_001]
    world.client()
    for offset in offsets:
        world.eyes.execute(
            "INSERT INTO fq.deliveries (client_id, \"offset\", epoch, due_at) VALUES ('c', %s, 1, now() + interval '1 h')",
            [offset],
        )
    reported = [Outcome(client="c", offset=offset, epoch=1, attempt=1) for offset in offsets]
    with world.store.transaction() as connection:
        lock_clients(connection, ["c"])
        assert succeed(connection, reported) == {"c": 3}
    assert world.rows("deliveries") == []


@pytest.mark.parametrize(
    ("offsets", "portions"),
    [
        ([], []),
        ([7], [[7]]),
        ([5_000_000, 5, 5_000_001], [[5], [5_000_000, 5_000_001]]),
        ([4, 3, 2, 1, 10_000], [[1, 2, 3], [4, 10_000]]),
    ],
)
def test_outcomes_are_cut_where_they_are_far_apart(offsets: list[int], portions: list[list[int]]) -> None:
    reported = [Outcome(client="c", offset=offset, epoch=1, attempt=1) for offset in offsets]
    assert [[one.offset for one in some] for some in chunks(reported, most=3)] == portions


def test_outcomes_of_a_client_that_wants_few_events_are_not_all_in_statements_of_their_own() -> None:
    rare = [Outcome(client="c", offset=100_000 * n, epoch=1, attempt=1) for n in range(1000)]
    found = list(chunks(rare, most=1000))
    assert len(found) == MOST_CUTS + 1
    assert sum(map(len, found)) == 1000


def test_waiting_is_never_compiled(every_database: str, connect: Connect) -> None:
    connection = connect(every_database)
    settings = "SELECT unnest(proconfig) FROM pg_proc WHERE proname = 'wait_for_work'"
    assert connection.execute(settings).fetchall() == [("enable_seqscan=off",), ("jit=off",)]
