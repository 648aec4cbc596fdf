"""Parked events that are redriven: they go out again, to that client only, within its window (G3, G5, G6)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import Position
from bridge.operate.lifecycle import pause, resume
from bridge.operate.parked import discard
from bridge.operate.replay import replay
from bridge.operate.seek import seek
from bridge.sender.parcels import pack
from bridge.settle.settle import Settled
from bridge.store.parked import Selection, list_parked
from bridge.store.rounds import clients_to_serve
from tests.operate.parking import BY, journal_of, park, redriven
from tests.support.world import World, offsets


def test_a_redriven_event_goes_out_again_and_its_success_ends_it(world: World) -> None:
    park(world, "a", None)
    cursor = world.row()["offset"], world.row()["dispatched"]
    assert redriven(world) == [1, 2]
    again = world.hand_over()
    assert offsets(again) == [1, 2]
    assert world.rows("parked") == []
    assert (world.row()["offset"], world.row()["dispatched"]) == cursor, "a redrive never moves the cursor back"
    assert world.succeed(*again).succeeded == 2
    assert (world.row()["offset"], world.row()["dispatched"]) == cursor
    assert world.rows("deliveries") == []


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({"keys": ("a",)}, [1, 3]),
        ({"keys": ("a", "b")}, [1, 2, 3]),
        ({"error_types": ("KeyError",)}, [2, 4]),
        ({"offsets": (4, 1, 99)}, [1, 4]),
        ({"keys": ("a",), "error_types": ("ValueError",), "offsets": (3, 4)}, [3]),
        ({"keys": ("nobody",)}, []),
        ({}, [1, 2, 3, 4]),
    ],
)
def test_parked_events_are_chosen_by_key_error_type_and_offset(
    world: World, selection: dict[str, Any], chosen: list[int]
) -> None:
    park(world, "a", "b", "a", None, error_types=("ValueError", "KeyError"), ordering="none")
    listed = list_parked(world.store, "c", selection=Selection(**selection), most=100)
    assert sorted(event.offset for event in listed) == chosen
    assert redriven(world, **selection) == chosen
    assert offsets(world.hand_over()) == chosen
    assert world.rows("parked") == [offset for offset in (1, 2, 3, 4) if offset not in chosen]


def test_attempts_count_on_after_a_redrive_and_no_task_id_is_used_twice(world: World) -> None:
    world.client(max_attempts=2)
    world.publish(None)
    for _ in range(3):
        for _ in range(2):
            world.make_due()
            world.fail(*world.hand_over())
        assert redriven(world) == [1]
    ids = [delivery.task_id for delivery in world.sent]
    assert ids == ["c:1", "c:1:a2", "c:1:a3", "c:1:a4", "c:1:a5", "c:1:a6"]


def test_no_task_id_is_used_twice_after_seeks_replays_and_redrives_either(world: World) -> None:
    def fail_and_redrive() -> None:
        for _ in range(8):
            world.make_due()
            world.fail(*world.hand_over())
        redriven(world)
        world.fail(*world.hand_over())

    world.client(max_attempts=3)
    world.publish(None)
    fail_and_redrive()
    seek(world.store, "c", to=Position(offset=1), by=BY)
    redriven(world)
    world.succeed(*world.hand_over())
    world.client(max_attempts=2)
    replay(world.store, "c", start=Position(), end=Position(end=True), per_second=1000, by=BY)
    fail_and_redrive()
    seek(world.store, "c", to=Position(), by=BY)
    fail_and_redrive()
    ids = [delivery.task_id for delivery in world.sent]
    assert len(ids) > 10
    assert len(ids) == len(set(ids))


def test_g6_a_late_failure_of_an_attempt_before_the_redrive_does_not_touch_the_newer_one(world: World) -> None:
    park(world, None)
    old = world.sent[-1]
    redriven(world)
    [new] = world.hand_over()
    assert world.fail(old) == Settled(ignored=1)
    assert world.rows("deliveries", "attempt, earlier_attempts, state") == [(2, 1, "sent")]
    assert world.succeed(old).succeeded == 1, "a late success is one"
    assert world.succeed(new) == Settled(ignored=1)


def test_a_redriven_event_that_is_parked_again_kept_its_history(world: World) -> None:
    park(world, None)
    first_at = world.rows("parked", "first_at")
    redriven(world)
    world.make_due()
    world.hand_over()
    world.make_due()
    assert world.hand_over() == []
    assert world.rows("parked", "attempts, error_type, reason, first_at, redrive") == [
        (2, "ValueError", "never answered", first_at[0], False)
    ]


def test_a_redriven_event_that_waits_may_still_succeed_late(world: World) -> None:
    park(world, None)
    redriven(world)
    assert world.succeed(world.sent[-1]).succeeded == 1
    assert world.hand_over() == []


def test_what_is_redriven_to_a_client_that_takes_batches_goes_out_by_itself(world: World) -> None:
    park(world, None, None, batch=10)
    redriven(world)
    world.publish(None, None)
    out = world.hand_over()
    assert sorted(offsets(message) for _, message in pack(out[0].client, out)) == [[1], [2], [3, 4]]


def test_redriving_twice_hands_over_once(world: World) -> None:
    park(world, None)
    assert redriven(world) == [1]
    assert redriven(world) == []
    assert offsets(world.hand_over()) == [1]
    assert redriven(world) == []
    assert [action for action, _ in journal_of(world)] == ["redrive"]


def test_g5_a_redrive_of_many_stays_within_the_window(world: World) -> None:
    park(world, *[None] * 20, window=3)
    assert len(redriven(world)) == 20
    seen: list[int] = []
    while deliveries := world.hand_over() + world.hand_over() + world.hand_over():
        assert len(world.rows("deliveries")) <= 3
        world.succeed(*deliveries)
        seen += offsets(deliveries)
    assert seen == list(range(1, 21))


def test_a_redrive_of_many_leaves_room_for_what_is_new(world: World) -> None:
    park(world, *[None] * 20, window=4)
    redriven(world)
    world.publish(None, None)
    assert offsets(world.hand_over()) == [1, 2, 21, 22]


def test_a_redrive_wakes_the_pump_until_all_is_out_and_no_longer(world: World) -> None:
    park(world, None, None, None, window=2)
    assert clients_to_serve(world.store, horizon=3) == []
    redriven(world)
    while "c" in clients_to_serve(world.store, horizon=3):
        world.hand_over()
    assert world.rows("deliveries") == [1, 2]
    world.succeed(*world.sent[-2:])
    while "c" in clients_to_serve(world.store, horizon=3):
        world.hand_over()
    assert world.rows("deliveries") == [3]


def test_an_event_that_was_pruned_stays_parked(world: World) -> None:
    park(world, None, None)
    world.eyes.execute('ALTER TABLE fq.events DISABLE TRIGGER USER; DELETE FROM fq.events WHERE "offset" = 1')
    assert redriven(world) == [2]
    assert offsets(world.hand_over()) == [2]
    assert world.rows("parked", '"offset", redrive') == [(1, False)]


def test_a_paused_client_s_redrive_waits_until_it_is_resumed(world: World) -> None:
    park(world, None)
    pause(world.store, "c", reason="lunch", by=BY)
    redriven(world)
    assert world.one_pass() is None
    resume(world.store, "c", by=BY)
    assert offsets(world.hand_over()) == [1]


def test_old_parked_events_are_chosen_by_how_long_they_have_been_parked(world: World) -> None:
    park(world, "a", "b", "c")
    world.eyes.execute('UPDATE fq.parked SET parked_at = now() - make_interval(days => 30 * "offset"::integer)')
    assert redriven(world, older_seconds=75 * 86_400.0) == [3]
    assert discard(world.store, "c", Selection(older_seconds=45 * 86_400.0), by=BY) == [2, 3]
    assert world.rows("parked") == [1]
    assert journal_of(world)[-1][1]["asked"] == {"older_seconds": 45 * 86_400}
