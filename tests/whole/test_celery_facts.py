"""What Celery itself does with the callbacks of an event's task: how often they come, and when (G1, G6, G7).

A real worker runs the tasks; the test hands events over pass by pass, and counts what the worker puts on the bridge's
queue. docs/canvas.md says the same in prose.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import celery
import pytest
from celery import Celery
from redis import Redis

from bridge.collector.redis import decode
from bridge.contract import COMMIT, FAIL
from bridge.model import Failure, Outcome
from bridge.sender.sender import Sender
from bridge.settle.settle import Settled, settle
from tests.conftest import WORKERS
from tests.support import fleets
from tests.support.databases import RedisDatabases
from tests.support.waiting import wait_until
from tests.support.workers import Worker, start_worker
from tests.support.world import World

ids = (f"client-{number}" for number in itertools.count(1))  # a revoked task id stays revoked as long as the worker


class Fleet:
    """A worker with `fleets/workflows.py`, and the callbacks that it sends."""

    def __init__(self, url: str, worker: Worker) -> None:
        self.url, self.worker, self.client = url, worker, ""
        self.redis = Redis.from_url(url)
        self.app = Celery("bridge", broker=url, set_as_current=False)
        self.sender = Sender(self.app, queue="bridge", secret="secret", connect_timeout_seconds=5)

    def hand_over(self, world: World) -> None:
        """Run one pass that sends for real."""
        world.one_pass(self.client, send=self.sender.send)

    def callbacks(self) -> list[tuple[str, int, int]]:
        """Task, offset and attempt of each callback that waits for the bridge, oldest first."""
        found: Any = self.redis.lrange("bridge", 0, -1)
        decoded = [decode(message) for message in reversed(found)]
        return [(callback.task, callback.args[1], callback.args[3]) for callback in decoded if callback]

    def steps(self) -> list[str]:
        """Return the notes of the tasks, oldest first."""
        found: Any = self.redis.lrange("steps", 0, -1)
        return [step.decode() for step in found]

    def let_go(self, gate: str) -> None:
        """Let the step of this name end."""
        self.redis.rpush(gate, "go on")

    def settled(self, world: World, number: int) -> Settled:
        """Wait for so many callbacks, see that no more come, and settle them in one batch."""
        wait_until(lambda: len(self.callbacks()) >= number, what=f"{number} callbacks")
        canary = f"{self.client}-canary"
        world.client(canary, task="workflows.handle", queue="workflows", topics=("canary",), start="now")
        world.publish(None, topic="canary")
        world.one_pass(canary, send=self.sender.send)
        wait_until(lambda: "canary" in self.steps() and self.canaries() == 1, what="the canary's callback")
        outcomes = []
        for task, offset, attempt in self.callbacks()[: number + 1]:
            failure = Failure() if task == FAIL else None
            outcomes.append(Outcome(client=self.client, offset=offset, epoch=1, attempt=attempt, failure=failure))
        assert len(self.callbacks()) == number + 1, self.callbacks()
        return settle(world.store, outcomes[:number])

    def canaries(self) -> int:
        """Callbacks of clients that are not the test's."""
        found: Any = self.redis.lrange("bridge", 0, -1)
        return sum(callback.args[0] == f"{self.client}-canary" for message in found if (callback := decode(message)))


