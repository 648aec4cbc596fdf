"""`explain` and `journal`, and what every command that operates a client has."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.operate.user import user_at_host
from bridge.store import rounds
from tests.command.running import Run, actions, done, parsed
from tests.support.world import World

OPERATING = ["seek", "replay", "parked", "redrive", "discard", "pause", "resume", "remove", "explain", "journal"]


@pytest.mark.parametrize("name", OPERATING)
def test_every_operating_command_has_json_and_says_who_is_not_there(run: Run, world: World, name: str) -> None:
    assert "--json" in done(run(name, "--help"))
    needed = {
        "seek": ["--to", "end", "--yes"],
        "replay": ["--from", "1"],
        "redrive": ["--all"],
        "discard": ["--all", "--yes"],
        "remove": ["--yes"],
    }
    result = run(name, "nobody", *needed.get(name, []))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no client 'nobody' is registered")
    assert actions(world) == []


def test_the_journal_shows_who_did_what(run: Run, world: World) -> None:
    world.client()
    world.client("d")
    done(run("pause", "c", "--reason", "lunch"))
    done(run("remove", "d", "--yes"))
    listed = done(run("journal"))
    assert f"d  remove by {user_at_host()}" in listed
    assert f"c  pause by {user_at_host()}  reason lunch\n" in listed
    assert listed.index("remove") < listed.index("pause"), "the newest first"
    assert [row["action"] for row in parsed(run("journal", "c", "--json"))] == ["pause", "register"]
    assert [row["client"] for row in parsed(run("journal", "-n", "1", "--json"))] == ["d"]


def test_explain_says_why_in_words_and_in_json(run: Run, world: World) -> None:
    rounds.take_turn(world.store, holder="pump", seconds=600)
    world.client(window=1)
    world.publish(None, None)
    world.hand_over()
    done(run("pause", "c", "--reason", "lunch"))
    said = done(run("explain", "c", "--offline"))
    assert said.splitlines()[0] == "c"
    assert f"  it is paused by {user_at_host()} since" in said
    assert "    -> `bridge resume c`" in said
    assert "its window is full" in said
    causes = parsed(run("explain", "c", "--offline", "--json"))
    assert causes["client"] == "c"
    assert [cause["cause"] for cause in causes["causes"]] == ["paused", "window-full", "unread"]
    assert causes["causes"][0]["data"]["reason"] == "lunch"
    assert causes["causes"][1]["data"]["oldest"]["task_id"] == "c:1"


def test_explain_asks_the_broker_too(run: Run, world: World) -> None:
    rounds.take_turn(world.store, holder="pump", seconds=600)
    world.client(queue="orders")
    found = parsed(run("explain", "c", "--timeout", "0.1", "--json"))
    assert [cause["cause"] for cause in found["causes"]] == ["no-consumer", "no-bridge-worker", "caught-up"]
    assert "queue 'orders'" in found["causes"][0]["text"]


def test_explaining_a_held_horizon_prints_what_holds_it(run: Run, world: World, connect: Any) -> None:
    rounds.take_turn(world.store, holder="pump", seconds=600)
    world.client()
    writer = connect(autocommit=False, application_name="checkout")
    writer.execute("INSERT INTO fq.events DEFAULT VALUES")
    said = done(run("explain", "c", "--offline"))
    assert f"pid {writer.info.backend_pid} (checkout)" in said
    [held, *_] = parsed(run("explain", "c", "--offline", "--json"))["causes"]
    assert (held["cause"], held["data"]["pid"]) == ("horizon-held", writer.info.backend_pid)
    assert held["data"]["query_start"].startswith("20")
