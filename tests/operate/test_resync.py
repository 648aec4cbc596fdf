"""Resync: after a restore no stored event is passed over, and no outcome of before counts (G1, G6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.app import Bridge
from bridge.errors import BrokerUnavailable, LogRewound, UsageError
from bridge.operate import resync as module
from bridge.operate.resync import Resynced, plan_of, resync
from bridge.operate.witnesses import BrokerSaw
from bridge.store.resync import Found
from tests.operate.replaying import start_replay
from tests.support.world import World, offsets, outcome

SET_BACK = "SELECT setval('fq.events_offset_seq', %s)"
FOUND: dict[str, Any] = {
    "drawn": 100,
    "horizon": 98,
    "starts": (0,),
    "last": 100,
    "pruned": -1,
    "handed_over": 98,
    "reached": 98,
    "reused": None,
}


def saw(offset: int, *, fits: bool = False, generation: int = 1, remembered: int = -1) -> BrokerSaw:
    return BrokerSaw("redis://x", offset, generation, fits, remembered)


@pytest.fixture
def bridge(world: World) -> Iterator[Bridge]:
    with world.bridge() as it:
        yield it


def resynced(bridge: Bridge, **options: Any) -> Resynced:
    """Resync, after a dry run that says the same and changes nothing."""
    tried = resync(bridge, by="me", dry_run=True, **options)
    assert tried == resync(bridge, by="me", dry_run=True, **options), "a dry run changes nothing"
    done = resync(bridge, by="me", **options)
    expected = (tried.generation, tried.first, tried.sequence, tried.lost_upto, tried.clients)
    assert (done.generation, done.first, done.sequence, done.lost_upto, done.clients) == expected
    return done


@pytest.mark.parametrize(
    ("found", "broker", "above", "agreed", "starts", "sequence"),
    [
        ({}, None, None, 98, (0, 99), 100),
        ({}, saw(150), None, 98, (0, 99), 150),
        ({}, saw(100, fits=True), None, 100, (0, 101), 100),
        ({}, saw(150, remembered=170), None, 98, (0, 99), 170),
        ({}, None, 500, 98, (0, 99), 500),
        ({"drawn": 120, "last": 120}, saw(150), None, 98, (0, 99), 150),  # 101 to 120 were written since
        ({"drawn": 60, "horizon": 98, "last": 60, "reused": 55}, None, None, 54, (0, 55), 98),
        ({"drawn": 3, "last": 98}, None, None, 98, (0, 99), 98),  # only the sequence was set back
        ({"reached": 140}, None, None, 98, (0, 99), 140),
        ({"handed_over": None}, None, None, 98, (0, 99), 100),
        ({"handed_over": -1, "horizon": -1, "last": -1, "drawn": -1, "reached": -1}, None, None, -1, (0, 0), -1),
        ({"starts": (0, 40)}, None, None, 98, (0, 40, 99), 100),
        ({"starts": (0, 40), "reused": 20, "drawn": 30}, None, None, 19, (0, 20, 20), 100),
        ({}, saw(150, generation=3), None, 98, (0, 99, 99, 99), 150),  # this log has forgotten two generations
    ],
)
def test_the_plan_follows_from_what_the_witnesses_say(
    *,
    found: dict[str, Any],
    broker: BrokerSaw | None,
    above: int | None,
    agreed: int,
    starts: tuple[int, ...],
    sequence: int,
) -> None:
    plan = plan_of(Found(**{**FOUND, **found}), broker, above=above)
    assert (plan.agreed, plan.starts, plan.sequence) == (agreed, starts, sequence)
    assert list(plan.starts) == sorted(plan.starts), "width_bucket needs them in order"


def test_g1_a_sequence_that_was_set_back_goes_on_and_no_event_is_handled_twice(world: World, bridge: Bridge) -> None:
    world.client()
    world.publish(*[None] * 10)
    world.succeed(*world.hand_over())
    world.eyes.execute(SET_BACK, (3,))
    with pytest.raises(LogRewound, match="eventbridge resync"):
        world.hand_over()
    done = resynced(bridge)
    assert (done.generation, done.first, done.sequence_before, done.sequence) == (2, 11, 3, 10)
    assert (done.lost_from, [it.offset for it in done.clients]) == (None, [10])
    assert world.publish(None) == [11]
    assert offsets(world.hand_over()) == [11]


def test_g1_new_events_at_offsets_that_were_used_before_are_all_handed_over(world: World, bridge: Bridge) -> None:
    """The worst case: the tail was lost, and the log has given its offsets to others below everybody's cursor."""
    world.client(ordering="none")
    world.client("late", ordering="none")
    world.eyes.execute("INSERT INTO fq.clients (id) VALUES ('reader')")
    world.publish(*[None] * 10)
    old = world.hand_over()
    world.succeed(*old)
    world.eyes.execute("UPDATE fq.clients SET \"offset\" = 9 WHERE id = 'reader'")
    with world.eyes.transaction():
        world.eyes.execute("SET session_replication_role = replica")
        world.eyes.execute('DELETE FROM fq.events WHERE "offset" > 6')
        world.eyes.execute("RESET session_replication_role")
    world.eyes.execute(SET_BACK, (6,))
    assert world.publish(None, None) == [7, 8]
    done = resynced(bridge)
    assert (done.generation, done.first, done.sequence) == (2, 7, 10)
    assert (done.lost_from, done.lost_upto, done.lost_present) == (7, 10, 2)
    assert {it.client: (it.before, it.offset) for it in done.clients} == {
        "c": (10, 6),
        "late": (-1, -1),
        "reader": (9, 6),
    }
    assert world.publish(None) == [11]
    new = world.hand_over()
    assert offsets(new) == [7, 8, 11]
    assert [world.succeed(it, generation=1).outdated for it in old if it.offset > 6] == [1, 1, 1, 1]
    assert world.rows("deliveries") == [7, 8, 11], "old outcomes finish none of the new events"
    assert world.succeed(*new).succeeded == 3
    assert world.cursor() == 11
    assert len(world.hand_over("late")) == 9


