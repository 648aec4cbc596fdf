"""Why an event failed is known on any fleet: installed, with events, with a result backend; or it is said how (G7)."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.bounds import ERROR_MESSAGE_BYTES, TRACEBACK_BYTES
from bridge.collector.events import listen
from bridge.settle.late_reasons import LateReasons
from bridge.store.fate import EventFate, read_fate
from bridge.trouble import Trouble
from tests.command.running import done, parsed, runner
from tests.conftest import WORKERS, StartWorker
from tests.support import fleets
from tests.support.stage import Stage
from tests.support.waiting import wait_until

WAYS = {"installed": "callback", "events": "event", "backend": "result backend"}
# What each payload fails with, and what its message begins with: the same on every way, or as each of them knows it.
FAILURES: dict[str, tuple[str, str | dict[str, str]]] = {
    "plain": ("ValueError", "no such order"),
    "lines": ("ValueError", "first\nKeyError: second\n  third"),
    "odd": ("RuntimeError", "a\\x00b\\udce9 é"),
    "huge": ("RuntimeError", "xxxxxxxx"),
    "own": ("Refused", {"installed": "refused", "events": "Refused(17, 'why')", "backend": "Refused(17, 'why')"}),
    "mute": ("Mute", {"installed": "an error that can't be shown", "events": "<exception str() failed>"}),
    "slow": ("ValueError", "slow"),
    "limited": ("TimeLimitExceeded", ""),
    "killed": ("WorkerLostError", "Worker exited prematurely"),
}


@pytest.fixture(params=["redis", pytest.param("amqp", marks=pytest.mark.slow)])
def stage(
    request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path, worker: StartWorker
) -> Iterator[Stage]:
    """Return a stage with a bridge, and a plain prefork fleet for each way, and one that tells nothing.

    On RabbitMQ there are only those for which the broker makes a difference.
    """
    it = Stage(database, redis_url, tmp_path, broker_url=request.getfixturevalue(f"{request.param}_url"))
    request.node.stash[WORKERS] = it.workers
    backend = {"result_backend": redis_url, "result_extended": True}
    settings = {"events": {"worker_send_task_events": True}, "backend": backend}
    try:
        it.bridge(wait=False, CELERY_RESULT_BACKEND=redis_url)
        for way in (*WAYS, "none") if request.param == "redis" else ("installed", "events"):
            env = {"SETTINGS": json.dumps(settings.get(way, {})), "INSTALL": "1" if way == "installed" else ""}
            env["CELERY_BROKER_URL"] = it.broker_url
            it.workers.append(
                worker("told", directory=fleets.DIRECTORY, env=env, queues=[way], concurrency=1, name=way, wait=False)
            )
            routes = [[f"{way}.limited", "told.limited"]]
            it.client(way, task="told.handle", queue=way, max_attempts=1, routes=routes)
        for started in it.workers:
            started.wait_until_ready()
        yield it
    finally:
        it.close()


def told(stage: Stage, client: str, offset: int) -> EventFate:
    """Wait until it is known why an event failed."""

    def is_told() -> bool:
        found = read_fate(stage.store, client, offset)
        return found is not None and found.error_type is not None

    wait_until(is_told, timeout=90, what=f"{client} tells why event {offset} failed")
    found = read_fate(stage.store, client, offset)
    assert found is not None
    return found


@contextmanager
def enabling(stage: Stage) -> Iterator[None]:
    """Listen as a bridge worker does that turns events on."""
    stopping = threading.Event()
    with Celery("enabling", broker=stage.broker_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=stage.database_url, bridge_enable_events=True)
        listening = Bridge(app), LateReasons()
        trouble = Trouble(logging.getLogger(), what="nothing is heard", over="events are heard")
        thread = threading.Thread(target=listen, args=listening, kwargs={"stopping": stopping, "trouble": trouble})
        thread.start()
        yield
        stopping.set()
        thread.join()
        listening[0].store.close()


def test_why_an_event_failed_is_told_on_any_fleet(stage: Stage) -> None:
    run = runner(stage.database_url)
    clients = [client for (client,) in stage.eyes.execute("SELECT id FROM fq.clients ORDER BY id")]
    offsets = {
        way: {what: stage.publish(f"{way}.{what}", what) for what in FAILURES if way != "backend" or what != "killed"}
        for way in WAYS
        if way in clients
    }
    for way, published in offsets.items():
        for what, offset in published.items():
            it = told(stage, way, offset)
            kind, begins = FAILURES[what]
            assert (it.error_type, it.failures[-1].told_by) == (kind, WAYS[way]), what
            assert it.error is not None and it.error.startswith(
                begins if isinstance(begins, str) else begins.get(way, "")
            )
            assert len(it.error.encode()) <= ERROR_MESSAGE_BYTES
            assert len((it.traceback or "").encode()) <= TRACEBACK_BYTES
            if what not in ("limited", "killed"):
                assert "Traceback (most recent call last)" in str(it.traceback), (way, what)
            assert it.host is None or it.host.startswith(f"{way}@")
            if way != "backend" and what == "slow":
                assert it.runtime_seconds is not None and it.runtime_seconds >= 0.3
                assert it.host is not None
        found = parsed(run("parked", way, "--error-type", "Refused", "--json"))
        assert [row["offset"] for row in found] == [published["own"]]
    shown = done(run("parked", "events", "--offset", str(offsets["events"]["slow"])))
    assert "ValueError: slow (on events@" in shown and "as its task-failed event says" in shown

    if "none" not in clients:
        return
    untold = stage.publish("none.plain", "plain")
    wait_until(lambda: stage.ask("SELECT count(*) FROM fq.parked WHERE client_id = 'none'") == 1, what="it is parked")
    assert "1 event does not say why. To learn it, do one of these: start the fleet's workers with -E" in done(
        run("parked", "none")
    )
    with enabling(stage):
        wait_until(lambda: "enabled by remote" in stage.workers[-1].log, what="the fleet was asked for its events")
        it = told(stage, "none", stage.publish("none.plain", "plain"))
    assert (it.error_type, it.failures[-1].told_by) == ("ValueError", "event")
    before = read_fate(stage.store, "none", untold)
    assert before is not None and before.error_type is None
