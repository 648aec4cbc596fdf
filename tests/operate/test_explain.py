"""Why a client stands where it stands: every cause of its own is made real, and has to be named."""

from __future__ import annotations

import pytest

from bridge.errors import UnknownClient
from bridge.model import Position
from bridge.operate.lifecycle import pause
from bridge.operate.parked import redrive
from bridge.operate.replay import replay
from bridge.settle.settle import settle
from bridge.store import rounds
from bridge.store.facts import collect_facts
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from tests.operate.explaining import causes, kinds, the
from tests.operate.replaying import finished
from tests.support.world import World, outcome

BY = "me@here"

pytestmark = pytest.mark.usefixtures("pumped")


def test_a_client_that_has_finished_everything_is_caught_up(world: World) -> None:
    finished(world, "a", None)
    [cause] = causes(world)
    assert (cause.kind, cause.text) == (
        "caught-up",
        "it is caught up: everything that matches is finished, the log ends at 2",
    )


def test_nothing_is_changed_by_explaining(world: World) -> None:
    world.client()
    world.publish("a", "a")
    world.hand_over()
    before = (
        world.row(),
        world.rows("deliveries"),
        world.rows("lanes"),
        world.eyes.execute("TABLE fq.horizon").fetchall(),
    )
    causes(world)
    after = (
        world.row(),
        world.rows("deliveries"),
        world.rows("lanes"),
        world.eyes.execute("TABLE fq.horizon").fetchall(),
    )
    assert after == before


def test_who_is_not_there_is_not_explained(world: World) -> None:
    with pytest.raises(UnknownClient):
        collect_facts(world.store, "nobody")


def test_deliveries_that_are_open_are_named_by_the_oldest(world: World) -> None:
    world.client(ack_timeout_seconds=9000)
    world.publish(None, None)
    world.hand_over()
    [cause] = causes(world)
    assert cause.kind == "open"
    assert "2 of 1,000 deliveries are open; the oldest is event 1, attempt 1, task c:1, handed over" in cause.text
    assert cause.text.endswith("its lease has 2.5 h left")


def test_a_full_window_is_named_with_its_oldest_delivery(world: World) -> None:
    world.client(window=2, ack_timeout_seconds=9000)
    world.publish(None, None, None)
    world.hand_over()
    cause = the("window-full", found := causes(world))
    assert "2 of 2 deliveries are open; the oldest is event 1, attempt 1, task c:1," in cause.text
    assert "its lease has 2.5 h left" in cause.text
    assert cause.data["oldest"]["task_id"] == "c:1"
    assert the("unread", found).data["unread"] == 1
    world.make_due()
    assert "its lease has run out" in the("window-full", causes(world)).text
    world.hand_over()
    assert "attempt 2, task c:1:a2" in the("window-full", causes(world)).text


def test_a_strict_client_s_window_is_one(world: World) -> None:
    world.client(ordering="strict")
    world.publish(None, None)
    world.hand_over()
    assert "1 of 1 delivery is open; it is event 1," in the("window-full", causes(world)).text


def test_a_key_that_waits_is_named_with_the_event_in_its_way(world: World) -> None:
    world.client()
    world.publish("a", "a", "b")
    world.hand_over()
    cause = the("key-blocked", causes(world))
    assert cause.text == "key 'a' waits with event 2: event 1 is open, attempt 1, task c:1"
    world.succeed(world.sent[0])
    assert "goes out with the next pass" in the("key-next", causes(world)).text


def test_keys_beyond_a_few_are_counted(world: World) -> None:
    world.client()
    world.publish(*"abcde", *"abcde")
    world.hand_over()
    found = causes(world)
    assert [cause.data["key"] for cause in found if cause.kind == "key-blocked"] == ["a", "b", "c"]
    assert the("keys-wait", found).text.startswith("2 more keys")


@pytest.mark.parametrize("followed", [True, False])
def test_a_held_key_is_named_with_the_parked_event(world: World, followed: bool) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key")
    world.publish("a")
    world.fail(*world.hand_over())
    if followed:
        world.publish("a")
        world.hand_over()
    cause = the("key-held", causes(world))
    assert cause.text.endswith(": it is held by parked event 1 (failed 1 time)")
    assert ("waits with event 2" in cause.text) is followed
    assert "`eventbridge redrive c --offset 1`" in (cause.do or "")
    redrive(world.store, "c", Selection(), by=BY)
    assert "which is to go out again" in the("key-held", found := causes(world)).text
    assert the("redriving", found).data == {"redriving": 1}


