"""Recalled deliveries go out again at once, no attempt is counted, and lost attempts change nothing (G1, G4, G6)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import Position
from bridge.operate.lifecycle import pause, resume
from bridge.operate.replay import replay
from bridge.operate.seek import seek
from bridge.sender.parcels import pack
from bridge.store.recall import Recalled, recall_all, recall_open
from tests.conftest import Connect
from tests.operate.parking import BY, journal_of, park, redriven
from tests.support.world import World, offsets


def recalled(world: World, **chosen: Any) -> Recalled:
    with world.store.transaction() as connection:
        return recall_open(connection, "c", by=BY, reason="purged", **chosen)


def test_g1_what_is_open_goes_out_again_as_a_new_attempt_that_is_not_counted(world: World) -> None:
    world.client(max_attempts=1)
    world.publish("a", None)
    lost = world.hand_over()
    assert world.hand_over() == []
    done = recalled(world)
    assert (done.offsets, done.finished, done.task_ids) == ([1, 2], [], ["c:1", "c:2"])
    again = world.hand_over()
    assert [it.task_id for it in again] == ["c:1:a2", "c:2:a2"]
    world.fail(*lost)
    assert world.rows("deliveries", "state") == ["sent", "sent"], "late failures of lost attempts change nothing"
    world.fail(again[0])
    assert world.rows("parked", '"offset", reason') == [(1, "failed 1 time")], "the lost attempt was no attempt"
    world.succeed(lost[1])
    assert world.cursor() == 2, "a late success of a lost attempt finishes the event"


def test_g6_between_a_recall_and_the_next_pass_late_outcomes_count_as_they_do_after_it(world: World) -> None:
    world.client()
    world.publish(None, None)
    one, two = world.hand_over()
    recalled(world)
    world.fail(one)
    world.succeed(two)
    assert world.rows("deliveries", '"offset", state') == [(1, "retrying")]
    assert [it.task_id for it in world.hand_over()] == ["c:1:a2"]


@pytest.mark.parametrize(
    ("chosen", "again"),
    [({"keys": ["a"]}, [1]), ({"offsets": [3, 9]}, [3]), ({"keys": ["a"], "offsets": [3]}, []), ({}, [1, 3, 4])],
)
def test_g4_a_recall_takes_what_fits_and_each_key_stays_in_order(
    world: World, chosen: dict[str, Any], again: list[int]
) -> None:
    world.client()
    world.publish("a", "a", "b", None)
    lost = world.hand_over()
    assert offsets(lost) == [1, 3, 4]
    assert recalled(world, **chosen).offsets == again
    assert offsets(world.hand_over()) == again, "2 waits for 1, whose message was lost"
    world.succeed(*world.sent)
    assert offsets(world.hand_over()) == [2]


def test_g6_many_recalls_use_no_task_id_twice(world: World) -> None:
    world.client()
    world.publish(None)
    for _ in range(4):
        world.hand_over()
        recalled(world)
    recalled(world)
    assert [it.task_id for it in world.sent] == ["c:1", "c:1:a2", "c:1:a3", "c:1:a4"]
    assert world.rows("deliveries", "attempt, earlier_attempts") == [(4, 4)], "what waits already is not recalled"


def test_g4_a_strict_client_and_a_full_window_get_what_was_recalled_first(world: World) -> None:
    world.client(ordering="strict")
    world.publish(None, None)
    world.hand_over()
    recalled(world)
    assert offsets(world.hand_over()) == [1]
    world.client("full", window=2, ordering="none")
    world.hand_over("full")
    with world.store.transaction() as connection:
        recall_open(connection, "full", by=BY, reason="purged")
    assert [it.task_id for it in world.hand_over("full")] == ["full:1:a2", "full:2:a2"]


@pytest.mark.parametrize("batch_as", ["list", "calls"])
def test_g1_a_batch_comes_again_as_a_batch_and_its_halves_as_halves(world: World, batch_as: str) -> None:
    world.client(batch=4, batch_as=batch_as, ordering="none", call="event", max_attempts=1)
    world.publish(None, None, None, None)
    world.hand_over()
    recalled(world)
    again = world.hand_over()
    assert [offsets(parcel) for _, parcel in pack(again[0].client, again)] == [[1, 2, 3, 4]]
    assert world.succeed(*[it for it in again if it.offset == 4]).succeeded == 1
    world.fail(*again[:3], batch_offsets=(1, 2, 3))
    world.hand_over()
    recalled(world)
    halves = world.hand_over()
    assert [offsets(parcel) for _, parcel in pack(halves[0].client, halves)] == [[1, 2], [3]]


def test_g1_a_part_of_a_batch_can_be_recalled_and_the_rest_still_reports(world: World) -> None:
    world.client(batch=3, ordering="none")
    world.publish(None, None, None)
    lost = world.hand_over()
    assert recalled(world, offsets=[2]).offsets == [2]
    assert offsets(world.hand_over()) == [2]
    world.fail(*lost, batch_offsets=(1, 2, 3))
    assert world.rows("deliveries", '"offset", state') == [(1, "retrying"), (2, "sent"), (3, "retrying")]


def test_what_a_handlers_transaction_has_done_is_finished_by_the_next_pass_and_not_sent_again(world: World) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    world.eyes.execute("UPDATE fq.deliveries SET state = 'done'")
    assert recalled(world).finished == [1]
    assert world.hand_over() == []
    assert world.cursor() == 1


def test_what_a_handler_has_in_its_transaction_is_not_lost(world: World, connect: Connect) -> None:
    world.client(ordering="none")
    world.publish(None, None)
    world.hand_over()
    with connect(autocommit=False) as handler:
        handler.execute("""SELECT state FROM fq.deliveries WHERE "offset" = 1 FOR UPDATE""")
        assert recalled(world).offsets == [2]
        handler.execute("""UPDATE fq.deliveries SET state = 'done' WHERE "offset" = 1""")
    assert offsets(world.hand_over()) == [2]


def test_a_paused_clients_events_go_out_again_when_it_is_resumed_and_a_draining_ones_at_once(world: World) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    pause(world.store, "c", reason="", by=BY)
    recalled(world)
    assert world.hand_over() == []
    resume(world.store, "c", by=BY)
    pause(world.store, "c", reason="", by=BY, drain=True)
    [again] = world.hand_over()
    recalled(world)
    [third] = world.hand_over()
    world.succeed(third)
    assert (again.attempt, world.cursor()) == (2, 1)


def test_replayed_and_redriven_events_are_recalled_and_a_seek_parks_only_the_redriven_ones(world: World) -> None:
    park(world, "a")
    world.publish("b")
    world.succeed(*world.hand_over())
    replay(world.store, "c", start=Position(offset=2), end=Position(end=True), per_second=1000, by=BY)
    redriven(world, offsets=(1,))
    assert offsets(world.hand_over()) == [1, 2]
    assert recalled(world).offsets == [1, 2]
    assert offsets(world.hand_over()) == [1, 2]
    assert world.cursor() == 2
    seek(world.store, "c", to=Position(offset=2), by=BY)
    assert world.rows("parked") == [1]


def test_all_clients_are_recalled_each_by_itself_and_one_that_is_held_can_follow(
    world: World, connect: Connect
) -> None:
    for id in ("a", "b", "idle"):
        world.client(id)
    world.publish(None)
    lost = [it for id in ("a", "b") for it in world.hand_over(id)]
    with connect(autocommit=False) as psql:
        psql.execute("SELECT FROM fq.clients WHERE id = 'a' FOR UPDATE")
        done, held = recall_all(world.store, reason="the broker lost its messages", lock_seconds=0.05)
        assert ([it.client for it in done], held) == (["b"], ["a"])
    [until] = world.eyes.execute("SELECT min(sent_at) FROM fq.deliveries").fetchone() or [None]
    world.hand_over("b")
    done, held = recall_all(world.store, sent_until=until, reason="the broker lost its messages")
    assert ([it.client for it in done], held) == (["a"], []), "what went out anew is not lost"
    world.hand_over("a")
    world.succeed(*lost)
    assert world.rows("deliveries") == []
    assert [action for action, _ in journal_of(world)] == ["recall", "recall"]
    assert recall_all(world.store, reason="nothing is open") == ([], [])


def test_the_journal_says_what_was_recalled_and_why(world: World) -> None:
    world.client()
    world.publish(None, None)
    world.hand_over()
    recalled(world, offsets=[2])
    recalled(world, offsets=[2])
    assert journal_of(world) == [("recall", {"events": 1, "offsets": [2], "finished": [], "reason": "purged"})]
