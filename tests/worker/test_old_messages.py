"""A fleet with the bridge installed runs no message of an older generation of the log, and only says so (G6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import Ignore
from redis import Redis

from bridge.worker.old_messages import _compare_before, set_known_generation
from tests.conftest import Connect, StartWorker
from tests.support.waiting import wait_until

FLEET = """
import os
import celery
from redis import Redis
import bridge

app = celery.Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True)
bridge.install(app)
redis = Redis.from_url(os.environ["CELERY_BROKER_URL"])

class Own(celery.Task):
    def before_start(self, task_id, args, kwargs):
        redis.rpush("ran", "before")

@app.task(name="fleet.handle")
def handle(word):
    redis.rpush("ran", word)

@app.task(name="fleet.own", base=Own)
def own(word):
    redis.rpush("ran", word)
"""


@pytest.fixture
def _restored() -> Iterator[None]:
    yield
    set_known_generation(0)


@pytest.mark.usefixtures("_restored")
def test_g6_a_task_of_an_older_generation_does_not_start_and_all_others_do() -> None:
    begun: list[object] = []
    with Celery("fleet", broker="memory://", set_as_current=False) as app:

        class Own(Task[Any, Any]):
            def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
                begun.append(args)

        @app.task(base=Own, shared=False, name="handle")
        def made() -> None: ...

        app.finalize()
        handle = app.tasks["handle"]
        _compare_before(handle)
        _compare_before(handle)  # a second worker of this process
        for known, generation, starts in [
            (0, 1, True),  # it is not known yet
            (2, 1, False),
            (2, 2, True),
            (2, 3, True),  # this worker has not read it yet
            (2, None, True),  # not from the bridge
            (2, "1", True),  # forged: a handler's own matter
        ]:
            set_known_generation(known)
            before = len(begun)
            handle.push_request(bridge_client="c", bridge_offset=1, bridge_generation=generation)
            with suppress(Ignore):
                handle.before_start("id", ("args",), {})
            handle.pop_request()
            assert len(begun) - before == starts, (known, generation)


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_g6_a_worker_of_the_fleet_ignores_messages_of_an_older_generation(
    database: str, redis_url: str, connect: Connect, worker: StartWorker, tmp_path: Path, *, pool: str
) -> None:
    (tmp_path / "fleet.py").write_text(FLEET)
    eyes = connect()
    it = worker("fleet", directory=tmp_path, env={"BRIDGE_DATABASE_URL": database}, pool=pool, name="fleet")
    with Celery("sender", broker=redis_url, set_as_current=False) as app, Redis.from_url(redis_url) as redis:

        def send(task: str, word: str, **headers: Any) -> None:
            app.send_task(task, args=[word], queue="celery", headers=headers)

        send("fleet.handle", "first", bridge_client="c", bridge_offset=1, bridge_generation=1)
        wait_until(lambda: redis.lrange("ran", 0, -1) == [b"first"], what="the first one runs")
        eyes.execute("UPDATE fq.log SET starts = starts || CAST(1 AS bigint)")

        def refused() -> bool:
            send("fleet.handle", "old", bridge_client="c", bridge_offset=1, bridge_generation=1)
            return "older generation" in it.log

        wait_until(refused, what="the worker knows the new generation")
        redis.delete("ran")
        for task in ("fleet.handle", "fleet.own"):
            send(task, "old", bridge_client="c", bridge_offset=1, bridge_generation=1)
            send(task, f"new {task}", bridge_client="c", bridge_offset=1, bridge_generation=2)
            send(task, f"not ours {task}")
        wait_until(lambda: redis.llen("ran") >= 6, what="all others run")
        expected = [b"before", b"before", *(f"{w} {t}".encode() for w in ("new", "not ours") for t in TASKS)]
        assert sorted(redis.lrange("ran", 0, -1)) == sorted(expected)
        app.close()


TASKS = ("fleet.handle", "fleet.own")
