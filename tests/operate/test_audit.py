"""An audit accounts for every event, and names what does not add up (G1, G2, G3)."""

from __future__ import annotations

import pytest

from bridge import sql
from bridge.errors import UnknownClient, UsageError
from bridge.model import Position
from bridge.operate.audit import Counts, accept, audit
from bridge.operate.replay import replay
from bridge.operate.seek import seek
from tests.operate.auditing import found, make_busy
from tests.operate.parking import BY, journal_of
from tests.support.world import World, offsets


@pytest.fixture
def busy(world: World) -> World:
    make_busy(world)
    return world


def test_g1_every_offset_of_a_range_is_in_one_place(busy: World) -> None:
    seen = audit(busy.store, "c")
    assert (seen.holds, seen.notes, seen.first, seen.last) == (True, (), 1, 12)
    assert seen.counts == Counts(finished=4, open=2, parked=1, waiting=2, filtered=1, unread=2, pruned=0, unwritten=0)
    part = audit(busy.store, "c", first=4, last=9)
    assert part.counts == Counts(finished=1, open=1, parked=1, waiting=2, filtered=1, unread=0, pruned=0, unwritten=0)
    assert part.notes == ("the ledger was not compared with the log: for that the range has to cover 1 to 10",)


def test_g1_offsets_of_rolled_back_transactions_count_as_never_written(world: World) -> None:
    world.client()
    with world.eyes.transaction(force_rollback=True):
        world.publish(None, None)
    world.publish(None)
    world.succeed(*world.hand_over())
    seen = audit(world.store, "c")
    assert seen.holds
    assert (seen.counts.unwritten, seen.counts.finished) == (2, 1)


def test_g4_two_open_events_of_a_key_are_found_unless_the_ordering_may_have_changed(busy: World) -> None:
    busy.eyes.execute("UPDATE fq.deliveries SET key = 'a'")
    assert "key-open-twice" not in found(busy), "the client was registered just now, maybe with another ordering"
    busy.eyes.execute("UPDATE fq.clients SET updated_at = now() - interval '1 hour'")
    assert found(busy)["key-open-twice"] == (3, 5)


def test_g1_a_replay_that_can_never_go_on_is_found(busy: World) -> None:
    first = replay(busy.store, "c", start=Position(offset=1), end=Position(offset=2), per_second=1, by=BY)
    assert found(busy) == {}
    busy.eyes.execute(
        "INSERT INTO fq.aside VALUES ('c', %s, 2, NULL, false), ('c', %s, 99, NULL, false)", [first.id] * 2
    )
    assert found(busy) == {"aside-not-passed": (2, 99), "aside-not-in-log": (99,)}
    busy.eyes.execute("UPDATE fq.replays SET epoch = 1")
    assert "replay-of-no-epoch" in found(busy)


def test_g1_a_window_that_is_full_of_nothing_is_found(world: World) -> None:
    world.client()
    world.publish(None)
    world.succeed(*world.hand_over())
    world.eyes.execute('UPDATE fq.clients SET "full" = true, wake_at = NULL')
    assert set(found(world)) == {"full-of-nothing"}


def test_g3_a_lane_whose_event_does_not_match_is_found(busy: World) -> None:
    busy.eyes.execute("UPDATE fq.events SET topic = 'other' WHERE \"offset\" = 7")
    assert found(busy)["lane-not-matching"] == (7,)


def test_g1_where_several_are_gone_the_audit_says_among_which_they_are(busy: World) -> None:
    busy.eyes.execute("DELETE FROM fq.deliveries")
    [missing] = [it for it in audit(busy.store, "c").contradictions if it.kind == "missing"]
    assert (missing.total, missing.offsets, missing.among) == (2, (), (3, 5, 6, 10))
    assert missing.text.endswith("the sum of the 2 offsets is 8")