def test_g6_what_is_in_flight_goes_out_again_in_new_epochs_and_counts_no_attempt(world: World, bridge: Bridge) -> None:
    world.client(ordering="none", max_attempts=1)
    world.publish(*[None] * 5)
    old = world.hand_over()
    world.succeed(old[1])
    world.fail(old[2])
    assert world.rows("parked") == [3]
    done = resynced(bridge)
    assert [(it.again, it.forgotten) for it in done.clients] == [(3, 0)]
    assert (world.cursor(), world.row()["epoch"], world.rows("parked")) == (0, 2, [3])
    again = world.hand_over()
    assert [(it.offset, it.epoch, it.client.generation) for it in again] == [(1, 2, 2), (4, 2, 2), (5, 2, 2)]
    assert world.succeed(*(old[nth] for nth in (0, 3, 4)), generation=1).outdated == 3
    assert world.fail(again[0]).parked == 1, "it was its only attempt"
    assert world.succeed(*again[1:], generation=2).succeeded == 2
    assert world.cursor() == 5


def test_g1_a_replay_and_what_it_has_handed_over_survive_a_resync(world: World, bridge: Bridge) -> None:
    world.client(ordering="none", window=2)
    world.publish(*[None] * 6)
    while new := world.hand_over():
        world.succeed(*new)
    start_replay(world, "beginning", "end")
    first = world.hand_over()
    assert first
    resynced(bridge)
    seen: list[int] = []
    while new := world.hand_over():
        seen += offsets(new)
        world.succeed(*new, generation=2)
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    assert world.ask("SELECT count(*) FROM fq.replays") == 0
    assert world.ask("SELECT bool_and(epoch <= last_epoch) FROM fq.clients")


def test_the_broker_s_mark_is_asked_and_renewed(world: World, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    with pytest.raises(UsageError, match="--above"):
        resync(bridge, by="me", from_broker_mark=True)

    def away(_: Bridge) -> BrokerSaw:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(module, "what_the_broker_saw", away)
    with pytest.raises(BrokerUnavailable):
        resync(bridge, by="me")
    assert world.ask("SELECT fq.generation()") == 1, "nothing changed"
    assert resync(bridge, by="me", above=40).sequence == 40
    monkeypatch.setattr(module, "what_the_broker_saw", lambda _: saw(70, generation=2))
    done = resynced(bridge, from_broker_mark=True)
    assert (done.generation, done.lost_from, done.lost_upto, done.broker_offset) == (3, 2, 70, 70)
    assert world.publish(None) == [71]
    [entry, _] = world.eyes.execute(
        "SELECT by, details FROM fq.journal WHERE action <> 'register' ORDER BY id DESC"
    ).fetchall()
    assert (entry[0], entry[1]["generation"], entry[1]["lost_upto"]) == ("me", 3, 70)


def test_g6_an_outcome_without_a_generation_is_the_log_s_own(world: World) -> None:
    world.client()
    world.publish(None)
    [it] = world.hand_over()
    assert outcome(it).generation is None
