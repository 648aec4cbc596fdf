"""What waits aside for a replay, after a change of `ordering`: keys in order, no pass fails, nothing is left out."""

from __future__ import annotations

from itertools import chain

import pytest

from bridge.model import Delivery
from tests.operate.replaying import finished, replays, start_replay
from tests.support.world import World, offsets


def handled(world: World) -> list[list[int]]:
    """Let everything succeed that is handed over, pass by pass; return the offsets of each pass."""
    passes = []
    while out := world.hand_over():
        passes.append(offsets(out))
        world.succeed(*out)
    return passes


def aside_by_itself(world: World, keys: str) -> list[Delivery]:
    """Let each event of these keys wait aside by itself, because another replay has it out; return what is out."""
    finished(world, *keys, ordering="none")
    start_replay(world, "beginning", "end")
    out = world.hand_over()
    start_replay(world, "beginning", "end")
    assert world.hand_over() == []
    return out


def test_g4_events_of_a_key_that_were_set_aside_without_an_order_go_out_one_at_a_time(world: World) -> None:
    out = aside_by_itself(world, "aaab")
    world.client(ordering="key")
    world.succeed(*out)
    assert handled(world) == [[1, 4], [2], [3]]
    assert replays(world) == []


def test_g10_an_event_that_waits_by_itself_and_in_a_lane_of_another_replay_goes_out_for_each(world: World) -> None:
    out = aside_by_itself(world, "aa")
    world.client(ordering="key")
    start_replay(world, "beginning", "end")
    assert world.hand_over() == []
    world.succeed(*out)
    passes = handled(world)
    assert all(len(each) == 1 for each in passes)
    assert sorted(chain(*passes)) == [1, 1, 2, 2]
    assert replays(world) == []


@pytest.mark.parametrize("ends_by", ["success", "failure"])
def test_g10_a_lane_whose_next_event_is_open_already_waits_and_no_pass_fails(world: World, ends_by: str) -> None:
    finished(world, *"aa", max_attempts=1)
    start_replay(world, "beginning", "end")
    first = world.hand_over()
    assert offsets(first) == [1]
    start_replay(world, "beginning", "end")
    assert world.hand_over() == []
    world.client(ordering="none")
    second = world.hand_over()
    assert offsets(second) == [2], "of the first replay"
    world.fail(*first)
    assert world.rows("parked") == [1], "so what comes next in the lane of the other replay is 2, and that is open"
    assert world.hand_over() == []
    if ends_by == "failure":
        world.client(max_attempts=5, backoff_seconds=0)
        world.fail(*second)
        second = world.hand_over()
        assert [(it.offset, it.attempt) for it in second] == [(2, 2)]
    world.succeed(*second)
    assert handled(world) == [[2]]
    assert replays(world) == []


def test_g10_an_event_that_waits_by_itself_does_not_end_the_lane_that_has_come_to_it(world: World) -> None:
    finished(world, *"aaaa", ordering="none")
    start_replay(world, "3", "3")
    [third] = world.hand_over()
    start_replay(world, "1", "3")
    out = world.hand_over()
    assert offsets(out) == [1, 2], "and 3 waits aside by itself"
    world.eyes.execute(
        """INSERT INTO fq.aside (client_id, replay_id, "offset", key, lane)
           SELECT client_id, id, 3, 'a', true FROM fq.replays ORDER BY id DESC LIMIT 1"""
    )
    world.eyes.execute("UPDATE fq.replays SET next = 5, upto = 4 WHERE id = (SELECT max(id) FROM fq.replays)")
    world.succeed(third, *out)
    assert list(chain(*handled(world))).count(4) == 1, "the lane went on"
    assert replays(world) == []
