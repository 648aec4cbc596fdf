"""Parked events: redrive hands them over in their key's turn, discard gives them up, and who may be removed (G3-G7)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import UnknownClient, UsageError
from bridge.model import Delivery, Failure
from bridge.operate.lifecycle import pause, remove, resume
from bridge.operate.parked import discard, redrive
from bridge.settle.settle import Settled, settle
from bridge.store.parked import Selection, list_parked
from bridge.store.rounds import clients_to_serve
from tests.support.world import World, offsets, outcome

BY = "me@here"


def park(world: World, *keys: str | None, error_types: tuple[str, ...] = (), **settings: Any) -> None:
    """A client that has parked an event of each of these keys."""
    world.client(**{"max_attempts": 1} | settings)
    before = len(world.rows("parked"))
    world.publish(*keys)
    while deliveries := world.hand_over():
        for delivery in deliveries:
            types = error_types or ("ValueError",)
            fail(world, delivery, types[(delivery.offset - 1) % len(types)])
    assert len(world.rows("parked")) == before + len(keys)


def fail(world: World, delivery: Delivery, type: str) -> Settled:
    return settle(world.store, [outcome(delivery, failure=Failure(type=type, message="no"))])


def redriven(world: World, **selection: Any) -> list[int]:
    return redrive(world.store, "c", Selection(**selection), by=BY)


def journal(world: World) -> list[tuple[Any, ...]]:
    return world.eyes.execute("SELECT action, details FROM fq.journal ORDER BY id").fetchall()


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
    assert sorted(row["offset"] for row in listed) == chosen
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
    from bridge.model import Position
    from bridge.operate.replay import replay
    from bridge.operate.seek import seek

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
    from bridge.sender.parcels import pack

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
    assert [action for action, _ in journal(world)] == ["redrive"]


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


def test_g4_redriven_events_of_a_key_go_out_one_at_a_time_and_beside_nothing_of_their_key(world: World) -> None:
    park(world, "a", "a", "b")
    world.publish("a", "a")
    [live] = world.hand_over()
    assert live.offset == 4
    redriven(world)
    assert offsets(world.hand_over()) == [3], "the key a is busy"
    world.succeed(live)
    seen = []
    for _ in range(3):
        [delivery] = world.hand_over()
        assert world.hand_over() == []
        world.succeed(delivery)
        seen.append(delivery.offset)
    assert sorted(seen) == [1, 2, 5]
    assert seen.index(1) < seen.index(2)
    assert world.rows("lanes") == []
    assert world.cursor() == 5


def test_a_key_that_waits_for_a_redriven_event_lets_the_pump_sleep(world: World) -> None:
    park(world, "a")
    world.publish("a", "a")
    [live] = world.hand_over()
    redriven(world)
    world.succeed(live)
    assert offsets(world.hand_over()) == [1]
    assert world.rows("lanes", '"offset", ready') == [(3, False)]
    assert clients_to_serve(world.store, horizon=3) == []


def test_g7_a_held_key_waits_for_its_redriven_event(world: World) -> None:
    park(world, "a", on_exhausted="hold-key")
    world.publish("a", "b")
    [other] = world.hand_over()
    assert other.offset == 3
    redriven(world)
    [again] = world.hand_over()
    assert again.offset == 1
    world.publish("a")
    assert world.hand_over() == [], "the key is still blocked, now by the delivery"
    fail(world, again, "ValueError")
    assert world.hand_over() == []
    assert world.rows("parked", '"offset", held') == [(1, True)]
    redriven(world)
    world.succeed(*world.hand_over())
    assert offsets(world.hand_over()) == [2]


def test_g7_a_key_that_two_parked_events_hold_goes_on_after_both(world: World) -> None:
    park(world, "a", "a")
    world.eyes.execute("UPDATE fq.parked SET held = true")
    world.publish("a")
    assert world.hand_over() == []
    assert redriven(world, offsets=(2,)) == [2]
    assert world.hand_over() == [], "the older one holds the key"
    assert redriven(world, offsets=(1,)) == [1]
    [one] = world.hand_over()
    world.succeed(one)
    [two] = world.hand_over()
    assert (one.offset, two.offset) == (1, 2)
    world.succeed(two)
    assert offsets(world.hand_over()) == [3]


def test_g7_a_discarded_event_is_gone_and_frees_its_key(world: World) -> None:
    park(world, "a", None, on_exhausted="hold-key")
    world.publish("a", "a")
    assert world.hand_over() == []
    assert discard(world.store, "c", Selection(keys=("a",)), by=BY) == [1]
    assert world.rows("parked") == [2]
    assert world.rows("lanes", "ready") == [True]
    assert "c" in clients_to_serve(world.store, horizon=4)
    [next] = world.hand_over()
    assert next.offset == 3
    world.succeed(next)
    assert offsets(world.hand_over()) == [4]


def test_discarding_one_of_two_that_hold_a_key_frees_nothing(world: World) -> None:
    park(world, "a", "a")
    world.eyes.execute("UPDATE fq.parked SET held = true")
    world.publish("a")
    assert world.hand_over() == []
    discard(world.store, "c", Selection(offsets=(2,)), by=BY)
    assert world.hand_over() == []
    discard(world.store, "c", Selection(offsets=(1,)), by=BY)
    assert offsets(world.hand_over()) == [3]


def test_an_event_that_was_pruned_stays_parked(world: World) -> None:
    park(world, None, None)
    world.eyes.execute('DELETE FROM fq.events WHERE "offset" = 1')
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


def test_redrives_and_discards_are_in_the_journal(world: World) -> None:
    park(world, "a", "b")
    redriven(world, keys=("a",))
    discard(world.store, "c", Selection(), by=BY)
    assert journal(world) == [
        ("redrive", {"events": 1, "offsets": [1], "asked": {"keys": ["a"]}}),
        ("discard", {"events": 2, "offsets": [1, 2], "asked": "all"}),
    ]
    assert world.eyes.execute("SELECT DISTINCT by, client_id FROM fq.journal").fetchall() == [(BY, "c")]


def test_nothing_is_redriven_or_discarded_of_who_is_not_there(world: World) -> None:
    for act in (redrive, discard):
        with pytest.raises(UnknownClient):
            act(world.store, "nobody", Selection(), by=BY)
    with pytest.raises(UnknownClient):
        pause(world.store, "nobody", reason="", by=BY)
    with pytest.raises(UnknownClient):
        remove(world.store, "nobody", by=BY)


# Drain and remove ---------------------------------------------------------------------------------------------------


def test_draining_finishes_what_is_open_with_its_retries_and_then_pauses(world: World) -> None:
    world.client(backoff_seconds=0)
    world.publish("a", "a", None)
    one, three = world.hand_over()
    assert pause(world.store, "c", reason="deploy", by=BY, drain=True) == "draining"
    world.publish(None)
    world.fail(one)
    world.succeed(three)
    world.make_due()
    [again] = world.hand_over()
    assert (again.offset, world.row()["state"]) == (1, "draining")
    world.succeed(again)
    assert world.hand_over() == []
    row = world.row()
    assert (row["state"], row["state_reason"], row["state_by"]) == ("paused", "deploy", BY)
    assert [action for action, _ in journal(world)] == ["drain", "drained"]
    resume(world.store, "c", by=BY)
    assert offsets(world.hand_over()) == [2, 4]


def test_draining_a_client_with_nothing_open_pauses_it_at_once(world: World) -> None:
    world.client()
    assert pause(world.store, "c", reason="", by=BY, drain=True) == "paused"


def test_states_are_in_the_journal_and_so_is_a_halt(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="halt")
    world.publish(None)
    pause(world.store, "c", reason="lunch", by=BY)
    assert resume(world.store, "c", by=BY) == "paused"
    assert resume(world.store, "c", by=BY) == "active"
    fail(world, world.hand_over()[0], "ValueError")
    assert resume(world.store, "c", by=BY) == "halted"
    assert journal(world) == [
        ("pause", {"reason": "lunch"}),
        ("resume", {"reason": ""}),
        ("halt", {"reason": "event 1 failed 1 time"}),
        ("resume", {"reason": ""}),
    ]
    assert offsets(world.hand_over()) == [1], "the event that halted it goes out again"


def test_plain_sql_readers_are_not_paused(world: World) -> None:
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    with pytest.raises(UsageError, match="plain SQL reader"):
        pause(world.store, "reader", reason="", by=BY)
    assert remove(world.store, "reader", by=BY).offset == 1
    assert world.rows("clients") == []


def test_a_client_with_open_deliveries_is_removed_only_by_force(world: World) -> None:
    park(world, None)
    world.client("other")
    world.hand_over("other")
    world.publish("a", "a")
    world.hand_over()
    with pytest.raises(UsageError, match="has 1 open delivery"):
        remove(world.store, "c", by=BY)
    assert world.row()["state"] == "active"
    gone = remove(world.store, "c", by=BY, force=True)
    assert (gone.open, gone.parked) == (1, 1)
    assert world.rows("parked") == world.rows("lanes") == []
    assert world.rows("deliveries", "client_id") == ["other"], "nobody else is touched"
    [(action, details)] = journal(world)
    assert (action, details["open"], details["task"]) == ("remove", 1, "fleet.handle")


def test_g6_a_client_that_comes_back_under_its_id_is_not_settled_by_old_outcomes(world: World) -> None:
    world.client()
    world.publish(None)
    [old] = world.hand_over()
    remove(world.store, "c", by=BY, force=True)
    assert world.succeed(old) == Settled(ignored=1)
    world.client()
    [new] = world.hand_over()
    assert (old.task_id, new.task_id) == ("c:1", "c:1:e2")
    assert world.succeed(old) == Settled(ignored=1)
    assert world.cursor() == 0
    world.succeed(new)
    assert world.cursor() == 1
