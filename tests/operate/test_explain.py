"""Why a client stands where it stands: every cause is made real, and has to be named."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from bridge.errors import LogRewound, UnknownClient
from bridge.model import Position
from bridge.operate.explain import Cause, explain
from bridge.operate.lifecycle import pause
from bridge.operate.parked import redrive
from bridge.operate.replay import replay
from bridge.operate.workers import Workers, look
from bridge.settle.settle import settle
from bridge.store import rounds
from bridge.store.facts import facts
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from tests.conftest import Connect, StartWorker
from tests.operate.test_replay import finished
from tests.support.waiting import wait_until
from tests.support.world import World, outcome

BY = "me@here"


@pytest.fixture(autouse=True)
def _only_the_test_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def pumped(world: World) -> None:
    """A pump lingers, as far as its lease says."""
    rounds.take_turn(world.store, holder="pump", seconds=600)


def causes(world: World, client: str = "c", fleet: Workers | None = None, **options: Any) -> list[Cause]:
    return explain(facts(world.store, client), fleet, **options)


def kinds(world: World, client: str = "c", **options: Any) -> list[str]:
    return [cause.kind for cause in causes(world, client, **options)]


def the(kind: str, found: list[Cause]) -> Cause:
    [it] = [cause for cause in found if cause.kind == kind]
    return it


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
        facts(world.store, "nobody")


def test_deliveries_that_are_open_are_named_by_the_oldest(world: World) -> None:
    world.client(ack_timeout_seconds=9000)
    world.publish(None, None)
    world.hand_over()
    [cause] = causes(world)
    assert cause.kind == "open"
    assert "2 of 1,000 deliveries are open; the oldest is event 1, attempt 1, task c:1, handed over" in cause.text
    assert cause.text.endswith("its lease has 2.5 h left")


def test_an_open_writer_holds_the_horizon_and_is_named(world: World, connect: Connect, database: str) -> None:
    finished(world, None)
    writer = connect(autocommit=False, application_name="checkout")
    writer.execute("INSERT INTO fq.events (topic) VALUES ('order.created')")
    writer.execute("SELECT 'a query that is  long'")
    world.publish(None)
    assert world.hand_over() == []
    cause = the("horizon-held", found := causes(world))
    assert "the horizon stands at 1, and offsets up to 3 are drawn" in cause.text
    assert f"pid {writer.info.backend_pid} (checkout)" in cause.text
    assert "idle in transaction" in cause.text
    assert "SELECT 'a query that is long'" in cause.text
    assert f"pg_terminate_backend({writer.info.backend_pid})" in (cause.do or "")
    assert "caught-up" not in [cause.kind for cause in found]
    writer.rollback()
    assert "horizon-held" not in kinds(world)


def test_a_prepared_transaction_holds_the_horizon_and_is_named(world: World, connect: Connect) -> None:
    finished(world, None)
    writer = connect()
    writer.execute("BEGIN")
    writer.execute("INSERT INTO fq.events (topic) VALUES ('order.created')")
    writer.execute("PREPARE TRANSACTION 'it''s two'")
    cause = the("horizon-held", causes(world))
    assert "the prepared transaction 'it''s two' of " in cause.text
    assert cause.data["gid"] == "it's two"
    assert cause.data["age_seconds"] is not None
    assert cause.do == "in this database, COMMIT PREPARED or ROLLBACK PREPARED 'it''s two'"
    writer.execute("ROLLBACK PREPARED 'it''s two'")
    assert "horizon-held" not in kinds(world)


def test_many_writers_are_counted_and_the_oldest_named(world: World, connect: Connect) -> None:
    world.client()
    writers = [connect(autocommit=False) for _ in range(5)]
    for writer in writers:
        writer.execute("INSERT INTO fq.events DEFAULT VALUES")
    held = [cause for cause in causes(world) if cause.kind == "horizon-held"]
    assert [cause.data.get("pid") for cause in held] == [*(w.info.backend_pid for w in writers[:3]), None]
    assert "2 younger transactions" in held[-1].text


def test_a_transaction_that_wrote_no_events_is_not_blamed(world: World, connect: Connect) -> None:
    finished(world, None)
    reader = connect(autocommit=False)
    reader.execute("SELECT count(*) FROM fq.events")
    reader.execute("CREATE TEMPORARY TABLE mine (id integer)")
    assert kinds(world) == ["caught-up"]


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
    assert "`bridge redrive c --offset 1`" in (cause.do or "")
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
    assert "`bridge resume c`" in (cause.do or "")


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


def test_a_pump_that_never_came_or_came_long_ago_is_missed(world: World) -> None:
    finished(world, None)
    world.eyes.execute("UPDATE fq.turns SET expires_at = now() - interval '3 hours'")
    cause = the("no-pump", causes(world))
    assert cause.text == "no pump has run for 3 h: nothing is handed over to any client"
    assert "celery beat" in (cause.do or "")
    world.eyes.execute("UPDATE fq.turns SET expires_at = now() - interval '1 second'")
    assert "no-pump" not in kinds(world)
    world.eyes.execute("DELETE FROM fq.turns")
    assert "no pump has ever run" in the("no-pump", causes(world)).text


def test_a_pump_that_does_not_linger_is_missed_only_when_events_wait(world: World) -> None:
    world.client()
    world.eyes.execute("DELETE FROM fq.turns")
    assert "no-pump" not in kinds(world, lingers=False)
    world.publish(None)
    assert "no-pump" not in kinds(world, lingers=False), "it was published just now"
    world.eyes.execute("INSERT INTO fq.events (topic, created_at) VALUES ('a', now() - interval '3 hours')")
    assert "an event has waited for 3 h, and no pump has taken it" in the("no-pump", causes(world, lingers=False)).text


def test_a_sequence_behind_the_horizon_comes_first(world: World) -> None:
    finished(world, None, None, None)
    world.eyes.execute("SELECT setval(pg_get_serial_sequence('fq.events', 'offset'), 1)")
    with pytest.raises(LogRewound):
        advance_horizon(world.store)
    cause = causes(world)[0]
    assert cause.kind == "rewound"
    assert "stands at 1, behind the horizon 3" in cause.text
    assert "bridge resync" in (cause.do or "")


def test_a_replay_says_how_far_it_is(world: World) -> None:
    finished(world, *[None] * 5)
    for _ in range(2):
        replay(world.store, "c", start=Position(), end=Position(end=True), per_second=0.5, by=BY)
    world.hand_over()
    running, waiting = [cause for cause in causes(world) if cause.kind == "replaying"]
    assert running.text == (
        "a replay up to event 5 is under way, 1 event has gone out; it goes on at 2, at most 0.5 a second"
    )
    assert "waits for the replay before it" in waiting.text
    assert running.do == "to stop it: `bridge replay c --stop`"


def test_a_plain_sql_reader_is_one(world: World) -> None:
    world.publish(None, None, None)
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    [cause] = causes(world, "reader")
    assert (cause.kind, cause.data) == ("reader", {"offset": 1, "unread": 2})


def test_what_waits_for_the_next_pass_is_said(world: World) -> None:
    world.client(topics=("rare",))
    world.publish(None, None)
    advance_horizon(world.store)
    [cause] = causes(world)
    assert cause.text == "nothing is open, and the next pass looks at events 0 to 2"
    world.publish(None, topic="rare")
    [cause] = causes(world)
    assert cause.text.startswith("1 event that matches is not handed over yet, it is ")


# The broker's side -----------------------------------------------------------------------------------------------


def test_a_queue_that_nobody_consumes_is_named_with_its_length(world: World) -> None:
    finished(world, None)
    found = causes(world, fleet=Workers(answered=1, bridge_workers=("bridge@here",), messages=7))
    assert the("no-consumer", found).text == (
        "no worker consumes queue 'celery', in which 7 messages wait (1 worker answered)"
    )
    assert "no-bridge-worker" not in [cause.kind for cause in found]
    found = causes(world, fleet=Workers(answered=1, consumers=("fleet@here",), messages=0), bridge_queue="b")
    assert "queue 'b' (1 worker answered)" in the("no-bridge-worker", found).text
    found = causes(world, fleet=Workers(answered=2, consumers=("f@1", "f@2"), bridge_workers=("b",), messages=3))
    assert the("backlog", found).text == "3 messages wait in queue 'celery' for 2 workers"
    found = causes(world, fleet=Workers(answered=2, consumers=("f@1", "f@2"), bridge_workers=("b",), messages=0))
    assert [cause.kind for cause in found] == ["caught-up"]


def asked(url: str, *, queue: str, bridge_queue: str = "bridge", timeout_seconds: float = 1) -> Workers:
    app = Celery("asking", broker=url, set_as_current=False)
    try:
        return look(app, queue=queue, bridge_queue=bridge_queue, timeout_seconds=timeout_seconds)
    finally:
        app.close()


def test_the_broker_says_who_consumes_a_queue_and_how_long_it_is(
    redis_url: str, worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "answering.py").write_text("from celery import Celery\napp = Celery('answering')\n", encoding="utf-8")
    worker("answering", directory=tmp_path, queues=["orders"], pool="solo", name="shop")
    app = Celery("asking", broker=redis_url, set_as_current=False)
    for _ in range(3):
        app.send_task("nobody.knows", queue="empty")
    # It always waits that long: so, not long, but again.
    answers = (asked(redis_url, queue="empty", bridge_queue="orders", timeout_seconds=1) for _ in repeat(None))
    found = wait_until(lambda: it if (it := next(answers)).answered else None, what="the worker answers")
    assert found is not None
    assert (found.trouble, found.answered, found.consumers, found.messages) == (None, 1, (), 3)
    assert len(found.bridge_workers) == 1 and "shop" in found.bridge_workers[0]
    assert asked(redis_url, queue="missing", timeout_seconds=1).messages == 0
    app.close()


def test_a_broker_with_nobody_on_it_answers_too(redis_url: str) -> None:
    assert asked(redis_url, queue="orders", timeout_seconds=0.2) == Workers(messages=0)


def test_a_broker_that_is_away_is_a_cause_and_no_error(world: World) -> None:
    found = asked("redis://127.0.0.1:1/0", queue="orders", timeout_seconds=0.5)
    assert found.trouble is not None and "127.0.0.1:1/0 is not available" in found.trouble
    finished(world, None)
    assert the("broker-away", causes(world, fleet=found)).text == found.trouble


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
