"""The commands that operate a client: what they do, what they ask first, what they print, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.bin.base import CLIContext
from click.testing import CliRunner, Result

from bridge.command import bridge
from bridge.command.project import whoami
from bridge.store import rounds
from tests.support.world import World, offsets

Run = Callable[..., Result]

OPERATING = ["seek", "replay", "parked", "redrive", "discard", "pause", "resume", "remove", "explain", "journal"]


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands in this process, as `celery -A shop bridge …` does."""
    for name in ("BRIDGE_DATABASE_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    app = Celery("shop", set_as_current=False)
    app.conf.update(bridge_database_url=database, broker_url="memory://")

    def run(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(bridge, args, input=input, obj=CLIContext(app=app, no_color=False, workdir=None))

    return run


@pytest.fixture
def parked(world: World) -> World:
    """Client `c` has parked events 1 to 3, of keys a, b and none."""
    world.client(max_attempts=1)
    world.publish("a", "b", None)
    world.fail(*world.hand_over())
    return world


def done(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def parsed(result: Result) -> Any:
    return json.loads(done(result))


def actions(world: World) -> list[tuple[str, str]]:
    return world.eyes.execute("SELECT action, by FROM fq.journal ORDER BY id").fetchall()


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
    if name == "journal":
        assert done(result) == "nothing was done yet\n"
    else:
        assert result.exit_code == 2
        assert result.stderr.startswith("error: no client 'nobody' is registered")
    assert actions(world) == []


# Seek and replay -------------------------------------------------------------------------------------------------


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
    assert (world.cursor(), actions(world)) == (1, [("seek", whoami())])


def test_seek_in_a_script_says_yes_and_reads_json(run: Run, world: World) -> None:
    world.client()
    world.publish(None, None)
    tried = parsed(run("seek", "c", "--to", "end", "--dry-run", "--json"))
    assert tried == {
        "client": "c", "before": -1, "offset": 2, "again": 0, "passed_over": 2, "exact": True, "moved": False,
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
    assert started == {"client": "c", "id": 2, "epoch": 3, "first": 0, "upto": 2, "events": 2, "exact": True}
    stopped = {"client": "c", "stopped": [{"next": 0, "upto": 2, "sent": 0}]}
    assert parsed(run("replay", "c", "--stop", "--json")) == stopped
    assert done(run("replay", "c", "--from", "3")).startswith("1 event from 3 to 3 goes to client c again")
    for wrong in (["replay", "c"], ["replay", "c", "--stop", "--from", "1"], ["replay", "c", "--from", "4"]):
        assert run(*wrong).exit_code == 2


# Parked events -----------------------------------------------------------------------------------------------------


def test_parked_lists_what_was_set_aside_and_why(run: Run, parked: World) -> None:
    listed = done(run("parked", "c"))
    assert "c  event 1  order.created  key=a" in listed
    assert "failed 1 time, 1 attempt from 20" in listed
    assert "ValueError: no" in listed
    assert "Traceback …" not in listed
    assert "Traceback …" in done(run("parked", "--traceback"))
    assert [row["offset"] for row in parsed(run("parked", "--json"))] == [3, 2, 1]
    [row] = parsed(run("parked", "c", "--key", "b", "--json"))
    assert {
        "client_id",
        "offset",
        "key",
        "attempts",
        "error_type",
        "error",
        "traceback",
        "reason",
        "first_at",
        "parked_at",
    } <= (set(row))
    assert [row["offset"] for row in parsed(run("parked", "--offset", "1", "--offset", "3", "--json"))] == [3, 1]
    assert "'-1' is not the offset of an event" in run("parked", "--offset", "-1").stderr
    assert [row["offset"] for row in parsed(run("parked", "-n", "1", "--json"))] == [3]
    assert done(run("parked", "--error-type", "KeyError")) == "no parked events fit\n"
    parked.client("d")
    assert done(run("parked", "d")) == "no events are parked\n"


def test_what_a_parked_event_holds_says_of_itself_can_t_move_the_terminal(run: Run, parked: World) -> None:
    parked.eyes.execute("UPDATE fq.parked SET error = e'\\x1b[2J', held = true")
    listed = done(run("parked", "--key", "a"))
    assert "\x1b" not in listed
    assert "key=a, which it holds" in listed


def test_redrive_hands_over_what_is_chosen(run: Run, parked: World) -> None:
    for wrong in ([], ["--all", "--key", "a"]):
        result = run("redrive", "c", *wrong)
        assert result.exit_code == 2
        assert "say which" in result.stderr
    assert done(run("redrive", "c", "--key", "a")) == "1 parked event will be handed to client c again\n"
    assert "goes out again" in done(run("parked", "--key", "a"))
    assert parsed(run("redrive", "c", "--all", "--json")) == {"client": "c", "redriven": [2, 3]}
    assert done(run("redrive", "c", "--all")).startswith("nothing to redrive")
    assert offsets(parked.hand_over()) == [1, 2, 3]
    assert actions(parked) == [("redrive", whoami())] * 2


def test_discard_asks_first(run: Run, parked: World) -> None:
    asked = run("discard", "c", "--key", "a", "--key", "b", input="n\n")
    assert asked.exit_code == 1
    assert "discard 2 parked events of client c" in asked.stderr
    assert run("discard", "c", "--all", "--json").exit_code == 2
    assert parked.rows("parked") == [1, 2, 3]
    assert done(run("discard", "c", "--offset", "1", "--yes")) == "1 parked event of client c is discarded\n"
    assert parsed(run("discard", "c", "--all", "--json", "--yes")) == {"client": "c", "discarded": [2, 3]}
    assert parked.rows("parked") == []
    assert actions(parked) == [("discard", whoami())] * 2


# In and out of service ---------------------------------------------------------------------------------------------


def test_pause_resume_and_drain_say_what_they_did(run: Run, world: World) -> None:
    world.client()
    assert done(run("resume", "c")) == "client c is active already\n"
    assert "until `bridge resume c`" in done(run("pause", "c", "--reason", "deploy"))
    assert done(run("resume", "c")) == "client c is active, it was paused\n"
    world.publish(None)
    [delivery] = world.hand_over()
    assert parsed(run("pause", "c", "--drain", "--json")) == {"client": "c", "state": "draining"}
    assert "is draining" in done(run("pause", "c", "--drain"))
    world.succeed(delivery)
    world.hand_over()
    assert world.row()["state"] == "paused"
    assert parsed(run("resume", "c", "--json")) == {"client": "c", "state": "active", "was": "paused"}
    assert parsed(run("pause", "c", "--json"))["state"] == "paused"


def test_remove_asks_and_refuses_while_deliveries_are_open(run: Run, parked: World) -> None:
    parked.publish(None)
    parked.hand_over()
    asked = run("remove", "c", input="n\n")
    assert asked.exit_code == 1
    assert "remove client c with its cursor at 3, 1 open delivery and 3 parked events?" in asked.stderr
    refused = run("remove", "c", "--yes")
    assert refused.exit_code == 2
    assert "has 1 open delivery: `bridge pause c --drain` lets it finish, --force forgets it" in refused.stderr
    assert run("remove", "c", "--json", "--force").exit_code == 2
    assert parked.row()["state"] == "active"
    assert parsed(run("remove", "c", "--force", "--yes", "--json")) == {
        "client": "c",
        "offset": 3,
        "open": 1,
        "parked": 3,
    }
    assert parked.rows("clients") == []
    assert actions(parked) == [("remove", whoami())]
    parked.client("d")
    assert "client d is removed" in run("remove", "d", input="y\n").stdout


# Looking -----------------------------------------------------------------------------------------------------------


def test_the_journal_shows_who_did_what(run: Run, world: World) -> None:
    world.client()
    world.client("d")
    done(run("pause", "c", "--reason", "lunch"))
    done(run("remove", "d", "--yes"))
    listed = done(run("journal"))
    assert f"d  remove by {whoami()}" in listed
    assert f"c  pause by {whoami()}  reason lunch\n" in listed
    assert listed.index("remove") < listed.index("pause"), "the newest first"
    assert [row["action"] for row in parsed(run("journal", "c", "--json"))] == ["pause"]
    assert [row["client"] for row in parsed(run("journal", "-n", "1", "--json"))] == ["d"]


def test_explain_says_why_in_words_and_in_json(run: Run, world: World) -> None:
    rounds.take_turn(world.store, holder="pump", seconds=600)
    world.client(window=1)
    world.publish(None, None)
    world.hand_over()
    done(run("pause", "c", "--reason", "lunch"))
    said = done(run("explain", "c", "--offline"))
    assert said.splitlines()[0] == "c"
    assert f"  it is paused by {whoami()} since" in said
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
