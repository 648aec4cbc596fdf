"""A bridge worker begins at once, and its ticks are neither seen nor heard unless they hand something over."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from tests.conftest import StartWorker
from tests.support.waiting import wait_until
from tests.support.world import World

IDLE_TICKS = 3


@contextmanager
def heard(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """Switch events on as Flower does, and return the task events that come."""
    events: list[dict[str, Any]] = []
    stopping = threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": events.append})
            while not stopping.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        app.control.enable_events()
        wait_until(lambda: [it for it in events if it["type"] == "worker-heartbeat"], what="events come")
        yield events
    finally:
        stopping.set()
        thread.join()


@pytest.mark.parametrize("broker", ["redis", pytest.param("amqp", marks=pytest.mark.slow)])
def test_a_worker_ticks_at_once_and_only_ticks_that_hand_something_over_are_seen_or_heard(
    request: pytest.FixtureRequest, world: World, worker: StartWorker, tmp_path: Path, *, database: str, broker: str
) -> None:
    broker_url = request.getfixturevalue(f"{broker}_url")
    with Celery("watcher", broker=broker_url, set_as_current=False) as app:
        app.conf.task_queues = [Queue("celery")]
        with app.connection_for_write() as connection:
            Queue("celery").bind(connection.default_channel).declare()
        world.client()
        world.publish("k")
        env = {"CELERY_BROKER_URL": broker_url, "BRIDGE_DATABASE_URL": database, "BRIDGE_LINGER_SECONDS": "0"}
        if broker == "redis":
            env["BRIDGE_LOG_FORMAT"] = "json"
        it = worker("bridge", directory=tmp_path, queues=["bridge"], env=env, name="bridge", beat=False)
        wait_until(lambda: world.rows("deliveries"), what="the event is handed over, although there is no beat")
        wait_until(lambda: "the pump has handed over 1 event" in it.log, what="and it is said")

        def ticks() -> int:
            """Return how many ticks the worker has begun."""
            stats = app.control.inspect([f"bridge@{socket.gethostname()}"], timeout=10).stats() or {}
            return int(sum(it["total"].get("bridge.pump", 0) for it in stats.values()))

        with heard(app) as events:
            for _ in range(IDLE_TICKS):
                before = ticks()
                app.send_task("bridge.pump", queue="bridge")
                wait_until(lambda before=before: ticks() > before, what="a tick has run")  # type: ignore[misc]
            world.publish("k2")
            app.send_task("bridge.pump", queue="bridge")
            wait_until(lambda: [it for it in events if it["type"] == "task-succeeded"], what="a tick is worth a row")
        rows = [(it["type"], it.get("result")) for it in events if it["type"].startswith("task-")]
        assert rows == [
            ("task-received", None),
            ("task-started", None),
            ("task-succeeded", "{'sent': 1, 'looked': 1, 'troubled': 0}"),
        ], "none of the idle ticks"
        assert {it["hostname"] for it in events} == {f"bridge@{socket.gethostname()}"}
    assert "bridge.pump[" not in it.log, "Celery's own lines about ticks are of level DEBUG"
    assert it.log.count("the pump has handed over 1 event") == 2
    assert "this worker serves the bridge 'bridge', and its pump begins" in it.log
    if broker == "redis":
        lines = [json.loads(line) for line in it.log.splitlines() if line.startswith("{")]
        assert {"ready", "tick"} <= {line.get("happened") for line in lines}
        assert not [line for line in it.log.splitlines() if re.match(r"\[\d{4}-", line)], "none in Celery's own format"
