"""What the broker's workers say of themselves: the bridge's own worker is recognised, also with the collector on."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

import pytest
from celery import Celery

from bridge.operate.workers import ask_workers
from tests.conftest import StartWorker
from tests.support.waiting import wait_until


@pytest.mark.parametrize("collector", ["true", "false"])
def test_a_bridge_worker_is_seen_to_consume_the_bridge_s_queue(
    database: str, redis_url: str, worker: StartWorker, tmp_path: Path, collector: str
) -> None:
    env = {"BRIDGE_DATABASE_URL": database, "BRIDGE_COLLECTOR": collector}
    worker("bridge", directory=tmp_path, env=env, queues=["bridge"], name="bridge")
    with Celery("looker", broker=redis_url, set_as_current=False) as app:
        # It always waits that long: so, not long, but again.
        looks = (ask_workers(app, queue="celery", bridge_queue="bridge", timeout_seconds=1) for _ in repeat(None))
        seen = wait_until(lambda: it if (it := next(looks)).answered else None, what="the worker answers")
        app.close()
    assert seen is not None
    assert (seen.trouble, seen.answered, len(seen.bridge_workers), seen.consumers) == (None, 1, 1, ())


def test_workers_of_a_queue_that_have_no_bridge_are_told_from_those_that_have(
    database: str, redis_url: str, worker: StartWorker, tmp_path: Path
) -> None:
    env = {"BRIDGE_DATABASE_URL": database}
    (tmp_path / "plain.py").write_text("from celery import Celery\napp = Celery('plain')\n", encoding="utf-8")
    worker("plain", directory=tmp_path, pool="solo", name="plain")
    worker("bridge", directory=tmp_path, env=env, queues=["bridge", "celery"], name="bridge")
    with Celery("looker", broker=redis_url, set_as_current=False) as app:
        looks = (ask_workers(app, queue="celery", bridge_queue="bridge", timeout_seconds=1) for _ in repeat(None))
        seen = wait_until(lambda: it if len((it := next(looks)).consumers) == 2 else None, what="both workers answer")
        app.close()
    assert seen is not None
    assert [name.partition("@")[0] for name in seen.without_bridge] == ["plain"]
