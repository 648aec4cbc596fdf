"""Old events that nobody needs are removed; G1: what somebody still needs stays, and whoever it is, is named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.errors import UsageError
from bridge.model import Position
from bridge.operate.lifecycle import pause
from bridge.operate.parked import choose, redrive
from bridge.operate.replay import replay
from bridge.retention import prune as module
from bridge.retention.prune import FreeRange, Pruned, prune
from tests.support.pruning import age, days_ago, left
from tests.support.world import World

BY = "me@here"
MONTH = 30.0


def pruned(world: World, *, days: float | None = MONTH, keep: int | None = None, **other: Any) -> Pruned:
    return prune(world.store, before=None if days is None else days_ago(days), keep=keep, **other)


def finish(world: World, client: str = "c", **settings: Any) -> None:
    """Let a client finish all events."""
    world.client(client, **{"ordering": "none"} | settings)
    world.succeed(*world.hand_over(client))


def test_what_is_old_and_finished_is_removed_and_what_is_young_stays(world: World) -> None:
    world.publish(*[None] * 6)
    finish(world)
    age(world, 1, 2, 3, 5)
    tried = pruned(world, dry_run=True)
    assert (tried.events, tried.first, tried.last, tried.removed) == (4, 1, 5, False)
    assert len(left(world)) == 6
    done = pruned(world)
    assert (done.events, done.exact, done.held_by, left(world)) == (4, True, [], [4, 6])
    assert world.eyes.execute("SELECT pruned FROM fq.log").fetchone() == (5,)


def test_so_many_of_the_newest_stay_however_old(world: World) -> None:
    world.publish(*[None] * 5)
    age(world)
    assert pruned(world, keep=2).events == 3
    assert pruned(world, days=None, keep=1).events == 1
    assert left(world) == [5]
    with pytest.raises(UsageError, match="say what is to be removed"):
        pruned(world, days=None)


def test_g10_events_that_say_a_time_to_come_end_nobodys_pruning_and_hide_nobody_who_holds_the_log(
    world: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "BATCH_EVENTS", 2)  # whole batches are of the future
    world.publish(*[None] * 3)
    world.eyes.execute(
        "INSERT INTO fq.events (topic, created_at) SELECT 'order.created', now() + '1 year' FROM generate_series(1, 5)"
    )
    world.publish(*[None] * 4)
    finish(world)
    age(world, 1, 2, 3, 9, 10, 11)
    world.client("slow", start="5")
    done = pruned(world)
    assert (done.events, [(h.name, h.first) for h in done.held_by]) == (3, [("slow", 6)])
    world.eyes.execute("DELETE FROM fq.clients WHERE id = 'slow'")
    assert pruned(world).events == 3
    assert left(world) == [4, 5, 6, 7, 8, 12], "what says a time to come stays until that is long ago"


def test_g1_a_client_that_has_not_finished_holds_the_log_and_is_named_with_its_state(world: World) -> None:
    world.publish(*[None] * 4)
    finish(world)
    world.client("slow", start="2")
    pause(world.store, "slow", reason="lunch", by=BY)
    world.eyes.execute("SELECT fq.commit('reader', 3)")
    age(world)
    done = pruned(world)
    assert left(world) == [3, 4]
    assert [(h.kind, h.name, h.first, h.state, h.state_reason) for h in done.held_by] == [
        ("client", "slow", 3, "paused", "lunch"),
        ("client", "reader", 4, "reader", None),
    ]
    assert done.held_by[0].state_at and done.held_by[0].event_at < days_ago(MONTH)


def test_g1_g7_what_is_parked_or_in_a_replay_stays_and_a_redrive_finds_it(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BATCH_EVENTS", 2)  # whole batches are parked
    world.publish(*[None] * 9)
    world.client("c", ordering="none", max_attempts=1)
    deliveries = world.hand_over()
    world.fail(*deliveries[2:6])
    world.succeed(*deliveries[:2], *deliveries[6:])
    age(world)
    replay(world.store, "c", start=Position.parse("8"), end=Position.parse("8"), per_second=1, by=BY)
    done = pruned(world)
    assert left(world) == [3, 4, 5, 6, 8, 9]
    assert [(h.kind, h.name, h.first) for h in done.held_by] == [("replay", "c", 8)]
    redrive(world.store, "c", choose("c", everything=True), by=BY)
    handed = world.hand_over()
    assert {d.offset for d in handed} >= {3, 4, 5, 6}
    assert pruned(world).last == 9  # the others are open now
    assert left(world) == [3, 4, 5, 6, 8]
    world.succeed(*handed, *world.hand_over())
    assert (pruned(world).events, left(world)) == (5, [])


def test_g1_what_waits_in_a_lane_stays(world: World) -> None:
    world.publish("a", "a", "b")
    world.client("c", ordering="key")
    first, other = world.hand_over()
    world.succeed(other)
    age(world)
    assert pruned(world).events == 0
    world.succeed(first)
    assert (pruned(world).events, left(world)) == (1, [2, 3])
    world.succeed(*world.hand_over())
    assert pruned(world).events == 2


def test_a_range_goes_to_the_archive_before_it_is_removed_and_stays_if_that_fails(world: World) -> None:
    world.publish(*[None] * 5)
    age(world)
    seen: list[FreeRange] = []

    def first(found: FreeRange) -> None:
        seen.append(found)
        assert left(world) == [1, 2, 3, 4, 5]

    def failing(found: FreeRange) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        pruned(world, first=failing)
    assert pruned(world, first=first).events == 5
    assert seen == [FreeRange(1, 5, [1, 2, 3, 4, 5])]


def test_g2_pruning_neither_holds_the_horizon_nor_waits_for_writers(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "ARCHIVED_EVENTS", 2)
    world.publish(*[None] * 6)
    age(world)
    horizons: list[Any] = []

    def first(found: FreeRange) -> None:
        world.publish(None)
        horizons.append(world.eyes.execute("SELECT fq.advance_horizon() = fq.last_drawn()").fetchone())

    assert pruned(world, first=first).events == 6
    assert horizons == [(True,)] * 3
    assert left(world) == [7, 8, 9]


def test_a_run_that_is_bounded_in_time_goes_on_with_the_next_one(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BATCH_EVENTS", 2)
    world.publish(*[None] * 6)
    age(world)
    done = pruned(world, seconds=0)
    assert (done.events, done.exact) == (2, False)
    assert (pruned(world).events, left(world)) == (4, [])


def test_g10_two_that_prune_at_once_remove_each_event_once_and_neither_fails(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "BATCH_EVENTS", 7)
    monkeypatch.setattr(module, "PAUSES", 0.0)
    world.publish(*[None] * 700)
    age(world)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: pruned(world), range(4)))
    assert sum(it.events for it in done) == 700
    assert left(world) == []
