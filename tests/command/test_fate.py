"""`parked CLIENT --offset N`: one event, why each of its attempts failed, and what has become of it."""

from __future__ import annotations

import re
from dataclasses import replace

import bridge
from bridge.model import Failure
from bridge.operate.user import user_at_host
from bridge.settle.settle import settle
from tests.command.running import Run, done, parsed, refused
from tests.support.world import World, outcome

TOLD = Failure(
    type="ValueError",
    message="no \x1b[2J",
    traceback='Traceback …\n  File "shop.py"\nValueError: no',
    host="w@h",
    runtime_seconds=0.25,
    told_by="event",
)


def parked_event(world: World) -> int:
    """Park an event after two attempts, of which the second one tells why it failed; return its offset."""
    world.client(max_attempts=2, backoff_seconds=0)
    offset = bridge.publish(world.eyes, "order.created", {"total": 5}, key="a", headers={"user": "bob"})
    for failure in (Failure(), TOLD):
        [delivery] = world.hand_over()
        settle(world.store, [outcome(delivery, failure=failure)])
    return offset


def test_an_event_is_shown_with_its_attempts_and_what_was_done_to_it(run: Run, world: World) -> None:
    offset = str(parked_event(world))
    shown = done(run("parked", "c", "--offset", offset))
    assert f"c  event {offset}  order.created  key=a" in shown
    assert "it is parked: failed 2 times" in shown
    assert 'payload  {"total": 5}' in shown and 'headers  {"user": "bob"}' in shown
    assert re.search(r"attempt 1  failed 20[\d: -]+ UTC$", shown, re.MULTILINE)
    assert re.search(r"published 20[\d: -]+ UTC$", shown, re.MULTILINE)
    assert r"ValueError: no \x1b[2J (on w@h after 0.25 s), as its task-failed event says" in shown
    assert '      File "shop.py"' in shown
    assert "\x1b" not in shown
    done(run("redrive", "c", "--offset", offset))
    shown = done(run("parked", "c", "--offset", offset))
    assert "it is parked, and goes out again" in shown
    assert f"redrive by {user_at_host()}" in shown
    [delivery] = world.hand_over()
    shown = done(run("parked", "c", "--offset", offset))
    assert "it is open" in shown and "attempt 3  is out" in shown
    world.succeed(delivery)
    [found] = parsed(run("parked", "c", "--offset", offset, "--json"))
    assert (found["state"], found["failures"], found["parked_at"]) == ("finished", [], None)
    assert [deed["action"] for deed in found["history"]] == ["redrive"]
    assert (found["payload"], found["headers"]) == ({"total": 5}, {"user": "bob"})


def test_an_error_whose_text_begins_with_its_type_is_said_once(run: Run, world: World) -> None:
    world.client(max_attempts=1)
    bridge.publish(world.eyes, "order.created", {})
    [delivery] = world.hand_over()
    failure = replace(TOLD, type="TimeLimitExceeded", message="TimeLimitExceeded(3,)")
    settle(world.store, [outcome(delivery, failure=failure)])
    assert "\n  TimeLimitExceeded(3,) (on w@h after 0.25 s)" in done(run("parked", "c"))


def test_json_has_each_attempt_and_its_reason(run: Run, world: World) -> None:
    [found] = parsed(run("parked", "c", "--offset", str(parked_event(world)), "--json"))
    [listed] = parsed(run("parked", "c", "--json"))
    assert set(listed) <= set(found), "what a list has, one event has too"
    assert (listed["host"], listed["runtime_seconds"]) == (found["host"], found["runtime_seconds"]) == ("w@h", 0.25)
    first, second = found["failures"]
    assert (first["attempt"], first["error_type"], first["told_by"]) == (1, None, None)
    assert (second["attempt"], second["error_type"], second["told_by"]) == (2, "ValueError", "event")
    assert second["traceback"] == TOLD.traceback


def test_an_event_that_was_discarded_or_never_parked_is_shown_too(run: Run, world: World) -> None:
    offset = parked_event(world)
    done(run("discard", "c", "--offset", str(offset), "--reason", "a duplicate", "--yes"))
    assert "discard by" in done(run("parked", "c", "--offset", str(offset)))
    assert "it was discarded" in done(run("parked", "c", "--offset", str(offset)))
    assert "a duplicate" in done(run("parked", "c", "--offset", str(offset)))
    [ahead] = world.publish(None)
    assert "it was not handed over yet" in done(run("parked", "c", "--offset", str(ahead)))
    assert refused(run("parked", "c", "--offset", "999")) == (
        "error: there is no event 999 in the log, and none is parked for client c\n"
    )


def test_where_no_reason_is_known_it_is_said_how_to_learn_it(run: Run, world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None)
    [delivery] = world.hand_over()
    settle(world.store, [outcome(delivery, failure=Failure())])
    for command in (["parked"], ["parked", "c", "--offset", "1"]):
        shown = done(run(*command))
        for way in ("-E", "bridge_enable_events = True", "result_backend", "install the bridge"):
            assert way in shown
