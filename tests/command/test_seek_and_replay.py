"""`seek` and `replay`: what they say, and what they ask first."""

from __future__ import annotations

import pytest

from bridge.operate.user import user_at_host
from tests.command.running import Run, actions, done, parsed
from tests.support.world import World, offsets


def test_seek_shows_what_it_means_and_asks_first(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.succeed(*world.hand_over())
    would = "the cursor of client c would move from 3 to 1: 2 events will be delivered again, 0 will be passed over\n"
    refused = run("seek", "c", "--to", "1", input="n\n")
    assert (refused.exit_code, refused.stdout) == (1, would)
    assert "move the cursor of client c?" in refused.stderr
    assert run("seek", "c", "--to", "1", input="").exit_code == 1, "nobody answers"
    assert done(run("seek", "c", "--to", "1", "--dry-run")) == would
    one = done(run("seek", "c", "--to", "2", "--dry-run"))
    assert one.endswith("from 3 to 2: 1 event will be delivered again, 0 will be passed over\n")
    assert (world.cursor(), actions(world)) == (3, [])
    agreed = run("seek", "c", "--to", "1", input="y\n")
    assert agreed.exit_code == 0
    assert agreed.stdout == would + would.replace("would move", "moved")
    assert (world.cursor(), actions(world)) == (1, [("seek", user_at_host())])


def test_seek_in_a_script_says_yes_and_reads_json(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None)
    tried = parsed(run("seek", "c", "--to", "end", "--dry-run", "--json"))
    assert tried == {
        "client": "c", "before": -1, "offset": 2, "again": 0, "passed_over": 2, "exact": True, "moved": False,
        "pruned": None,
    }  # fmt: skip
    assert world.cursor() == -1
    unasked = run("seek", "c", "--to", "end", "--json")
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "say --yes" in unasked.stderr
    assert parsed(run("seek", "c", "--to", "end", "--json", "--yes")) == {**tried, "moved": True}
    assert world.cursor() == 2


@pytest.mark.parametrize(
    ("to", "message"), [("9", "above the horizon 1"), ("nonsense", "position 'nonsense' is not one of")]
)
def test_seek_refuses_a_place_that_is_none(run: Run, world: World, to: str, message: str) -> None:
    world.client()
    world.publish(None)
    result = run("seek", "c", "--to", to, "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert run("seek", "c").exit_code == 2


def test_replay_starts_and_stops(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.succeed(*world.hand_over())
    assert done(run("replay", "c", "--from", "2", "--per-second", "0.5")).startswith(
        "2 events from 2 to 3 go to client c again, at most 0.5 a second"
    )
    assert offsets(world.hand_over()) == [2]
    assert done(run("replay", "c", "--stop")) == "a replay to client c is stopped at 3 of 3: 1 event has gone out\n"
    assert done(run("replay", "c", "--stop")) == "no replay to client c was under way\n"
    started = parsed(run("replay", "c", "--from", "beginning", "--to", "2", "--topics", "order.#", "--json"))
    range_ = {"first": 0, "upto": 2, "events": 2, "exact": True, "pruned": None, "restored": 0}
    assert started == {"client": "c", "id": 2, "epoch": 3} | range_
    stopped = {"client": "c", "stopped": [{"next": 0, "upto": 2, "sent": 0}]}
    assert parsed(run("replay", "c", "--stop", "--json")) == stopped
    assert done(run("replay", "c", "--from", "3")).startswith("1 event from 3 to 3 goes to client c again")
    for wrong in (["replay", "c"], ["replay", "c", "--stop", "--from", "1"], ["replay", "c", "--from", "4"]):
        assert run(*wrong).exit_code == 2
