"""A pump appends scheduled events when they are due, and hands them over; what can't be appended disturbs nobody."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

import bridge as package
from bridge.app import Bridge
from bridge.event import NewEvent
from bridge.pump import due
from bridge.pump.loop import pump_of
from bridge.store import rounds
from tests.conftest import Connect
from tests.support.world import World

LONG_AGO = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_tick_hands_over_what_is_due_and_leaves_what_is_not(world: World, bridge: Bridge, redis_url: str) -> None:
    world.client("c")
    package.publish(world.eyes, "order.late", {}, key="k", deliver_at=LONG_AGO)
    package.publish(world.eyes, "order.later", {}, key="k", deliver_after=3600)
    assert pump_of(bridge).tick().sent == 1
    assert world.rows("events", "topic") == ["order.late"]
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("celery") == 1


def test_a_pump_that_lingers_appends_what_becomes_due_meanwhile(world: World, bridge: Bridge) -> None:
    world.client("c")
    soon = package.publish(world.eyes, "order.soon", {}, deliver_after=0.5)
    bridge.app.conf.bridge_linger_seconds = 4
    lingering = Bridge(bridge.app)
    assert pump_of(lingering).tick().sent == 1
    [created_at] = world.rows("events", "created_at")
    assert soon.due_at is not None and created_at >= soon.due_at
    lingering.sender.close()
    lingering.store.close()


def test_a_wait_for_work_ends_when_an_event_is_due_and_not_before(world: World) -> None:
    rounds.take_turn(world.store, holder="me", seconds=60)
    wait: Any = {"seconds": 0.05, "poll_seconds": 0.01}
    package.publish(world.eyes, "a", {}, deliver_after=3600)
    assert rounds.wait_for_work(world.store, holder="me", **wait)[:3] == (False, True, False)
    package.publish(world.eyes, "b", {}, deliver_at=LONG_AGO)
    assert rounds.wait_for_work(world.store, holder="me", seconds=30, poll_seconds=0.01)[:3] == (False, True, True)
    assert rounds.wait_for_work(world.store, holder="me", look_for_due=False, **wait)[:3] == (False, True, False)


def test_what_postgres_refuses_to_append_stays_scheduled_and_the_others_are_served(
    world: World, bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    world.client("c")
    world.publish("k")
    package.publish(world.eyes, "order.late", {}, deliver_at=LONG_AGO)
    world.eyes.execute("ALTER TABLE fq.events ADD CONSTRAINT mine CHECK (topic <> 'order.late')")
    with caplog.at_level(logging.WARNING, logger="bridge"):
        assert pump_of(bridge).tick().sent == 1
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "scheduled events that are due can't be appended to the log: "
    ]
    assert world.eyes.execute("SELECT topic FROM fq.scheduled").fetchall() == [("order.late",)]


def test_g10_scheduled_events_that_an_old_snapshot_keeps_do_not_slow_down_the_look_for_work(
    world: World, connect: Connect
) -> None:
    snapshot = connect(autocommit=False)
    snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    snapshot.execute("SELECT FROM fq.clients")
    rounds.take_turn(world.store, holder="me", seconds=60)
    wait: Any = {"holder": "me", "seconds": 0.01, "poll_seconds": 0.01}
    before = rounds.wait_for_work(world.store, **wait).due_rest_seconds
    world.eyes.execute("INSERT INTO fq.scheduled (due_at, topic) SELECT now(), 'a' FROM generate_series(1, 100000)")
    world.eyes.execute("DELETE FROM fq.scheduled")
    found = rounds.wait_for_work(world.store, **wait)
    assert found.due_rest_seconds > before
    package.publish(world.eyes, "b", {}, deliver_at=LONG_AGO)
    rested = rounds.wait_for_work(world.store, due_rest_seconds=9, **wait)
    assert rested[:3] == (False, True, False) and rested.due_rest_seconds > 1, "it rests from call to call"
    world.client("c")
    world.publish(None)
    assert rounds.wait_for_work(world.store, due_rest_seconds=9, **{**wait, "seconds": 8}).work
    assert rounds.wait_for_work(world.store, **{**wait, "seconds": 30}).due


def test_g10_ids_that_a_publisher_keeps_leave_the_pump_time_for_passes(
    world: World, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "MOST_SECONDS", 0.0)
    ids = [f"held-{nth}" for nth in range(60)]
    with world.eyes.transaction():
        for id in ids:
            package.publish(world.eyes, "a", {}, id=id, deliver_at=LONG_AGO)
    package.publish(world.eyes, "b", {}, deliver_at=LONG_AGO + timedelta(seconds=1))
    holder = connect(autocommit=False)
    package.publish_many(holder, [NewEvent("a", {}, id=id) for id in ids])
    waiting, held = due.Due(world.store), "SELECT count(*) FROM fq.scheduled WHERE held_until IS NOT NULL"
    assert not waiting.append()
    assert world.ask(held) == 25, "one round, and then the passes"
    assert not waiting.append()
    assert waiting.append(), "nobody waits behind them for long"
    holder.rollback()
