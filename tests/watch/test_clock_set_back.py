"""When Postgres' clock is set back, what the dead have noted before holds up nobody until that time comes again."""

from __future__ import annotations

from bridge.store.losses import COLLECTOR_HOLDS_SECONDS, note_collector, settled_until, take_watch
from bridge.watch.step import TURN_SECONDS
from tests.support.world import World


def take(world: World, holder: str) -> bool:
    return take_watch(world.store, bridge="bridge", holder=holder, seconds=TURN_SECONDS)


def note(world: World, name: str) -> None:
    most = COLLECTOR_HOLDS_SECONDS
    note_collector(world.store, bridge="bridge", name=name, holder="here", seconds=0, most_seconds=most)


def set_clock_back(world: World) -> None:
    """Let all that was noted up to now have been noted by a clock that was an hour ahead."""
    world.eyes.execute(
        "UPDATE fq.turns SET taken_at = taken_at + interval '1 hour', expires_at = expires_at + interval '1 hour'"
        " WHERE name <> 'pass_over'"
    )


def test_g10_the_turn_to_look_of_a_worker_that_died_is_free_though_the_clock_was_set_back(world: World) -> None:
    assert take(world, "dead")
    assert not take(world, "next"), "nobody knows yet that it is dead"
    set_clock_back(world)
    assert take(world, "next")
    assert not take(world, "third")


def test_g10_a_collector_that_died_is_forgotten_though_the_clock_was_set_back(world: World) -> None:
    note(world, "dead")
    note(world, "alive")
    before = settled_until(world.store, bridge="bridge")
    assert before.settled is not None and before.settled < before.now
    set_clock_back(world)
    note(world, "alive")
    after = settled_until(world.store, bridge="bridge")
    assert after.settled is not None and after.settled < after.now, "only what the living one says counts"
    names = world.eyes.execute("SELECT name FROM fq.turns WHERE starts_with(name, 'collector ')").fetchall()
    assert names == [("collector alive",)]
