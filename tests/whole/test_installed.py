"""Run a fleet with the bridge installed: its workers report together, to Postgres or by callback (G1, G3, G7)."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import Celery
from redis import Redis

import bridge
from bridge.app import Bridge
from bridge.model import Registration
from bridge.pump.loop import pump_of
from bridge.sender.sender import Sender
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store import Store
from bridge.store.clients import register
from tests.conftest import Connect, StartWorker
from tests.sender.test_messages import client, delivery
from tests.support.link import Link
from tests.support.waiting import wait_until

FLEET = """
import os
from celery import Celery
from redis import Redis
import bridge

app = Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_backend=os.environ.get("RESULTS"),
    result_backend_transport_options={"retry_policy": {"max_retries": 0}},
)
bridge.install(app)

redis = Redis.from_url(os.environ["CELERY_BROKER_URL"])

@app.task(name="fleet.handle", bind=True)
def handle(self, event):
    if event["payload"] == "poison":
        raise ValueError("no")
    if event["payload"] == "die" and event["attempt"] == 1:
        os._exit(1)
    if event["payload"] == "replace":
        raise self.replace(app.signature("fleet.later", args=["replaced"], immutable=True))

class Custom(app.Task):
    def on_failure(self, *_):
        raise RuntimeError("in on_failure")

    def on_success(self, *_):
        raise RuntimeError("in on_success")

@app.task(name="fleet.fails_to_fail", base=Custom)
def fails_to_fail(event):
    raise ValueError("no")

@app.task(name="fleet.fails_to_succeed", base=Custom)
def fails_to_succeed(event):
    pass

@app.task(name="fleet.answers")
def answers(event):
    redis.rpush("began", event["offset"])
    if event["payload"] == "poison":
        raise ValueError("no")
    return object() if event["payload"] == "odd" else 1

@app.task(name="fleet.later")
def later(word):
    redis.rpush("began", word)
    redis.blpop("go")
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "fleet.py").write_text(FLEET)
    return tmp_path


@pytest.mark.parametrize(
    ("report_by", "pool"),
    [
        ("callback", "prefork"),
        ("in-process", "prefork"),
        pytest.param("in-process", "threads", marks=pytest.mark.slow),
        pytest.param("callback", "gevent", marks=pytest.mark.slow),
        pytest.param("callback", "threads", marks=pytest.mark.slow),
        pytest.param("callback", "solo", marks=pytest.mark.slow),
        pytest.param("in-process", "gevent", marks=pytest.mark.slow),
        pytest.param("in-process", "solo", marks=pytest.mark.slow),
    ],
)
def test_outcomes_reach_postgres(
    database: str, connect: Connect, fleet: Path, worker: StartWorker, *, pool: str, report_by: str
) -> None:
    store = Store(database)
    settings = {"task": "fleet.handle", "report_by": report_by, "max_attempts": 2, "backoff_seconds": 0}
    register(store, Registration(id="c", given=settings))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", "poison" if n == 7 else n, f"k{n % 5}") for n in range(60)])
    env = {"BRIDGE_DATABASE_URL": database}
    worker("bridge", directory=fleet, env=env, queues=["bridge"], beat=True, name="bridge")
    # The pump's worker is another one: this one only runs handlers. To report by callback, it needs no database.
    worker("fleet", directory=fleet, env=env if report_by == "in-process" else {}, pool=pool, name="fleet")
    eyes = connect()

    def cursor() -> int:
        return int(eyes.execute("SELECT \"offset\" FROM fq.clients WHERE id = 'c'").fetchone()[0])  # type: ignore[index]

    wait_until(lambda: cursor() == 60, timeout=90, what="the cursor at the end")
    parked = eyes.execute('SELECT "offset", attempts, error_type, error FROM fq.parked').fetchall()
    assert parked == [(8, 2, "ValueError", "no")]
    assert eyes.execute("SELECT count(*) FROM fq.deliveries").fetchone() == (0,)
    [(traceback, failures)] = eyes.execute("SELECT traceback, failures FROM fq.parked").fetchall()
    assert "Traceback" in traceback
    by = {"in-process": "worker", "callback": "callback"}[report_by]
    assert [(one["attempt"], one["error_type"], one["told_by"]) for one in failures] == [
        (1, "ValueError", by),
        (2, "ValueError", by),
    ]
    assert all(one["host"].startswith("fleet@") and one["runtime_seconds"] > 0 for one in failures)
    store.close()


