"""In-process commit: the fleet's worker reports to Postgres itself, and messages carry no callbacks (G1, G3, G7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

import bridge
from bridge.model import Registration
from bridge.store import Store
from bridge.store.clients import register
from tests.conftest import Connect, StartWorker
from tests.waiting import wait_until

FLEET = """
import os, time
from celery import Celery
import bridge

app = Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True)
bridge.install(app)

@app.task(name="fleet.handle")
def handle(event):
    if event["payload"] == "poison":
        raise ValueError("no")
    if event["payload"] == "die" and event["attempt"] == 1:
        os._exit(1)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "fleet.py").write_text(FLEET)
    return tmp_path


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_outcomes_reach_postgres_without_callbacks(
    database: str, connect: Connect, fleet: Path, worker: StartWorker, pool: str
) -> None:
    store = Store(database)
    settings = {"task": "fleet.handle", "commit": "in-process", "max_attempts": 2, "backoff_seconds": 0}
    register(store, Registration(id="c", given=settings))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", "poison" if n == 7 else n, f"k{n % 5}") for n in range(60)])
    env = {"BRIDGE_DATABASE_URL": database}
    worker("bridge", directory=fleet, env=env, queues=["bridge"], args=["-B"], name="bridge")
    # The pump's worker is another one: this one only runs handlers.
    worker("fleet", directory=fleet, env=env, pool=pool, name="fleet")
    eyes = connect()

    def cursor() -> int:
        return int(eyes.execute("SELECT \"offset\" FROM fq.clients WHERE id = 'c'").fetchone()[0])  # type: ignore[index]

    wait_until(lambda: cursor() == 60, timeout=90, what="the cursor at the end")
    parked = eyes.execute('SELECT "offset", attempts, error_type, error FROM fq.parked').fetchall()
    assert parked == [(8, 2, "ValueError", "no")]
    assert eyes.execute("SELECT count(*) FROM fq.deliveries").fetchone() == (0,)
    assert "Traceback" in str(eyes.execute("SELECT traceback FROM fq.parked").fetchone())
    store.close()


def test_g1_a_worker_that_dies_before_it_reports_loses_nothing(
    database: str, redis_url: str, connect: Connect, fleet: Path, worker: StartWorker
) -> None:
    store = Store(database)
    settings = {"task": "fleet.handle", "commit": "in-process", "ack_timeout_seconds": 2}
    register(store, Registration(id="c", given=settings))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", "die" if n == 10 else n) for n in range(30)])
    env = {"BRIDGE_DATABASE_URL": database}
    worker("bridge", directory=fleet, env=env, queues=["bridge"], args=["-B"], name="bridge")
    worker("fleet", directory=fleet, env=env, name="fleet")
    eyes = connect()
    wait_until(
        lambda: eyes.execute("SELECT \"offset\" FROM fq.clients WHERE id = 'c'").fetchone() == (30,),
        timeout=90,
        what="everything handled, what died was handed over again",
    )
    store.close()


def test_messages_of_such_a_client_carry_no_callbacks(database: str, redis_url: str) -> None:
    import base64
    import json

    from celery import Celery

    from bridge.sender import Sender
    from tests.test_stencil import client, delivery

    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        for fast in (True, False):
            to = client(commit="in-process")
            sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, fast=fast)
            sender.send(to, [delivery(to, epoch=3, attempt=2)])
            sender.close()
        app.close()
    with Redis.from_url(redis_url) as redis:
        messages = [json.loads(message) for message in redis.lrange("celery", 0, -1)]
    for message in messages:
        embedded = json.loads(base64.b64decode(message["body"]))[2]
        assert embedded["callbacks"] is None and embedded["errbacks"] is None
        headers = {name: value for name, value in message["headers"].items() if name.startswith("bridge_")}
        assert {**headers, "bridge_signature": "…"} == {
            "bridge_client": "c",
            "bridge_offset": 42,
            "bridge_attempt": 2,
            "bridge_epoch": 3,
            "bridge_signature": "…",
        }
