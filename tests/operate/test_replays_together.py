"""Replays go on beside what is open, and beside each other (G4, G10: nothing waits for its neighbour)."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from bridge.model import Delivery
from bridge.operate.replay import stop_replays
from tests.operate.replaying import finished, later, replays, start_replay
from tests.support.world import World, offsets


def key_of(delivery: Delivery) -> str | None:
    """Return the key of an event that was handed over."""
    key: str | None = json.loads(delivery.body)["key"]
    return key


def aside(world: World) -> list[tuple[object, ...]]:
    """Return what waits aside: offset, key, and whether it stands for the rest of its key."""
    return world.eyes.execute('SELECT "offset", key, lane FROM fq.aside ORDER BY replay_id, "offset"').fetchall()


def test_g10_a_replay_goes_on_with_other_keys_where_one_is_busy(world: World) -> None:
    finished(world, *["a", "b", "a", "c", "a"])
    world.publish("a")
    [live] = world.hand_over()
    start_replay(world, "beginning", "end")
    out = world.hand_over()
    assert offsets(out) == [2, 4]
    assert aside(world) == [(1, "a", True)]
    world.succeed(*out)
    assert world.hand_over() == []
    world.succeed(live)
    for offset in (1, 3, 5):
        [one] = world.hand_over()
        assert one.offset == offset
        assert world.hand_over() == []
        world.succeed(one)
    assert (replays(world), aside(world)) == ([], [])


def test_g10_several_replays_go_side_by_side_and_never_with_a_key_twice(world: World) -> None:
    finished(world, *"aabbcc")
    for _ in range(3):
        start_replay(world, "beginning", "end")
    seen = Counter[tuple[int, int]]()
    order: dict[tuple[int, str | None], list[int]] = {}
    out: list[Delivery] = []
    rng = random.Random(7)
    while out := out + world.hand_over():
        keys = [key_of(it) for it in out]
        assert len(keys) == len(set(keys))
        done = out.pop(rng.randrange(len(out)))
        seen[done.epoch, done.offset] += 1
        order.setdefault((done.epoch, key_of(done)), []).append(done.offset)
        world.succeed(done)
    assert seen == {(epoch, offset): 1 for epoch in (2, 3, 4) for offset in range(1, 7)}
    assert all(each == sorted(each) for each in order.values())
    assert replays(world) == []


def test_g10_replays_take_turns_where_there_is_room_for_one_only(world: World) -> None:
    finished(world, *[None] * 12, window=1)
    for range_ in (("1", "6"), ("7", "12")):
        start_replay(world, *range_)
    epochs = []
    while out := world.hand_over():
        epochs += [it.epoch for it in out]
        world.succeed(*out)
    assert Counter(epochs[:6]) == {2: 3, 3: 3}
    assert Counter(epochs) == {2: 6, 3: 6}


def test_g10_a_slow_replay_holds_up_no_other_one_of_the_same_keys(world: World) -> None:
    finished(world, *"aaaa")
    start_replay(world, "beginning", "end", per_second=0.001)
    start_replay(world, "beginning", "end")
    seen: list[tuple[int, int]] = []
    while out := world.hand_over():
        seen += [(it.epoch, it.offset) for it in out]
        world.succeed(*out)
    assert [offset for epoch, offset in seen if epoch == 3] == [1, 2, 3, 4]
    assert [offset for epoch, offset in seen if epoch == 2] == [1]


def test_g10_what_is_set_aside_is_bounded_and_beyond_that_the_replay_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.handover.ASIDE_EVENTS", 2)
    finished(world, *"abcd")
    world.publish(*"abc")
    live = world.hand_over()
    start_replay(world, "beginning", "end")
    assert world.hand_over() == [], "two wait aside, the replay waits with the third"
    assert aside(world) == [(1, "a", True), (2, "b", True)]
    assert [row[0] for row in replays(world)] == [3]
    world.succeed(*live)
    handled = []
    while out := world.hand_over():
        handled += offsets(out)
        world.succeed(*out)
    assert sorted(handled) == [1, 2, 3, 4]
    assert replays(world) == []


def test_g10_a_rate_holds_for_what_waited_aside_too(world: World) -> None:
    finished(world, *"aaaa")
    start_replay(world, "beginning", "end", per_second=0.01)
    for nth in range(4):
        [one] = world.hand_over()
        assert one.offset == nth + 1
        world.succeed(one)
        assert world.hand_over() == []
        later(world, seconds=100)
    assert replays(world) == []


@pytest.mark.parametrize("gone", ["deleted", "parked"])
def test_g10_what_waits_aside_and_is_parked_or_deleted_meanwhile_holds_nobody_up(world: World, gone: str) -> None:
    finished(world, *"aab", None)
    world.publish("a", None)
    live, _ = world.hand_over()
    start_replay(world, "beginning", "end")
    world.succeed(*world.hand_over())
    assert aside(world) == [(1, "a", True)]
    if gone == "deleted":
        world.eyes.execute('ALTER TABLE fq.events DISABLE TRIGGER USER; DELETE FROM fq.events WHERE "offset" = 1')
    else:
        world.eyes.execute(
            """INSERT INTO fq.parked (client_id, "offset", epoch, key, attempt, attempts, reason, first_at)
               VALUES ('c', 1, 1, 'a', 1, 1, 'a test', now())"""
        )
    world.succeed(live)
    [second] = world.hand_over()
    assert second.offset == 2
    world.succeed(second)
    assert world.hand_over() == []
    assert replays(world) == []


@pytest.mark.parametrize("before", ["key", "none"])
def test_g10_a_change_of_ordering_loses_nothing_of_a_replay(world: World, before: str) -> None:
    after = "none" if before == "key" else "key"
    finished(world, *"aaabbb", ordering=before)
    for _ in range(2):
        start_replay(world, "beginning", "end")
    seen = Counter[int]()
    first = world.hand_over()
    world.client(ordering=after)
    out = first + world.hand_over()
    while out:
        seen.update(offsets(out))
        world.succeed(*out)
        out = world.hand_over()
    assert all(seen[offset] >= 2 for offset in range(1, 7)), "each replay, each event"
    assert replays(world) == []


def test_g10_stopping_replays_and_seeking_forget_what_waits_aside(world: World) -> None:
    finished(world, *"aaa")
    start_replay(world, "beginning", "end")
    world.succeed(*world.hand_over())
    assert aside(world) != []
    stop_replays(world.store, "c", by="me")
    assert (world.hand_over(), aside(world)) == ([], [])
    start_replay(world, "beginning", "end")
    world.hand_over()
    world.eyes.execute("DELETE FROM fq.clients")
    assert aside(world) == []
