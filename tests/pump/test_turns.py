"""Ticks that come too close together have piled up: one of them waits for work, the others end at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.collector.reader import TaskMessage, without_old_ticks
from bridge.contract import PUMP
from bridge.pump.loop import Pump
from bridge.store import rounds
from tests.support.world import World

TICK, READY_TICK, OTHER = TaskMessage(PUMP, ()), TaskMessage(PUMP, ("ready",)), TaskMessage("shop.mine", ())


def take(world: World, holder: str, *, seconds: float = 5, apart: float = 0.5, after: float = 0.5) -> bool:
    return rounds.take_turn(world.store, holder=holder, seconds=seconds, apart_seconds=apart, after_seconds=after)


def age(world: World, *, taken: float, ended: float) -> None:
    """Let the turn have been taken, and have ended, so many seconds ago; negative: it ends so much later."""
    world.eyes.execute(
        "UPDATE fq.turns SET taken_at = clock_timestamp() - make_interval(secs => %s),"
        " expires_at = clock_timestamp() - make_interval(secs => %s) WHERE name = 'linger'",
        [taken, ended],
    )


@pytest.mark.parametrize(
    ("taken", "ended", "takes"),
    [
        (0.0, -600, False),  # another tick has just begun
        (-1, -600, False),  # its transaction began a moment after this one's, and was quicker
        (300, -300, True),  # the usual: one lingers, the next one takes over
        (600, 1, False),  # no process was free for the next tick, and the turn ended only now
        (600, 300, True),
        (-3600, -3605, True),  # Postgres' clock was set back meanwhile
        (-3600, 300, True),
    ],
)
def test_g10_a_tick_that_is_close_behind_another_one_does_not_take_the_turn(
    world: World, taken: float, ended: float, takes: bool
) -> None:
    assert take(world, "first")
    age(world, taken=taken, ended=ended)
    assert take(world, "second", apart=60, after=60) is takes
    holder = world.eyes.execute("SELECT holder FROM fq.turns WHERE name = 'linger'").fetchone()
    assert holder == ("second" if takes else "first",)


@pytest.mark.parametrize(("taken", "ended", "more"), [(8, 3, True), (600, 3, False), (8, -3, False)])
def test_g10_ticks_that_have_piled_up_end_one_after_the_other_but_not_for_ever(
    world: World, taken: float, ended: float, more: bool
) -> None:
    assert take(world, "first")
    age(world, taken=taken, ended=ended)
    before = world.eyes.execute("SELECT expires_at FROM fq.turns WHERE name = 'linger'").fetchone()
    rounds.end_tick(world.store, most_seconds=300)
    after = world.eyes.execute("SELECT expires_at FROM fq.turns WHERE name = 'linger'").fetchone()
    assert before is not None and after is not None
    assert (after > before) is more, "the window of those behind begins anew"


def test_g10_a_turn_that_is_not_longer_than_the_interval_may_end_before_the_next_tick(world: World) -> None:
    assert take(world, "first")
    age(world, taken=600, ended=1)
    assert take(world, "second", apart=60, after=-1)


def test_g6_of_many_ticks_at_once_one_takes_the_turn(world: World) -> None:
    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(lambda number: take(world, f"tick {number}", apart=600), range(30)))
    assert taken.count(True) == 1


@pytest.fixture
def pump(database: str, redis_url: str) -> Iterator[Pump]:
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        # An interval so long that all ticks of a test are close together.
        app.conf.update(bridge_database_url=database, bridge_interval_seconds=600, bridge_linger_seconds=3600)
        bridge = Bridge(app)
        yield Pump(bridge)
        bridge.sender.close()
        bridge.store.close()


def test_g10_ticks_that_have_piled_up_hand_over_what_there_is_and_do_not_linger(world: World, pump: Pump) -> None:
    """If one of them lingered, this test would take an hour."""
    world.client()
    rounds.take_turn(world.store, holder="another", seconds=3600)
    for _ in range(3):
        world.publish("k")
        pump.tick()
    assert world.rows("deliveries") == [1]
    assert world.row()["dispatched"] == 3


@pytest.mark.parametrize("first", [False, True])
def test_the_first_tick_of_a_worker_takes_the_turn_of_one_that_may_have_died_a_moment_ago(
    world: World, database: str, redis_url: str, *, first: bool
) -> None:
    rounds.take_turn(world.store, holder="dead", seconds=3600)
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_interval_seconds=600, bridge_linger_seconds=0.1)
        bridge = Bridge(app)
        Pump(bridge).tick(first=first)
        bridge.sender.close()
        bridge.store.close()
    found = world.eyes.execute("SELECT holder FROM fq.turns WHERE name = 'linger'").fetchone()
    assert found is not None and (found[0] != "dead") is first


def test_g10_a_pump_at_work_says_so_and_what_time_it_thinks_it_is(world: World) -> None:
    def noted() -> tuple[str, float]:
        said = "SELECT holder, clock_ahead_seconds FROM fq.turns WHERE name = 'tick'"
        found = world.eyes.execute(said).fetchone()
        assert found is not None
        return found[0], round(found[1], -2)

    ((now,),) = world.eyes.execute("SELECT CAST(extract(epoch FROM now()) AS double precision)").fetchall()
    rounds.note_tick(world.store, host="right", clock=now)
    assert noted()[0] == "right"
    rounds.note_tick(world.store, host="wrong", clock=now - 3600)
    assert noted() == ("wrong", -3600)
    rounds.note_tick(world.store, host="right", clock=now)
    assert noted() == ("wrong", -3600), "the one that differs most stays"
    rounds.note_tick(world.store, host="wrong", clock=now)
    assert abs(noted()[1]) < 3600, "its clock was set"
    rounds.note_tick(world.store, host="wrong", clock=now - 3600)
    world.eyes.execute("UPDATE fq.turns SET taken_at = taken_at - interval '2 minutes' WHERE name = 'tick'")
    rounds.note_tick(world.store, host="right", clock=now)
    assert noted()[0] == "right", "and a host that is gone does not"


@pytest.mark.parametrize(
    ("calls", "kept"),
    [
        ([], []),
        ([TICK], [0]),
        ([TICK, TICK, TICK], [2]),
        ([TICK, OTHER, TICK, None], [1, 2, 3]),
        ([None, OTHER], [0, 1]),
        ([OTHER, TICK, TICK, OTHER], [0, 2, 3]),
        ([TICK, READY_TICK, TICK], [1]),
        ([READY_TICK, READY_TICK, TICK, OTHER], [1, 3]),
    ],
)
def test_g10_of_the_ticks_that_a_collector_finds_together_the_last_one_is_passed_on(
    calls: Sequence[TaskMessage | None], kept: list[int]
) -> None:
    assert [number for number, _ in without_old_ticks(list(enumerate(calls)))] == kept