def test_g1_where_all_that_may_be_gone_are_gone_they_are_named(world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.hand_over()
    world.eyes.execute('DELETE FROM fq.deliveries WHERE "offset" > 1')
    assert found(world) == {"missing": (2, 3)}


def test_g1_what_is_missing_stays_missing_when_the_cursor_has_passed_it(busy: World) -> None:
    busy.eyes.execute("SET session_replication_role = origin")
    busy.eyes.execute('DELETE FROM fq.deliveries WHERE "offset" = 5')
    third = next(it for it in busy.sent if it.offset == 3)
    busy.succeed(third)
    for _ in range(3):
        busy.succeed(*busy.hand_over())
    assert busy.cursor() == 12, "the cursor can't know"
    assert found(busy) == {"missing": (5,)}


def test_g1_what_was_accepted_is_not_found_again_and_stands_in_the_journal(busy: World) -> None:
    busy.eyes.execute('DELETE FROM fq.deliveries WHERE "offset" = 5')
    accept(busy.store, "c", by=BY)
    assert found(busy) == {}
    assert journal_of(busy)[-1][0] == "accept"
    busy.eyes.execute("DELETE FROM fq.parked")
    assert found(busy) == {"missing": (4,)}, "the ledger goes on"


def test_g1_a_seek_and_other_topics_begin_the_ledger_anew(world: World) -> None:
    world.client(topics=("order.*",))
    world.publish("a", "a", "b", topic="order.created")
    world.publish("a", None, topic="other")
    world.succeed(*world.hand_over(limit=1))
    world.client(topics=("#",))
    assert found(world) == {}
    while out := world.hand_over():
        world.succeed(*out)
        assert found(world) == {}
    seek(world.store, "c", to=Position(offset=1), by=BY)
    assert world.row()["counted_after"] == 1
    out = world.hand_over()
    assert offsets(out) == [2, 3, 5]
    assert found(world) == {}
    world.eyes.execute('DELETE FROM fq.deliveries WHERE "offset" = 3')
    assert found(world) == {"missing": (3,)}


def test_g1_pruning_takes_from_the_ledgers_what_it_removes_from_the_log(world: World) -> None:
    world.client(topics=("order.*",))
    world.client("late", start="beginning")
    world.publish(None, None, None)
    world.publish(None, None, topic="other")
    world.succeed(*world.hand_over(), *world.hand_over("late"))
    world.client("late", topics=("other",))  # its ledger begins anew behind 5
    world.eyes.execute('DELETE FROM fq.events WHERE "offset" IN (1, 4)')
    world.publish(None, topic="other")
    world.hand_over("late")
    for client in ("c", "late"):
        seen = audit(world.store, client)
        assert (seen.contradictions, seen.notes) == ((), ())
        assert seen.counts.pruned == 2
    world.eyes.execute('DELETE FROM fq.events WHERE "offset" <= 3')
    assert audit(world.store, "c").holds
    assert world.eyes.execute("SELECT client_id, number, total FROM fq.uncounted").fetchall() == [("c", 3, 6)]
    world.eyes.execute("ALTER TABLE fq.events DISABLE TRIGGER events_kept")
    world.eyes.execute('DELETE FROM fq.events WHERE "offset" = 6')
    assert {it.kind: it.offsets for it in audit(world.store, "late").contradictions} == {
        "too-often": (6,),
        "open-not-in-log": (6,),
    }


def test_there_is_nothing_to_audit_of_a_reader_of_an_unknown_client_or_in_no_range(world: World) -> None:
    world.client()
    world.eyes.execute("SELECT fq.commit('reader', 3)")
    with pytest.raises(UsageError, match="'reader' is a plain SQL reader"):
        audit(world.store, "reader")
    with pytest.raises(UnknownClient):
        audit(world.store, "nobody")
    with pytest.raises(UsageError, match="ends at 3, before it begins at 4"):
        audit(world.store, "c", first=4, last=3)


def test_an_audit_reads_a_long_log_in_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.store.audit.SLICE_EVENTS", 7)
    world.client(topics=("order.*",))
    for _ in range(5):
        world.publish(*[None] * 5)
        world.publish(None, topic="other")
    world.succeed(*world.hand_over(limit=11))
    seen = audit(world.store, "c")
    assert seen.holds
    assert (seen.counts.finished, seen.counts.unread) == (11, 14)
    world.eyes.execute("ALTER TABLE fq.events DISABLE TRIGGER USER")
    world.eyes.execute('DELETE FROM fq.events WHERE "offset" = 8')
    assert found(world) == {"too-often": (8,)}


# Faults of the bridge itself: a statement, what it says, and what it says instead.
FAULTS = {
    "pass/hand_over_new": ("<= (SELECT upto FROM seen)\n    RETURNING", "< (SELECT upto FROM seen)\n    RETURNING"),
    "pass/hand_over_lanes": (
        'nullif(max(e."offset"), min(e."offset")) AS later',
        "CAST(NULL AS bigint) AS later",
    ),
    "outcomes/succeed": (
        'k."offset", k.epoch FROM known k)',
        'k."offset", k.epoch FROM known k UNION SELECT k.client_id, k."offset" + 1, k.epoch FROM known k)',
    ),
    "outcomes/park": ("  FROM gone\n    ON CONFLICT", "  FROM gone WHERE false\n    ON CONFLICT"),
}


def test_g1_events_that_a_fault_of_the_bridge_loses_are_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rightly = sql.source
    unnoticed = []
    for nth, (name, (says, instead)) in enumerate(FAULTS.items()):
        assert rightly(name).count(says) == 1

        def wrongly(asked: str, name: str = name, says: str = says, instead: str = instead) -> str:
            return rightly(asked).replace(says, instead) if asked == name else rightly(asked)

        client = f"c{nth}"
        world.client(client, start="now", max_attempts=1)
        world.publish("a", None, None, None, "a", "a", None)
        with monkeypatch.context() as broken:
            broken.setattr(sql, "source", wrongly)
            sql.statement.cache_clear()
            for _ in range(4):
                out = world.hand_over(client)
                world.fail(*out[:1])
                world.succeed(*out[1:4:2])
                world.succeed(*out[1:])
        sql.statement.cache_clear()
        unnoticed += [name] if audit(world.store, client).holds else []
    assert unnoticed == []
