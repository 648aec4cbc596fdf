"""What many events take grows with their number, not with its square, whatever Postgres knows of the tables (G10)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.store.handover import lock_client
from tests.support.plans import explain, nodes, rows_of
from tests.support.world import World

MANY = 1000
SOME = 200  # of statements that are given no more at once: see bridge/store/chunks.py
FILL = "INSERT INTO fq.events (topic, key) SELECT 'order.created', 'k' || n FROM generate_series(%s, %s::int) n"
TABLES = b"ANALYZE fq.events, fq.deliveries, fq.lanes, fq.parked, fq.aside, fq.replays, fq.clients"
OFFSETS = list(range(1, MANY + 1))
SOME_OFFSETS = OFFSETS[:SOME]
COMMON: dict[str, Any] = {"room": MANY, "call": "event", "lease_seconds": 60, "filter": "^", "epoch": 1}


def about(number: int) -> dict[str, Any]:
    """What a statement is given about the first so many events."""
    return {
        "clients": ["c"] * number,
        "offsets": OFFSETS[:number],
        "among": ["c"],
        "first": 1,
        "last": number,
        "epochs": [1] * number,
        "attempts": [1] * number,
        "error_types": ["E"] * number,
        "errors": ["no"] * number,
        "tracebacks": [None] * number,
        "failures": ["{}"] * number,
    }


ABOUT, ABOUT_SOME = about(MANY), about(SOME)
OPEN = """INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
          SELECT 'c', e."offset", 1, e.key, now() + interval '1 hour' FROM fq.events e"""
DUE = "UPDATE fq.deliveries SET due_at = now() - interval '1 s', state = 'retrying'"
LAPSED = """UPDATE fq.deliveries SET due_at = now() - interval '1 s',
            sent_at = now() - make_interval(hours => 1, secs => "offset" / 50)"""  # by passes of fifty
LAPSED_ONES = LAPSED.replace("/ 50", "")  # each in a pass of its own
ALL_OUT = 'UPDATE fq.clients SET dispatched = (SELECT max("offset") FROM fq.events)'
LANES = """INSERT INTO fq.lanes (client_id, key, "offset", ready)
           SELECT 'c', e.key, e."offset", true FROM fq.events e"""
PARKED = """INSERT INTO fq.parked (client_id, "offset", epoch, attempts, attempt, first_at, key, reason, redrive)
            SELECT 'c', e."offset", 1, 1, 1, now(), e.key, 'no', true FROM fq.events e"""
REPLAY = """INSERT INTO fq.replays (client_id, epoch, next, upto, filter, per_second, started_at)
            VALUES ('c', 2, 1, 1000000, '^', 1000000, now() - interval '1 h')"""
ASIDE = """INSERT INTO fq.aside (client_id, replay_id, "offset", key, lane)
           SELECT 'c', r.id, e."offset", e.key, false FROM fq.events e, fq.replays r"""
RENEWED = {"offsets": SOME_OFFSETS, "seconds": [60.0] * SOME, "behinds": [None] * SOME}
PASSED = "UPDATE fq.replays SET next = 1000000"
AS_LANES = "UPDATE fq.aside SET lane = true"
# name: what has happened before, and what the statement is given
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "pass/hand_over_new": ([], {"after": 0, "horizon": MANY, "slice": MANY}),
    "pass/hand_over_again": ([ALL_OUT, OPEN, DUE], {"strict": False}),
    "pass/hand_over_lanes": ([ALL_OUT, LANES], {"dispatched": MANY}),
    "pass/hand_over_redriven": ([ALL_OUT, PARKED], {}),
    "pass/hand_over_replay": ([ALL_OUT, REPLAY], {"replay": 1, "slice": MANY, "most_aside": MANY}),
    "pass/hand_over_aside": ([ALL_OUT, REPLAY, ASIDE], {}),
    "pass/hand_over_aside of lanes": ([ALL_OUT, REPLAY, PASSED, ASIDE, AS_LANES], {}),
    "pass/expired": ([ALL_OUT, OPEN, LAPSED], {"max_attempts": 1}),
    "pass/look_at_leases": ([ALL_OUT, OPEN, LAPSED], {}),
    "pass/renew_leases": ([ALL_OUT, OPEN], RENEWED),
    "pass/postpone": ([ALL_OUT, OPEN], {"offsets": OFFSETS, "seconds": 1.0}),
    "watch/recall_lost": ([ALL_OUT, OPEN], {**ABOUT, "counts": [False] * MANY, "noted": [False] * MANY, "wait": 0.0}),
    "operate/recall": ([ALL_OUT, OPEN], {"keys": None, "offsets": None, "sent_until": None}),
    "operate/discard_open": ([ALL_OUT, OPEN], {"offsets": OFFSETS}),
    "outcomes/succeed": ([ALL_OUT, OPEN], {}),
    "outcomes/failing": ([ALL_OUT, OPEN], {"state": "sent"}),
    "outcomes/retry_later": ([ALL_OUT, OPEN], {**ABOUT_SOME, "wait_seconds": [1.0] * SOME, "anew": [False] * SOME}),
    "outcomes/split": ([ALL_OUT, OPEN], {**ABOUT_SOME, "parts": SOME_OFFSETS}),
    "audit/lanes": ([ALL_OUT, OPEN, LANES], {"most": 10, "first": 0, "last": MANY}),
    "pass/look_at_leases of single events": ([ALL_OUT, OPEN, LAPSED_ONES], {}),
    "outcomes/park": ([ALL_OUT, OPEN], {**ABOUT_SOME, "reasons": ["no"] * SOME, "held": [False] * SOME}),
}


# Only a hand-over asks whether events of one key wait for each other.
@pytest.mark.parametrize(
    ("name", "ordered"),
    [(name, ordered) for name in CASES for ordered in (True, False) if ordered or "hand_over" in name],
)
@pytest.mark.parametrize("known", ["nothing", "few", "all"])
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
        (plan,) = explain(connection, name.split(maxsplit=1)[0], binds, "ANALYZE, FORMAT JSON")
        connection.rollback()
    found = list(nodes(plan[0]["Plan"]))
    assert max(node["Actual Rows"] * node["Actual Loops"] for node in found) >= len(binds.get("offsets") or OFFSETS) / 2
    assert [(node["Node Type"], rows_of(node)) for node in found if rows_of(node) > 50 * MANY] == []