@pytest.fixture(scope="module")
def _fleet(_redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with _redis_databases.empty() as url:
        worker = start_worker(
            "workflows",
            name="workflows",
            directory=fleets.DIRECTORY,
            log_path=tmp_path_factory.mktemp("facts") / "workflows.log",
            env={"CELERY_BROKER_URL": url},
            queues=["workflows"],
            pool="prefork",
            concurrency=2,
        )
        try:
            worker.wait_until_ready()
            fleet = Fleet(url, worker)
            yield fleet
            fleet.sender.close()
            fleet.app.close()
            fleet.redis.close()
        finally:
            worker.kill()


@pytest.fixture
def fleet(request: pytest.FixtureRequest, _fleet: Fleet) -> Fleet:
    """Return a fleet that all tests share, with empty lists."""
    request.node.stash[WORKERS] = [_fleet.worker]
    _fleet.redis.delete("bridge", "steps", *_fleet.redis.keys("gate*"))
    _fleet.client = next(ids)
    return _fleet


def client(world: World, fleet: Fleet, task: str, **settings: Any) -> None:
    world.client(fleet.client, task=f"workflows.{task}", queue="workflows", topics=("order.#",), **settings)


def publish(world: World, *, poison: bool = False) -> int:
    payload = '{"poison": true}' if poison else "{}"
    row = world.eyes.execute("SELECT \"offset\" FROM fq.put(%s, 'order.created')", [payload]).fetchone()
    assert row is not None
    return int(row[0])


def deliveries(world: World, fleet: Fleet) -> list[Any]:
    """Attempt and state of what the test's client has open."""
    rows = world.eyes.execute("SELECT attempt, state FROM fq.deliveries WHERE client_id = %s", [fleet.client])
    return rows.fetchall()


# Celery's own retries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["retry", "autoretry"])
def test_celery_s_own_retries_are_one_attempt_and_end_in_one_commit(world: World, fleet: Fleet, task: str) -> None:
    client(world, fleet, task)
    offset = publish(world)
    fleet.hand_over(world)
    assert fleet.settled(world, 1) == Settled(succeeded=1)
    assert [step for step in fleet.steps() if step != "canary"] == [f"try {n} of attempt 1" for n in range(3)]
    assert fleet.callbacks()[0] == (COMMIT, offset, 1)
    assert world.cursor(fleet.client) == offset


@pytest.mark.parametrize("task", ["retry", "autoretry"])
def test_g7_celery_s_retries_that_are_used_up_are_one_failure(world: World, fleet: Fleet, task: str) -> None:
    client(world, fleet, task, max_attempts=2)
    offset = publish(world, poison=True)
    fleet.hand_over(world)
    assert fleet.settled(world, 1) == Settled(retried=1)
    assert fleet.callbacks()[0] == (FAIL, offset, 1)
    assert deliveries(world, fleet) == [(1, "retrying")]


# What comes twice, and what never comes -------------------------------------------------------------------------------


def test_g6_a_hard_time_limit_reports_twice_and_counts_once(world: World, fleet: Fleet) -> None:
    client(world, fleet, "too_long", max_attempts=2)
    offset = publish(world)
    fleet.hand_over(world)
    assert fleet.settled(world, 2) == Settled(retried=1, ignored=1)
    assert fleet.callbacks()[:2] == [(FAIL, offset, 1)] * 2
    assert deliveries(world, fleet) == [(1, "retrying")]


@pytest.mark.skipif(celery.__version__ < "5.7", reason="before Celery 5.7 a rejected task sends no callback")
def test_g7_a_task_that_is_rejected_for_good_is_one_failure(world: World, fleet: Fleet) -> None:
    client(world, fleet, "reject")
    offset = publish(world)
    fleet.hand_over(world)
    assert fleet.settled(world, 1) == Settled(retried=1)
    assert fleet.callbacks()[0] == (FAIL, offset, 1)


def test_g1_an_event_whose_task_is_ignored_comes_back_after_the_lease(world: World, fleet: Fleet) -> None:
    client(world, fleet, "ignore")
    offset = publish(world)
    fleet.hand_over(world)
    wait_until(lambda: fleet.steps() == ["ignored"], what="the task has been ignored")
    assert fleet.settled(world, 0) == Settled()
    assert deliveries(world, fleet) == [(1, "sent")]
    world.make_due()
    fleet.redis.delete("bridge", "steps")
    fleet.hand_over(world)
    wait_until(lambda: fleet.callbacks() == [(COMMIT, offset, 2)], what="the second attempt's commit")


def test_g1_an_event_whose_task_is_revoked_comes_back_after_the_lease_under_another_id(
    world: World, fleet: Fleet
) -> None:
    client(world, fleet, "handle")
    offset = publish(world)
    with Celery("operator", broker=fleet.url, backend=fleet.url, set_as_current=False) as operator:
        operator.control.revoke(f"{fleet.client}:{offset}", reply=True, limit=1, timeout=5)
    fleet.hand_over(world)
    wait_until(
        lambda: f"Discarding revoked task: workflows.handle[{fleet.client}:{offset}]" in fleet.worker.log,
        what="it is discarded",
    )
    assert fleet.settled(world, 0) == Settled()
    world.make_due()
    fleet.redis.delete("bridge", "steps")
    fleet.hand_over(world)
    wait_until(lambda: fleet.callbacks() == [(COMMIT, offset, 2)], what="the second attempt's commit")
    assert fleet.steps() == ["order.created"]


# Workflows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "gate", "all_steps"),
    [
        ("become_chain", "gate of the last", ["first", "gate of the last", "second"]),
        ("become_group", "gate of the group", ["first", "gate of the group"]),
        ("become_chord", "gate of the header", ["collected", "first", "gate of the header"]),
    ],
)
def test_a_task_that_becomes_a_workflow_commits_once_when_all_of_it_is_done(
    world: World, fleet: Fleet, task: str, gate: str, all_steps: list[str]
) -> None:
    client(world, fleet, task)
    offset = publish(world)
    fleet.hand_over(world)
    wait_until(lambda: {"first", gate} <= set(fleet.steps()), what="all but the last step is done")
    assert fleet.callbacks() == [], "not yet"
    fleet.let_go(gate)
    again = int(task == "become_chain" and celery.VERSION < (5, 7))  # a replaced chain used to say so twice
    assert fleet.settled(world, 1 + again) == Settled(succeeded=1, ignored=again)
    assert fleet.callbacks()[0] == (COMMIT, offset, 1)
    assert sorted(step for step in fleet.steps() if step != "canary") == all_steps


@pytest.mark.parametrize("task", ["become_chain", "become_group", "become_chord"])
def test_g7_a_step_of_a_workflow_that_fails_is_one_failure_of_the_attempt(
    world: World, fleet: Fleet, task: str
) -> None:
    client(world, fleet, task)
    offset = publish(world, poison=True)
    fleet.hand_over(world)
    wait_until(fleet.callbacks, what="a failure")
    settled = fleet.settled(world, len(fleet.callbacks()))
    assert (settled.succeeded, settled.retried) == (0, 1)
    assert {callback for callback in fleet.callbacks()[:-1]} == {(FAIL, offset, 1)}
    assert deliveries(world, fleet) == [(1, "retrying")]


def test_a_task_that_only_starts_others_is_done_when_it_returns(world: World, fleet: Fleet) -> None:
    client(world, fleet, "spawn")
    offset = publish(world)
    fleet.hand_over(world)
    wait_until(lambda: "gate of the spawned" in fleet.steps(), what="the subtask runs")
    assert fleet.settled(world, 1) == Settled(succeeded=1)
    assert world.cursor(fleet.client) >= offset
    fleet.let_go("gate of the spawned")
    wait_until(lambda: "spawned second" in fleet.steps(), what="the other subtasks are done")
    assert len(fleet.callbacks()) == 2, "the commit and the canary: subtasks carry no callbacks"