def test_a_retry_that_waits_is_named_with_its_error(world: World) -> None:
    world.client(backoff_seconds=1, backoff_max_seconds=1)
    world.publish(None, None)
    world.fail(*world.hand_over())
    world.eyes.execute("""UPDATE fq.deliveries SET due_at = now() + "offset" * interval '600.5 seconds'""")
    cause = the("retrying", causes(world))
    assert cause.text == (
        "2 events are tried again, event 1 first, in 10 min, after attempt 1 failed; its error: ValueError: no"
    )
    world.eyes.execute("""DELETE FROM fq.deliveries WHERE "offset" = 2""")
    assert the("retrying", causes(world)).text.startswith("event 1 is tried again in 10 min, after attempt 1")


def test_parked_events_are_counted(world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None, None)
    world.fail(*world.hand_over())
    cause = the("parked", found := causes(world))
    assert cause.text == "2 events are parked; the cursor has passed them"
    assert the("caught-up", found)


@pytest.mark.parametrize("drain", [False, True])
def test_a_client_that_a_person_stopped_says_who_when_and_why(world: World, drain: bool) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    pause(world.store, "c", reason="deploy 42", by=BY, drain=drain)
    cause = causes(world)[0]
    assert cause.kind == ("draining" if drain else "paused")
    assert f"it is {cause.kind} by {BY} since 20" in cause.text
    assert cause.text.endswith(": deploy 42")
    assert "`eventbridge resume c`" in (cause.do or "")


def test_a_client_that_halted_says_which_event_did_it(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="halt")
    world.publish(None)
    world.fail(*world.hand_over())
    cause = causes(world)[0]
    assert cause.kind == "halted"
    assert cause.text.startswith("it is halted by bridge since 20")
    assert cause.text.endswith(": event 1 failed 1 time")


def test_trouble_is_named_with_its_time_until_it_is_over(world: World) -> None:
    world.client()
    world.publish(None)
    rounds.note_trouble(world.store, client="c", trouble="the broker redis://there is not available")
    cause = the("trouble", causes(world))
    assert cause.text.startswith("it could not be served since 20")
    assert cause.text.endswith(": the broker redis://there is not available")
    world.hand_over()
    assert "trouble" not in kinds(world)


def test_a_replay_says_how_far_it_is(world: World) -> None:
    finished(world, *[None] * 5)
    for _ in range(2):
        replay(world.store, "c", start=Position(), end=Position(end=True), per_second=0.5, by=BY)
    world.hand_over()
    running, waiting = [cause for cause in causes(world) if cause.kind == "replaying"]
    assert running.text == (
        "a replay up to event 5 is under way, 1 event has gone out; it goes on at 2, at most 0.5 a second"
    )
    assert waiting.text.endswith("1 of its events and keys waits for what is open")
    assert running.do == "to stop it: `eventbridge replay c --stop`"


def test_a_plain_sql_reader_is_one(world: World) -> None:
    world.publish(None, None, None)
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    [cause] = causes(world, "reader")
    assert (cause.kind, cause.data) == ("reader", {"offset": 1, "unread": 2})


def test_what_waits_for_the_next_pass_is_said(world: World) -> None:
    world.client(topics=("rare",))
    world.publish(None, None)
    advance_horizon(world.store)
    [unmatched, cause] = sorted(causes(world), key=lambda it: it.kind, reverse=True)
    assert unmatched.kind == "unmatched"
    assert cause.text == "nothing is open, and the next pass looks at events 0 to 2"
    world.publish(None, topic="rare")
    [cause] = causes(world)
    assert cause.text.startswith("1 event that matches is not handed over yet, it is ")


def test_an_event_whose_handler_s_transaction_is_done_says_so(world: World) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    world.eyes.execute("UPDATE fq.deliveries SET state = 'done'")
    [cause] = causes(world)
    assert "whose handler's transaction is done" in cause.text


def test_a_late_outcome_is_still_told_apart_by_its_epoch(world: World) -> None:
    """The task ids that are shown are those of the messages."""
    finished(world, None)
    replay(world.store, "c", start=Position(), end=Position(end=True), per_second=1, by=BY)
    [old] = world.hand_over()
    assert f"task {old.task_id}," in the("open", causes(world)).text
    settle(world.store, [outcome(old)])
    assert kinds(world) == ["caught-up"]
