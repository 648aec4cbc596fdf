"""Events that were handed over and finished cost nothing, although their dead rows are still there (G5)."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from bridge.model import Outcome
from bridge.store.chunks import MOST_CUTS, chunks
from bridge.store.handover import lock_client
from bridge.store.outcomes import lock_clients, succeed
from bridge.store.tally import Tally
from tests.conftest import Connect
from tests.support.plans import explain, pages_of
from tests.support.world import World

DEAD = 40_000
SHOW = "SELECT current_setting('enable_seqscan'), current_setting('jit'), current_setting('plan_cache_mode')"
FEW = 200  # pages that a statement may look at


@pytest.fixture(params=["never analysed", "analysed while empty", "analysed"])
def crowded(request: pytest.FixtureRequest, world: World, connect: Connect) -> psycopg.Connection[Any]:
    """A client that has finished many events whose dead rows can't be removed, and has a few open, one for each key."""
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


def plan_of(world: World, name: str, binds: dict[str, Any], options: str) -> list[Any]:
    """How Postgres runs a statement, in a transaction as passes and outcomes have it."""
    with world.store.transaction() as connection:
        lock_clients(connection, ["c"])
        found = explain(connection, name, binds, options)
        connection.rollback()
    return found


def pages(world: World, name: str, binds: dict[str, Any]) -> int:
    """Pages that a statement looks at."""
    return pages_of(plan_of(world, name, binds, "ANALYZE, BUFFERS, FORMAT JSON")[0][0]["Plan"])


REPLAY = """INSERT INTO fq.replays (client_id, epoch, next, upto, filter, per_second)
            VALUES ('c', 2, %s, 1000000000, '', 1000)"""
STATEMENTS: dict[str, dict[str, Any]] = {
    "pass/look_at_client": {},
    "pass/expired": {"max_attempts": 3},
    "pass/done": {},
    "pass/hand_over_again": {"room": 100, "ordered": True, "strict": False, "call": "event", "lease_seconds": 60},
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
    "pass/hand_over_redriven": {"room": 100, "ordered": True, "epoch": 1, "call": "event", "lease_seconds": 60},
    "pass/look_at_leases": {},
    "pass/replays": {"most": 8},
    "pass/hand_over_aside": {"room": 100, "filter": ".*", "ordered": True, "call": "event", "lease_seconds": 60},
    "pass/hand_over_replay": {
        "replay": 1,
        "room": 100,
        "slice": 100,
        "most_aside": 100,
        "filter": ".*",
        "ordered": True,
        "call": "event",
        "lease_seconds": 60,
    },
    "pass/finish_pass": {
        **dict.fromkeys(("delivered", "retried", "counted", "counted_sum", "owed", "owed_sum"), 1),
        "hungry": False,
        "full": False,
        **dict.fromkeys(("within_seconds", "tokens", "token_seconds")),
    },
}

WITH_LISTS: dict[str, dict[str, Any]] = {
    "pass/renew_leases": {"offsets": [DEAD + 1], "seconds": [60.0], "behinds": [None]},
    "pass/note_replayed": {"epochs": [2], "lowest": DEAD + 1},
}
REPORTED = [DEAD + 1, DEAD + 2, DEAD + 3]
ABOUT: dict[str, Any] = {
    "clients": ["c"] * 3,
    "offsets": REPORTED,
    "among": ["c"],
    "first": REPORTED[0],
    "last": REPORTED[-1],
}
WHY = {"error_types": ["E"] * 3, "errors": ["no"] * 3, "tracebacks": [None] * 3, "failures": ["{}"] * 3}
OUTCOMES: dict[str, dict[str, Any]] = {
    "outcomes/succeed": {"epochs": [1] * 3, "attempts": [1] * 3},
    "outcomes/failing": {"epochs": [1] * 3, "attempts": [1] * 3, "state": "sent"},
    "outcomes/retry_later": {"wait_seconds": [1.0] * 3, "anew": [False] * 3, **WHY},
    "outcomes/split": {"parts": [DEAD + 1] * 3, "failures": ["{}"] * 3},
    "outcomes/park": {"reasons": ["no"] * 3, "held": [False] * 3, **WHY},
}


def test_g5_neither_a_pass_nor_an_outcome_nor_a_look_reads_what_is_finished(
    world: World, crowded: psycopg.Connection[Any]
) -> None:
    world.eyes.execute(REPLAY, [DEAD + 1])
    binds = {name: {"client": "c", **given} for name, given in (STATEMENTS | WITH_LISTS).items()}
    binds |= {name: {**ABOUT, **given} for name, given in OUTCOMES.items()}
    binds["outcomes/move_cursors"] = {"clients": ["c"], "succeeded": [1], "totals": [1], "failed": [False]}
    binds["outcomes/move_cursors"] |= {"failures": [1], "duplicates": [1]}
    binds["metrics/clients"] = {"clients": 1000, "most": 100}
    read = {name: pages(world, name, given) for name, given in binds.items()}
    world.eyes.execute('UPDATE fq.clients SET "full" = true')
    world.eyes.execute("INSERT INTO fq.lanes (client_id, key, \"offset\", ready) VALUES ('c', 'k', 1, true)")
    look = {"bridge": "bridge", "holder": "p", "seconds": 0, "poll_seconds": 0, "look_for_due": True, "due_rest": 0}
    # The first call in a session also reads the catalog, for the plans of the function.
    _, read["wait_for_work"] = (pages(world, "pass/wait_for_work", look) for _ in range(2))
    assert {name: number for name, number in read.items() if number >= FEW} == {}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_planner_puts_the_schema_s_words_in_place_so_that_they_cost_nothing(world: World, name: str) -> None:
    world.client()
    world.publish(*"abc")
    lines = plan_of(world, name, {"client": "c", **STATEMENTS[name]}, "VERBOSE")
    calls = [found for line in lines for found in re.findall(r"\bfq\.(\w+)\(|Function Scan on (?:fq\.)?(\w+)", line)]
    # once for each client; where there is a rate; where an event has headers of another propagator than W3C's;
    # in a branch that only clients with call='cloudevent' come to
    called = {"safe_offset", "is_limited", "tokens_of", "other_trace", "cloudevent", "generation_of"}
    assert {one or other for one, other in calls} <= called


def test_a_transaction_that_locks_a_client_reads_no_whole_table_and_keeps_its_plans(world: World) -> None:
    def settings(connection: Connection) -> tuple[str, ...]:
        return tuple(connection.exec_driver_sql(SHOW).one())

    world.client()
    for lock in (lambda it: lock_client(it, "c"), lambda it: lock_clients(it, ["c"])):
        with world.store.transaction() as connection:
            before = settings(connection)
            assert before[0] == "on"
            assert lock(connection)
            assert settings(connection) == ("off", "off", "force_generic_plan")
        with world.store.transaction() as connection:
            assert settings(connection) == before


def test_outcomes_that_are_far_apart_are_all_finished(world: World) -> None:
    offsets = [5_000_002, 5, 5_000_001]
    world.client()
    for offset in offsets:
        world.eyes.execute(
            """INSERT INTO fq.deliveries (client_id, "offset", epoch, due_at)
               VALUES ('c', %s, 1, now() + interval '1 h')""",
            [offset],
        )
    reported = [Outcome(client="c", offset=offset, epoch=1, attempt=1) for offset in offsets]
    with world.store.transaction() as connection:
        lock_clients(connection, ["c"])
        assert succeed(connection, reported) == {"c": Tally(3, sum(offsets))}
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
    assert {("enable_seqscan=off",), ("jit=off",)} <= set(connection.execute(settings).fetchall())
