"""Clients in and out of service: drain, pause, halt, remove, and come back under the same id (G6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.errors import UsageError
from bridge.operate.lifecycle import pause, remove, resume
from bridge.settle.settle import Settled
from tests.conftest import Connect
from tests.operate.parking import BY, fail, journal_of, park
from tests.support.waiting import wait_until
from tests.support.world import World, offsets


def test_draining_finishes_what_is_open_with_its_retries_and_then_pauses(world: World) -> None:
    world.client(backoff_seconds=0)
    world.publish("a", "a", None)
    one, three = world.hand_over()
    assert pause(world.store, "c", reason="deploy", by=BY, drain=True) == "draining"
    world.publish(None)
    world.fail(one)
    world.succeed(three)
    world.make_due()
    [again] = world.hand_over()
    assert (again.offset, world.row()["state"]) == (1, "draining")
    world.succeed(again)
    assert world.hand_over() == []
    row = world.row()
    assert (row["state"], row["state_reason"], row["state_by"]) == ("paused", "deploy", BY)
    assert [action for action, _ in journal_of(world)] == ["drain", "drained"]
    resume(world.store, "c", by=BY)
    assert offsets(world.hand_over()) == [2, 4]


def test_draining_a_client_with_nothing_open_pauses_it_at_once(world: World) -> None:
    world.client()
    assert pause(world.store, "c", reason="", by=BY, drain=True) == "paused"


def test_states_are_in_the_journal_and_so_is_a_halt(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="halt")
    world.publish(None)
    pause(world.store, "c", reason="lunch", by=BY)
    assert resume(world.store, "c", by=BY).was == "paused"
    assert resume(world.store, "c", by=BY).was == "active"
    fail(world, world.hand_over()[0], "ValueError")
    assert resume(world.store, "c", by=BY).was == "halted"
    assert journal_of(world) == [
        ("pause", {"reason": "lunch"}),
        ("resume", {"reason": ""}),
        ("halt", {"reason": "event 1 failed 1 time"}),
        ("resume", {"reason": ""}),
    ]
    assert offsets(world.hand_over()) == [1], "the event that halted it goes out again"


def test_plain_sql_readers_are_not_paused(world: World) -> None:
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    with pytest.raises(UsageError, match="plain SQL reader"):
        pause(world.store, "reader", reason="", by=BY)
    assert remove(world.store, "reader", by=BY).offset == 1
    assert world.rows("clients") == []


def test_a_client_with_open_deliveries_is_removed_only_by_force(world: World) -> None:
    park(world, None)
    world.client("other")
    world.hand_over("other")
    world.publish("a", "a")
    world.hand_over()
    with pytest.raises(UsageError, match="has 1 open delivery"):
        remove(world.store, "c", by=BY)
    assert world.row()["state"] == "active"
    gone = remove(world.store, "c", by=BY, force=True)
    assert (gone.open, gone.parked) == (1, 1)
    assert world.rows("parked") == world.rows("lanes") == []
    assert world.rows("deliveries", "client_id") == ["other"], "nobody else is touched"
    [(action, details)] = journal_of(world)
    assert (action, details["open"], details["task"]) == ("remove", 1, "fleet.handle")


def test_g6_a_client_that_comes_back_under_its_id_is_not_settled_by_old_outcomes(world: World) -> None:
    world.client()
    world.publish(None)
    [old] = world.hand_over()
    remove(world.store, "c", by=BY, force=True)
    assert world.succeed(old) == Settled(ignored=1)
    world.client()
    [new] = world.hand_over()
    assert (old.task_id, new.task_id) == ("c:1", "c:1:e2")
    assert world.succeed(old) == Settled(ignored=1)
    assert world.cursor() == 0
    world.succeed(new)
    assert world.cursor() == 1


def test_a_client_that_is_released_while_it_is_resumed_is_not_held_while_the_log_is_waited_for(
    world: World, connect: Connect
) -> None:
    world.client()
    world.publish(None)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with connect(autocommit=False) as releasing, connect(autocommit=False) as seeking, ThreadPoolExecutor(1) as pool:
        releasing.execute("UPDATE fq.clients SET released_at = now(), state = 'halted' WHERE id = 'c'")
        resumed = pool.submit(resume, world.store, "c", by=BY)
        wait_until(lambda: world.eyes.execute(waiting).fetchone() == (1,), what="it waits for the client")
        seeking.execute("UPDATE fq.log SET pruned = pruned")
        releasing.commit()
        wait_until(lambda: world.eyes.execute(waiting).fetchone() == (1,), what="it waits for the log")
        seeking.execute("SET lock_timeout = '30s'")
        seeking.execute("SELECT FROM fq.clients WHERE id = 'c' FOR NO KEY UPDATE")
        seeking.commit()
        assert resumed.result().was == "halted"
    assert world.row()["state"] == "active"
