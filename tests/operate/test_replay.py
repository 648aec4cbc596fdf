"""Replays: old events go to one client again, beside its cursor and in order (G3, G4, G6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.errors import UnknownClient, UsageError
from bridge.operate.replay import Replay, stop_replays
from tests.operate.replaying import finished, replays, start_replay
from tests.support.world import World, offsets


def test_old_events_go_out_again_as_an_epoch_of_their_own_and_the_cursor_stays(world: World) -> None:
    finished(world, None, None, None, None)
    assert start_replay(world, "2", "3") == Replay(1, 2, 2, 3, events=2, exact=True)
    out = world.hand_over()
    assert [(d.offset, d.epoch, d.attempt, d.task_id) for d in out] == [(2, 2, 1, "c:2:e2"), (3, 2, 1, "c:3:e2")]
    assert replays(world) == [], "nothing is left of it"
    before = (4, 4, 1)
    assert (world.cursor(), world.row()["dispatched"], world.row()["epoch"]) == before
    world.succeed(*out)
    assert (world.cursor(), world.row()["dispatched"], world.row()["epoch"]) == before
    assert world.hand_over() == []


def test_only_what_matches_both_the_client_and_the_replay_goes_out(world: World) -> None:
    world.client(topics=("order.#",))
    world.publish(None)
    world.publish(None, topic="order.deleted")
    world.publish(None, topic="other.created")
    world.succeed(*world.hand_over())
    assert start_replay(world, "beginning", "end", topics=("*.created",)).events == 1
    assert offsets(world.hand_over()) == [1]


def test_what_the_client_has_not_finished_is_not_replayed(world: World) -> None:
    world.client()
    world.publish(None, None, None)
    one, _, three = world.hand_over()
    world.succeed(one, three)
    assert start_replay(world, "beginning", "end").upto == 1
    assert offsets(world.hand_over()) == [1]
    with pytest.raises(UsageError, match="has not finished event 2: its cursor stands at 1"):
        start_replay(world, "2", "3")
    with pytest.raises(UsageError, match="nothing to replay: the range ends at 0"):
        start_replay(world, "1", "0")
    with pytest.raises(UnknownClient):
        start_replay(world, "1", "2", client="nobody")
    with pytest.raises(UsageError, match="must be above 0"):
        start_replay(world, "1", "1", per_second=0)
    world.eyes.execute("SELECT fq.commit('reader', 2)")
    with pytest.raises(UsageError, match="plain SQL reader"):
        start_replay(world, "1", "1", client="reader")


def test_g4_events_of_a_key_are_replayed_one_at_a_time_in_order(world: World) -> None:
    finished(world, "a", "b", "a", None, "b", "a")
    start_replay(world, "beginning", "end")
    seen: list[int] = []
    for _ in range(6):
        out = world.hand_over()
        keys = [key for delivery in out if (key := json.loads(delivery.body)["key"])]
        assert len(keys) == len(set(keys))
        assert world.hand_over() == [], "the next one waits"
        seen += offsets(out)
        world.succeed(*out)
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    assert [[o for o in seen if o in key] for key in ([1, 3, 6], [2, 5])] == [[1, 3, 6], [2, 5]]
    assert replays(world) == []


def test_g4_a_replayed_event_waits_for_a_live_one_of_its_key_and_the_live_one_goes_first(world: World) -> None:
    finished(world, "a", "b")
    world.publish("a", "a")
    [live] = world.hand_over()
    start_replay(world, "1", "2")
    [other] = world.hand_over()
    assert other.offset == 2, "event 1 has the key of what is out, and waits aside"
    world.succeed(live)
    [successor] = world.hand_over()
    assert successor.offset == 4
    assert world.hand_over() == []
    world.succeed(successor)
    assert offsets(world.hand_over()) == [1]


def test_g4_a_live_event_waits_for_a_replayed_one_of_its_key(world: World) -> None:
    finished(world, "a")
    start_replay(world, "1", "1")
    [old] = world.hand_over()
    world.publish("a", "b")
    assert offsets(world.hand_over()) == [3]
    assert world.cursor() == 1
    world.succeed(old)
    [waited] = world.hand_over()
    assert waited.offset == 2
    world.succeed(waited)
    assert world.cursor() == 2, "event 3 is out"


def test_an_event_that_is_open_is_never_delivered_twice_at_once(world: World) -> None:
    finished(world, None, None, ordering="none")
    start_replay(world, "1", "2")
    start_replay(world, "1", "2")
    first = world.hand_over()
    assert offsets(first) == [1, 2]
    assert world.hand_over() == []
    world.succeed(first[0])
    second = world.hand_over()
    assert [(d.offset, d.epoch) for d in second] == [(1, 3)]
    world.succeed(first[1])
    assert [(d.offset, d.epoch) for d in world.hand_over()] == [(2, 3)]


def test_parked_events_stay_parked(world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None, None)
    poison, good = world.hand_over()
    world.fail(poison)
    world.succeed(good)
    assert start_replay(world, "beginning", "end").events == 1
    assert offsets(world.hand_over()) == [2]
    assert world.rows("parked") == [1]


def test_a_replayed_event_that_fails_is_retried_and_parked_like_any_other(world: World) -> None:
    finished(world, None, max_attempts=2)
    start_replay(world, "1", "1")
    world.fail(*world.hand_over())
    world.make_due()
    [again] = world.hand_over()
    assert (again.epoch, again.attempt) == (2, 2)
    world.fail(again)
    assert world.rows("parked", '"offset", epoch, attempts') == [(1, 2, 2)]
    assert world.cursor() == 1


def test_strict_clients_get_replays_one_at_a_time_after_what_is_new(world: World) -> None:
    finished(world, None, None, ordering="strict")
    start_replay(world, "beginning", "end")
    world.publish(None)
    for offset in (3, 1, 2):
        [delivery] = world.hand_over()
        assert delivery.offset == offset
        assert world.hand_over() == []
        world.succeed(delivery)


def test_a_replay_waits_while_the_client_is_paused_or_draining(world: World) -> None:
    from bridge.operate.lifecycle import pause, resume

    finished(world, None, None, window=1)
    start_replay(world, "beginning", "end")
    [out] = world.hand_over()
    assert pause(world.store, "c", reason="", by="me@here", drain=True) == "draining"
    assert world.hand_over() == []
    world.succeed(out)
    assert world.hand_over() == []
    assert world.row()["state"] == "paused"
    resume(world.store, "c", by="me@here")
    assert offsets(world.hand_over()) == [2]


def test_a_replay_that_is_stopped_hands_over_nothing_more(world: World) -> None:
    finished(world, *[None] * 5, window=2)
    start_replay(world, "beginning", "end")
    out = world.hand_over()
    assert [tuple(it) for it in stop_replays(world.store, "c", by="me@here")] == [(3, 5, 2)]
    world.succeed(*out)
    assert world.hand_over() == []
    actions = [
        action
        for (action,) in world.eyes.execute("SELECT action FROM fq.journal WHERE action <> 'register' ORDER BY id")
    ]
    assert actions == ["replay", "stop replay"]


def test_g1_a_replay_whose_pass_the_broker_refuses_goes_out_again(world: World) -> None:
    from bridge.errors import BrokerUnavailable

    def refuse(*_: Any) -> None:
        raise BrokerUnavailable("the broker is away")

    finished(world, None)
    start_replay(world, "1", "1")
    with pytest.raises(BrokerUnavailable):
        world.one_pass(send=refuse)
    assert offsets(world.hand_over()) == [1]
