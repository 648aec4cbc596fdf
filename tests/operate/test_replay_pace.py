"""How fast a replay goes: within its rate and the window, beside what is new (G5)."""

from __future__ import annotations

import pytest

from bridge.model import Delivery
from bridge.store.rounds import clients_to_serve
from tests.operate.replaying import finished, later, replays, start_replay
from tests.support.world import World, offsets


def test_a_replay_is_no_faster_than_its_rate(world: World) -> None:
    finished(world, *[None] * 12)
    start_replay(world, "beginning", "end", per_second=0.01)
    assert len(world.hand_over()) == 1
    assert world.hand_over() == []
    later(world, seconds=100)
    assert len(world.hand_over()) == 1
    later(world, seconds=50)
    assert world.hand_over() == []
    later(world, seconds=50)
    assert len(world.hand_over()) == 1


def test_a_replay_does_not_make_up_for_a_standstill_in_a_burst(world: World) -> None:
    finished(world, *[None] * 100)
    start_replay(world, "beginning", "end", per_second=3)
    later(world, seconds=3600)
    assert len(world.hand_over()) == 3, "one second's worth"
    began = world.eyes.execute("SELECT now() - started_at < interval '10 minutes' FROM fq.replays").fetchone()
    assert began == (True,), "and from there it counts on"


def test_a_rate_below_one_a_second_begins_at_once_and_wakes_the_pump_in_time(world: World) -> None:
    finished(world, None, None)
    start_replay(world, "beginning", "end", per_second=0.001)
    assert "c" in clients_to_serve(world.store, horizon=2)
    assert len(world.hand_over()) == 1
    assert "c" not in clients_to_serve(world.store, horizon=2)
    waits = world.eyes.execute("SELECT extract(epoch FROM c.wake_at - r.started_at) FROM fq.clients c, fq.replays r")
    assert 999 < waits.fetchone()[0] < 1001  # type: ignore[index]


def test_a_pass_for_live_events_does_not_put_a_replay_to_sleep(world: World) -> None:
    finished(world, None, None)
    start_replay(world, "beginning", "end", per_second=0.001)
    world.hand_over()
    world.publish(None)
    live = world.hand_over()
    assert offsets(live) == [3]
    assert world.row()["wake_at"] is not None
    waits = world.eyes.execute("SELECT extract(epoch FROM c.wake_at - r.started_at) FROM fq.clients c, fq.replays r")
    assert 999 < waits.fetchone()[0] < 1001  # type: ignore[index]


@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_g5_a_replay_stays_within_the_window_and_leaves_half_of_it_to_the_log(world: World, window: int) -> None:
    finished(world, *[None] * 40, window=window)
    start_replay(world, "beginning", "end")
    world.publish(*[None] * 40)
    out: list[Delivery] = []
    seen: list[int] = []
    for _ in range(30):
        out += world.hand_over()
        assert len(world.rows("deliveries")) <= window
        world.succeed(oldest := out.pop(0))
        seen.append(oldest.offset)
    old, new = [o for o in seen if o <= 40], [o for o in seen if o > 40]
    assert old == sorted(old) and new == sorted(new)
    assert len(new) >= 14, "live events get their half"
    if window > 1:
        assert len(old) >= 10
    while out := out + world.hand_over():
        world.succeed(*out)
        seen += offsets(out)
        out = []
    assert sorted(seen) == list(range(1, 81))
    assert world.cursor() == 80


def test_a_replay_gets_the_whole_window_when_nothing_else_is_there(world: World) -> None:
    finished(world, *[None] * 10, window=4)
    start_replay(world, "beginning", "end")
    assert len(world.hand_over()) == 4


def test_a_long_range_with_rare_topics_is_looked_through_in_slices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.pump.taking.LONGEST_REPLAY_LOOK_EVENTS", 7)
    world.client(topics=("rare",))
    world.publish(*[None] * 20)
    world.publish(None, topic="rare")
    world.publish(*[None] * 20)
    world.succeed(*world.hand_over())
    start_replay(world, "beginning", "end")
    passes = 0
    while replays(world):
        assert "c" in clients_to_serve(world.store, horizon=41)
        world.hand_over()
        passes += 1
    assert offsets(world.sent) == [21, 21]
    assert passes >= 3


def test_g10_a_replay_goes_on_when_the_server_s_clock_was_set_back(world: World) -> None:
    finished(world, *[None] * 12)
    start_replay(world, "beginning", "end", per_second=2)
    assert len(world.hand_over()) == 1
    later(world, seconds=-3600)  # the clock was set back by an hour
    assert len(world.hand_over()) == 2, "one second's worth"
    assert world.hand_over() == [], "and the new time counts"
    later(world, seconds=1)
    assert len(world.hand_over()) == 2