@pytest.mark.parametrize("report_by", ["in-process", pytest.param("callback", marks=pytest.mark.slow)])
def test_g1_a_worker_that_dies_before_it_reports_loses_nothing(
    database: str, connect: Connect, fleet: Path, worker: StartWorker, report_by: str
) -> None:
    store = Store(database)
    settings = {"task": "fleet.handle", "report_by": report_by, "ack_timeout_seconds": 2}
    register(store, Registration(id="c", given=settings))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", "die" if n == 10 else n) for n in range(30)])
    env = {"BRIDGE_DATABASE_URL": database}
    worker("bridge", directory=fleet, env=env, queues=["bridge"], beat=True, name="bridge")
    worker("fleet", directory=fleet, env=env, name="fleet")
    eyes = connect()
    wait_until(
        lambda: eyes.execute("SELECT \"offset\" FROM fq.clients WHERE id = 'c'").fetchone() == (30,),
        timeout=90,
        what="everything is handled, also the event whose worker died",
    )
    store.close()


def test_many_callbacks_travel_in_one_message(database: str, redis_url: str, fleet: Path, worker: StartWorker) -> None:
    with Redis.from_url(redis_url) as redis, Celery("pump", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_secret="s", bridge_linger_seconds=0)
        pump = Bridge(app)
        register(pump.store, Registration(id="c", given={"task": "fleet.handle", "max_attempts": 1}))
        with pump.store.transaction() as connection:
            bridge.publish_many(connection, [("t", "poison" if n == 7 else n) for n in range(300)])
        assert pump_of(pump).tick().sent == 300
        it = worker("fleet", directory=fleet)
        wait_until(lambda: redis.llen("celery") == 0 and redis.hlen("unacked") == 0, what="all is handled")
        it.kill(signal.SIGTERM)
        wait_until(lambda: it.exit_code is not None, what="the worker has ended")  # and has reported by then
        messages = [json.loads(message) for message in redis.lrange("bridge", 0, -1)]
        assert len(messages) < 290, "callbacks are published one by one"
        callbacks = [(m["headers"]["task"], json.loads(base64.b64decode(m["body"]))[0]) for m in messages]
        settled = settle_callbacks(pump, callbacks)
        assert (settled.succeeded, settled.parked, settled.ignored) == (299, 1, 0)
        pump.sender.close()
        pump.store.close()


@pytest.mark.parametrize("report_by", ["in-process", pytest.param("callback", marks=pytest.mark.slow)])
def test_what_replaces_a_handler_takes_its_callbacks_along(
    *, database: str, redis_url: str, connect: Connect, fleet: Path, worker: StartWorker, report_by: str
) -> None:
    store = Store(database)
    register(store, Registration(id="c", given={"task": "fleet.handle", "report_by": report_by}))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", "replace"), *[("t", n) for n in range(20)]])
    env = {"BRIDGE_DATABASE_URL": database}
    worker("bridge", directory=fleet, env=env, queues=["bridge"], beat=True)
    worker("fleet", directory=fleet, env=env if report_by == "in-process" else {})
    eyes = connect()

    def left() -> list[tuple[int]]:
        return eyes.execute('SELECT "offset" FROM fq.deliveries').fetchall()

    with Redis.from_url(redis_url) as redis:
        wait_until(lambda: redis.llen("began") == 1, what="the replacement runs")
        wait_until(lambda: left() == [(1,)], what="all others are settled, and that one is not")
        redis.rpush("go", "on")
        wait_until(lambda: left() == [], what="that one is settled too")
    store.close()


