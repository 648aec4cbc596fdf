"""Real fleets: handlers that kill one process after the other, and events that only look like it (G10)."""

from __future__ import annotations

import base64
import json
import os
import re
import signal

import pytest

from bridge.broker.running import Run
from bridge.store.losses import suspects
from bridge.watch import crashes, judging, watching
from bridge.watch.crashes import Crashes
from bridge.watch.crashing import FEWEST_WORKERS, SILENT_LOOKS
from tests.support.waiting import wait_until
from tests.watch.conftest import LONG, Watched

STATES = 'SELECT array_agg(state ORDER BY "offset") FROM fq.deliveries'
BACK = {"FLEET_TAKES_BACK": "1"}
MOSTLY_ON_REDIS = pytest.mark.parametrize(
    "watched", ["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(autouse=True)
def two_looks_are_apart(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a message that is put back and fetched again not look lost."""
    monkeypatch.setattr(judging, "APART_SECONDS", 4.0)
    for name in ("SHORTEST_REST_SECONDS", "LONGEST_REST_SECONDS"):
        monkeypatch.setattr(watching, name, 4.1)


@pytest.mark.parametrize(
    ("watched", "report_by"),
    [
        pytest.param("rabbitmq", "callback", marks=pytest.mark.slow),
        ("redis", "in-process"),
        pytest.param("rabbitmq", "in-process", marks=pytest.mark.slow),
        pytest.param("redis", "callback", marks=pytest.mark.slow),
    ],
    indirect=["watched"],
)
def test_g10_a_handler_that_kills_each_process_and_whose_message_comes_back_uses_up_its_attempts(
    watched: Watched, report_by: str
) -> None:
    watched.client(
        "c", topics=["#"], ordering="none", max_attempts=3, ack_timeout_seconds=3600, report_by=report_by, priority=5
    )
    for do in ("lose each process", "wait"):
        watched.publish("c.event", {"do": do})
    watched.hand_over()
    watched.fleet("taking-back", env=BACK, concurrency=3)
    watched.look_until(lambda: watched.parked() == [1], what="three starts are known")
    [(reason, error_type, attempt)] = watched.eyes.execute("SELECT reason, error_type, attempt FROM fq.parked")
    assert (error_type, attempt) == ("WorkerLostError", 1)
    assert re.fullmatch(r"kept killing its process \(\d+ starts seen\)", reason)
    wait_until(lambda: watched.held() == {"c:2"}, timeout=LONG, what="its message is dropped; the other event runs on")
    assert watched.ask(STATES) == ["sent"], "nobody else is harmed"


@MOSTLY_ON_REDIS
@pytest.mark.slow
def test_g10_of_a_batch_the_event_at_fault_is_found_and_its_neighbours_are_done(watched: Watched) -> None:
    watched.client(
        "c", topics=["#"], ordering="none", task="plain.handle_batch", batch=2, max_attempts=2, ack_timeout_seconds=3600
    )
    for do in ("lose each process", ""):
        watched.publish("c.event", {"do": do})
    watched.hand_over()
    watched.fleet("taking-back", env=BACK, concurrency=2)

    def done() -> bool:
        watched.settled(seconds_ago=0)
        watched.hand_over()
        return watched.parked() == [1] and watched.length("bridge") == 1

    watched.look_until(done, what="the first is parked, and the second has reported")


@MOSTLY_ON_REDIS
@pytest.mark.slow
def test_g10_an_event_whose_fleet_is_restarted_twice_in_the_middle_is_innocent(watched: Watched) -> None:
    watched.client("c", topics=["#"], max_attempts=3, ack_timeout_seconds=3600)
    watched.publish("c.event", {"do": "wait"})
    watched.hand_over()
    for restarts in range(3):
        fleet = watched.fleet("taking-back", env=BACK, concurrency=1)
        watched.look_until(lambda n=restarts: watched.starts(1) == n + 1, what="it is started")  # type: ignore[misc]
        watched.look_until(lambda: "c:1" in watched.held(), what="it is seen")
        if restarts < 2:
            fleet.stop(number=signal.SIGQUIT)
    finishes(watched, 1)


@MOSTLY_ON_REDIS
def test_g10_an_event_whose_process_is_killed_once_is_innocent_even_where_one_attempt_is_all(watched: Watched) -> None:
    watched.client("c", topics=["#"], ordering="none", max_attempts=1, ack_timeout_seconds=3600)
    for _ in range(2):
        watched.publish("c.event", {"do": "wait"})
    watched.hand_over()
    watched.fleet("taking-back", env=BACK, concurrency=2)
    watched.look_until(lambda: watched.running_in().keys() == {"c:1", "c:2"}, what="both run")
    os.kill(watched.running_in()["c:2"], signal.SIGKILL)  # as the kernel does for want of memory
    watched.look_until(lambda: watched.starts(2) == 2, what="it is started again")
    finishes(watched, 1, 2)


@MOSTLY_ON_REDIS
@pytest.mark.parametrize(
    ("do", "env"),
    [
        ("give back", {}),
        ("wait", {"FLEET_TASKS_PER_CHILD": "1"}),
        pytest.param("retry at once", {"FLEET_TASKS_PER_CHILD": "1"}, marks=pytest.mark.slow),
    ],
)
def test_g10_an_event_that_comes_back_by_itself_is_innocent(watched: Watched, do: str, env: dict[str, str]) -> None:
    watched.client("c", topics=["#"], max_attempts=1, ack_timeout_seconds=3600)
    watched.publish("c.event", {"do": do})
    watched.hand_over()
    watched.fleet("taking-back", env=BACK | env, concurrency=2)
    watched.look_until(lambda: watched.starts(1) >= (1 if do == "wait" else 6), what="it is started again and again")
    finishes(watched, 1)
    assert watched.ask("SELECT max(attempt) FROM fq.deliveries") == 1, "its message was never dropped"


@pytest.mark.parametrize("watched", ["redis"], indirect=True)
def test_g10_what_went_along_with_its_workers_is_parked_if_it_was_alone_and_else_goes_out_one_after_the_other(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "ANSWER_SECONDS", 0.05)  # no worker is there that could answer
    watched.client("c", topics=["#"], ordering="none", max_attempts=3, ack_timeout_seconds=3600)
    for _ in range(3):
        watched.publish("c.event")
    watched.hand_over()
    it, broker = Crashes(watched.app_bridge), watched.app_bridge.app.connection_for_write()

    def saw(runs: dict[str, Run]) -> None:
        found = suspects(watched.store, bridge="bridge", seconds=0, most=10)
        it.awaits(found)
        it.saw(broker, found, runs, answers=1)

    def take_along(*ids: str) -> None:
        for nth in range(FEWEST_WORKERS + 1):
            for _ in range(SILENT_LOOKS + 1):
                saw({id: Run(f"worker-{nth}", n, str(nth), again=nth > 0) for n, id in enumerate(ids)})

    take_along("c:1", "c:2")
    assert watched.parked() == [], "nobody knows which of them it was"
    states = 'SELECT "offset", state, due_at > now(), attempt - earlier_attempts FROM fq.deliveries ORDER BY 1'
    assert watched.eyes.execute(states).fetchall() == [
        (1, "retrying", False, 0),
        (2, "retrying", True, 0),
        (3, "sent", True, 1),
    ]
    take_along("c:3")
    assert watched.parked() == [3]
    with watched.redis.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.psubscribe("*celery.pidbox")
        saw({"c:3": Run("another", 1, "later", again=True), "c:9": Run("another", 2, "later", again=True)})
        told = wait_until(lambda: heard.get_message(ignore_subscribe_messages=True), what="the workers are told")
    body = json.loads(base64.b64decode(json.loads(told["data"])["body"]))
    assert (body["arguments"]["task_id"], body["arguments"]["terminate"]) == (["c:3"], True), "its message came back"
    broker.close()


def finishes(watched: Watched, *offsets: int) -> None:
    """See that these events are not parked, and finish where they run."""
    watched.go_on(*offsets)
    watched.look_until(lambda: watched.length("bridge") == len(offsets), what="they have reported")
    assert watched.parked() == []
