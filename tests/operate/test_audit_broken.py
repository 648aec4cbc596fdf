"""Whatever is done to the tables by hand, an audit finds it (G1, G3)."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.operate.contradictions import KINDS
from tests.operate.auditing import Kept, found, make_busy
from tests.support.world import World

DELIVERY = """INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at) VALUES ('c', {}, 1, {}, now())"""
PARKED = """INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
            VALUES ('c', {}, 1, 1, 1, '', now())"""


@pytest.fixture
def busy(world: World) -> World:
    make_busy(world)
    return world


# These need more than one row: `test_audit.py` has a test for each.
RARE = {
    "full-of-nothing",
    "key-open-twice",
    "lane-not-matching",
    "aside-not-passed",
    "aside-not-in-log",
    "replay-of-no-epoch",
}

# What is done to the tables by hand, and what the audit says to it.
BROKEN: list[tuple[str, dict[str, tuple[int, ...]]]] = [
    ('DELETE FROM fq.deliveries WHERE "offset" = 3', {"missing": (3,), "lane-never-ready": (7,)}),
    ('DELETE FROM fq.deliveries WHERE "offset" = 5', {"missing": (5,)}),
    ("DELETE FROM fq.parked", {"missing": (4,)}),
    ("DELETE FROM fq.deliveries", {"missing": (), "lane-never-ready": (7,)}),
    ("DELETE FROM fq.lanes", {"passed-over": ()}),
    (DELIVERY.format(6, "NULL"), {"surplus": (6,)}),
    (DELIVERY.format(11, "'c'"), {"surplus": (11,), "open-above-dispatched": (11,)}),
    (DELIVERY.format(13, "NULL"), {"surplus": (13,), "open-above-dispatched": (13,), "open-not-in-log": (13,)}),
    (DELIVERY.format(4, "NULL"), {"surplus": (4,), "open-and-parked": (4,)}),
    (DELIVERY.format(7, "'a'"), {"surplus": (7,), "lane-overtaken": (7,)}),
    (DELIVERY.format(9, "NULL"), {"surplus": (9,), "open-not-matching": (9,)}),
    (PARKED.format(7), {"surplus": (7,), "parked-wrong-key": (7,), "lane-and-parked": (7,)}),
    (PARKED.format(12), {"surplus": (12,), "parked-above-dispatched": (12,)}),
    ('UPDATE fq.deliveries SET "offset" = 6 WHERE "offset" = 5', {"exchanged": (), "open-wrong-key": (6,)}),
    ("UPDATE fq.deliveries SET key = 'x' WHERE \"offset\" = 5", {"open-wrong-key": (5,)}),
    ('UPDATE fq.deliveries SET epoch = 7 WHERE "offset" = 5', {"open-of-no-epoch": (5,)}),
    ("UPDATE fq.parked SET key = 'x'", {"parked-wrong-key": (4,)}),
    ("UPDATE fq.parked SET epoch = 7", {"parked-of-no-epoch": (4,)}),
    ('UPDATE fq.lanes SET "offset" = 8', {"passed-over": (7,)}),
    ('UPDATE fq.lanes SET "offset" = 3', {"too-often": (3,), "lane-overtaken": (3,)}),
    ("UPDATE fq.lanes SET key = 'x'", {"passed-over": (), "lane-wrong-key": (7,), "lane-never-ready": (7,)}),
    ('UPDATE fq.clients SET "offset" = 3', {"open-below-cursor": (3,)}),
    ('UPDATE fq.clients SET "offset" = 9', {"open-below-cursor": (3, 5), "lane-below-cursor": (7,)}),
    ('UPDATE fq.clients SET "offset" = 11', {"cursor-above-dispatched": (), "open-below-cursor": (3, 5)}),
    ("UPDATE fq.clients SET dispatched = 11", {"passed-over": (11,)}),
    ("UPDATE fq.clients SET dispatched = 12", {"passed-over": ()}),
    ("UPDATE fq.clients SET dispatched = 6", {"lane-above-dispatched": (7,)}),
    ("UPDATE fq.clients SET lowest = 5", {"open-below-lowest": (3,)}),
    ("UPDATE fq.clients SET wake_at = NULL", {"never-woken": ()}),
    ("UPDATE fq.clients SET last_epoch = 0", {"epoch-above-last": ()}),
    ("UPDATE fq.clients SET counted_after = 11", {"ledger-above-dispatched": ()}),
    ('UPDATE fq.horizon SET "offset" = 5', {"dispatched-above-horizon": ()}),
    ("SELECT setval('fq.events_offset_seq', 11)", {"horizon-above-log": ()}),
    ('DELETE FROM fq.events WHERE "offset" = 1', {"too-often": (1,)}),
    ('DELETE FROM fq.events WHERE "offset" = 3', {"too-often": (3,), "open-not-in-log": (3,)}),
    ('DELETE FROM fq.events WHERE "offset" = 4', {"too-often": (4,), "parked-not-in-log": (4,)}),
    ('DELETE FROM fq.events WHERE "offset" = 7', {"lane-not-in-log": (7,)}),
    ("INSERT INTO fq.aside VALUES ('c', 1, 2, NULL, false)", {"aside-of-no-replay": (2,)}),
]


def test_g3_a_contradiction_is_found_and_its_offset_is_named(busy: World) -> None:
    kept, missed = Kept(busy.eyes), {}
    for by_hand, says in BROKEN:
        busy.eyes.execute(by_hand.encode())
        seen = found(busy)
        if not says.items() <= seen.items():
            missed[by_hand] = seen
        kept.restore()
        assert found(busy) == {}
    assert missed == {}
    named = {kind for _, says in BROKEN for kind in says}
    assert set(KINDS) - named == RARE, "each kind has its row"


# What happens by itself, or not at all: a wrong place is drawn, and is never taken for a right one.
PLACES = st.integers(1, 13)
WRONG: st.SearchStrategy[tuple[str, list[int]]] = st.one_of(
    st.tuples(st.just('DELETE FROM fq.deliveries WHERE "offset" = %s'), st.sampled_from([[3], [5]])),
    st.tuples(
        st.sampled_from(
            [
                """INSERT INTO fq.deliveries (client_id, "offset", epoch, due_at) VALUES ('c', %s, 1, now())
                   ON CONFLICT DO NOTHING""",
                """INSERT INTO fq.parked (client_id, "offset", epoch, attempt, attempts, reason, first_at)
                   VALUES ('c', %s, 1, 1, 1, '', now()) ON CONFLICT DO NOTHING""",
                """UPDATE fq.parked SET "offset" = %s""",
                """UPDATE fq.lanes SET "offset" = %s""",
                """UPDATE fq.deliveries SET "offset" = %s WHERE "offset" = 3""",
                """INSERT INTO fq.lanes (client_id, key, "offset") VALUES ('c', 'x', %s)""",
                """INSERT INTO fq.lanes (client_id, key, "offset", ready) VALUES ('c', 'z', %s, true)""",
                """UPDATE fq.clients SET owed = owed + %s""",
                """UPDATE fq.clients SET counted = counted - %s""",
            ]
        ),
        PLACES.map(lambda place: [place]),
    ),
    st.tuples(st.just('UPDATE fq.clients SET "offset" = %s'), st.integers(3, 30).map(lambda place: [place])),
    st.tuples(st.just("UPDATE fq.clients SET dispatched = %s"), st.integers(11, 30).map(lambda place: [place])),
    st.tuples(
        st.just('DELETE FROM fq.events WHERE "offset" = %s'),
        st.sampled_from([1, 2, 3, 4, 5, 6, 7, 10]).map(lambda at: [at]),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wrong=WRONG)
def test_g3_no_small_corruption_passes_for_order(busy: World, wrong: tuple[str, list[int]]) -> None:
    kept = Kept(busy.eyes)
    before = kept.rows()
    try:
        busy.eyes.execute(wrong[0].encode(), wrong[1])
        if kept.rows() != before:  # a row may have been moved to where it was, or may be there already
            assert found(busy), f"{wrong} was not found"
    except psycopg.errors.UniqueViolation:
        assert kept.rows() == before, "a row can't be moved to where another one is"
    finally:
        kept.restore()