def test_what_goes_wrong_in_a_task_s_own_hooks_is_reported_and_not_left_to_the_lease(
    database: str, connect: Connect, fleet: Path, worker: StartWorker
) -> None:
    store, env = Store(database), {"BRIDGE_DATABASE_URL": database}
    for task in ("fails_to_fail", "fails_to_succeed"):
        given = {"task": f"fleet.{task}", "report_by": "in-process", "max_attempts": 1, "topics": [task]}
        register(store, Registration(id=task, given=given))
    with store.transaction() as connection:
        bridge.publish_many(connection, [("fails_to_fail", n) for n in range(3)])
        bridge.publish_many(connection, [("fails_to_succeed", n) for n in range(3)])
    worker("bridge", directory=fleet, env=env, queues=["bridge"], beat=True)
    worker("fleet", directory=fleet, env=env)
    eyes = connect()
    done = 'SELECT min("offset") FROM fq.clients'
    wait_until(lambda: eyes.execute(done).fetchone() == (6,), what="all of them have ended, long before a lease")
    parked = eyes.execute('SELECT client_id, error_type, error FROM fq.parked ORDER BY "offset"').fetchall()
    reasons = {("fails_to_fail", "ValueError", "no"), ("fails_to_fail", "RuntimeError", "in on_failure")}
    assert len(parked) == 3 and set(parked) <= reasons, "its process tells the first, and its main process the second"
    store.close()


@pytest.mark.parametrize("fault", [pytest.param("refuses", marks=pytest.mark.slow), "hangs"])
def test_g10_a_result_store_at_fault_changes_no_outcome_that_is_reported_in_process(
    database: str, redis_url: str, connect: Connect, fleet: Path, worker: StartWorker, *, fault: str
) -> None:
    store, env, eyes = Store(database), {"BRIDGE_DATABASE_URL": database}, connect()
    given = {"task": "fleet.answers", "report_by": "in-process", "max_attempts": 2, "backoff_seconds": 0}
    register(store, Registration(id="c", given=given))
    link = Link(urlsplit(redis_url).port or 6379)
    worker("bridge", directory=fleet, env=env, queues=["bridge"], beat=True)
    worker("fleet", directory=fleet, env=env | {"RESULTS": f"redis://127.0.0.1:{link.port}/0"}, concurrency=4)
    if fault == "hangs":
        link.mute()
    else:
        link.close()
    with store.transaction() as connection:
        bridge.publish_many(connection, [("t", payload) for payload in ("fine", "odd", "poison")])

    def is_over() -> bool:
        done = 'SELECT "offset" = 3 FROM fq.clients WHERE NOT EXISTS (SELECT FROM fq.deliveries)'
        return eyes.execute(done).fetchone() == (True,)

    wait_until(is_over, timeout=60, what="all outcomes are settled, long before a lease")
    assert eyes.execute('SELECT "offset", error_type, error FROM fq.parked').fetchall() == [(3, "ValueError", "no")]
    with Redis.from_url(redis_url) as redis:
        assert sorted(redis.lrange("began", 0, -1)) == [b"1", b"2", b"3", b"3"], "what succeeds runs once"
    link.close()
    store.close()


def test_messages_of_an_in_process_client_carry_no_callbacks(redis_url: str) -> None:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        for redis_writer in (True, False):
            to = client(report_by="in-process")
            sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=redis_writer)
            sender.send(to, [delivery(to, epoch=3, attempt=2)])
            sender.close()
        app.close()
    with Redis.from_url(redis_url) as redis:
        messages = [json.loads(message) for message in redis.lrange("celery", 0, -1)]
    assert len(messages) == 2, "one cut from a stencil, one rendered by Celery"
    for message in messages:
        embedded = json.loads(base64.b64decode(message["body"]))[2]
        assert embedded["callbacks"] is None and embedded["errbacks"] is None
        headers = {name: value for name, value in message["headers"].items() if name.startswith("bridge_")}
        assert {**headers, "bridge_signature": "…"} == {
            "bridge_client": "c",
            "bridge_offset": 42,
            "bridge_attempt": 2,
            "bridge_epoch": 3,
            "bridge_generation": 1,
            "bridge_signature": "…",
        }
