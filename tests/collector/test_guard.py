"""The bridge's worker outlives what strangers put on its queues, also where the collector is not in between (G10)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import amqp
import pytest
from celery import Celery
from redis import Redis

from tests.collector.collecting import SECONDS, Broker, OnRabbit, OnRedis
from tests.collector.letters import deep, envelope, headers, written
from tests.conftest import StartWorker
from tests.support.waiting import wait_until

APP = """
import os
from celery import Celery
from redis import Redis
import bridge

app = Celery("bridge_here", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, bridge_collector=os.environ["COLLECT"] == "yes")
bridge.install(app)

@app.task(name="ping")
def ping():
    Redis.from_url(os.environ["NOTEBOOK_URL"]).rpush("pong", 1)
"""
BODIES = {
    "null": b"null",
    "an empty list": b"[]",
    "nothing": b"",
    "no JSON": b"\xff\xfe",
    "too deep": json.dumps([deep(900), {}, {}]).encode(),
    "args": b'["args", {}, {}]',
}


def garbage_on_redis() -> list[bytes]:
    """Return messages that no worker can read, as they are stored."""
    found = [written(envelope(body)) for body in BODIES.values()]
    for name, value in {"id": [], "task": {}, "eta": "", "timelimit": 5, "errbacks": 5}.items():
        one = envelope()
        one["headers"][name] = value
        found.append(written(one))
    for name, value in {"delivery_tag": [], "body_encoding": "rot13", "delivery_info": 5}.items():
        one = envelope()
        one["properties"][name] = value
        found.append(written(one))
    return [*found, b"\x00\xff", b"null", b"{}", written({**envelope(), "headers": None})]


def put_garbage(broker: Broker, queue: str) -> int:
    """Put messages that no worker can read on a queue; return how many."""
    if isinstance(broker, OnRedis):
        found = garbage_on_redis()
        for message in found:
            broker.put(queue, message)
        return len(found)
    good: dict[str, Any] = {"content_type": "application/json", "content_encoding": "utf-8"}
    for body in BODIES.values():
        broker.put(queue, body, application_headers=headers(), **good)
    for name, value in {"id": [], "task": {}, "eta": "", "timelimit": 5, "errbacks": 5}.items():
        broker.put(queue, b"[[], {}, {}]", application_headers={**headers(), name: value}, **good)
    broker.put(queue, b"[[], {}, {}]", content_type=b"\xff\xfe", application_headers=headers())
    return len(BODIES) + 6


@pytest.mark.parametrize("collect", ["yes", "no"])
@pytest.mark.parametrize("kind", [OnRedis, OnRabbit])
def test_g10_garbage_on_any_of_its_queues_does_not_end_the_worker(
    request: pytest.FixtureRequest, worker: StartWorker, tmp_path: Path, redis_url: str, *, kind: Any, collect: str
) -> None:
    broker: Broker = kind(redis_url if kind is OnRedis else request.getfixturevalue("amqp_url"))
    (tmp_path / "bridge_here.py").write_text(APP)
    env = {
        "CELERY_BROKER_URL": broker.url,
        "NOTEBOOK_URL": redis_url,
        "COLLECT": collect,
        "BRIDGE_DATABASE_URL": request.getfixturevalue("database"),
    }
    it = worker("bridge_here", directory=tmp_path, env=env, queues=["bridge"], name="bridge")
    queues = ["bridge", "bridge.ticks"] if collect == "yes" else ["bridge"]
    number = sum(put_garbage(broker, queue) for queue in queues)
    wait_until(lambda: broker.waiting("bridge.unreadable") == number, timeout=SECONDS, what="all of it is set aside")
    ping = envelope()
    ping["headers"]["task"] = "ping"
    if kind is OnRedis:
        broker.put(queues[-1], written(ping))
    else:
        good = {"content_type": "application/json", "content_encoding": "utf-8"}
        broker.put(queues[-1], b"[[], {}, {}]", application_headers=ping["headers"], **good)
    notebook = Redis.from_url(redis_url)
    wait_until(lambda: notebook.llen("pong"), timeout=SECONDS, what="it lives and works")
    notebook.close()
    broker.close()
    assert "Unrecoverable" not in it.log


LISTENING = """
import os
from celery import Celery
import bridge

app = Celery("bridge_here", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True)
bridge.install(app)

from celery.worker.consumer.gossip import Gossip

begin = Gossip.__init__

def gossiping(self, consumer, without_gossip=False, **options):
    begin(self, consumer, **options)  # as workers do unless they are told otherwise

Gossip.__init__ = gossiping
"""
HEARTBEAT = {"exchange": "celeryev", "routing_key": "worker.heartbeat"}
GOOD = {"content_type": "application/json", "content_encoding": "utf-8"}


def broadcasts_on_redis() -> Iterator[bytes]:
    """Return what may be broadcast there, as it is stored."""
    yield from (b"[]", b"5", b"{}", b"null", b"[" * 100_000, b"\xff\xfe", b'{"properties": {}}')
    yield written({**envelope(), "headers": 5})
    yield written({**envelope(), "headers": None, "content-type": "nonsense"})
    for body in (b"[]", b"5", b"", b'{"type": "worker-heartbeat"}', b"[" * 100_000):
        for theirs in ({}, {"hostname": "x@y"}, {"hostname": [], "compression": "none such"}):
            one = {**envelope(body), "headers": theirs}
            one["properties"]["delivery_info"] = HEARTBEAT
            yield written(one)


def broadcasts_on_rabbitmq() -> Iterator[amqp.Message]:
    """Return what may be broadcast there."""
    for body in (b"[]", b"5", b"", b'{"type": "worker-heartbeat"}', b"[" * 100_000, b"\xff\xfe"):
        for theirs in ({}, {"hostname": "x@y"}, {"hostname": [], "compression": "none such"}):
            yield amqp.Message(body, application_headers=theirs, **GOOD)
        yield amqp.Message(body)
    yield amqp.Message(b"[]", content_type="application/json", content_encoding="rot99")
    yield amqp.Message(b"[]", content_type="nonsense", content_encoding="binary")


def broadcast(broker: Broker) -> None:
    """Broadcast all of it, as remote control and as events of workers."""
    if isinstance(broker, OnRedis):
        database = broker.url.rpartition("/")[2]
        for message in broadcasts_on_redis():
            for place in ("celery.pidbox", "celeryev/worker.heartbeat", "celeryev/worker.elect"):
                wait_until(
                    partial(broker.client.publish, f"/{database}.{place}", message),
                    timeout=SECONDS,
                    what=f"somebody listens to {place}: Celery connects anew after some errors",
                )
        return
    assert isinstance(broker, OnRabbit)
    with broker.connection.channel() as channel:
        for message in broadcasts_on_rabbitmq():
            channel.basic_publish(message, exchange="celery.pidbox")
            for key in ("worker.heartbeat", "worker.elect"):
                channel.basic_publish(message, exchange="celeryev", routing_key=key)


@pytest.mark.parametrize("kind", [OnRedis, OnRabbit])
def test_g10_garbage_that_is_broadcast_does_not_end_the_worker(
    request: pytest.FixtureRequest, worker: StartWorker, tmp_path: Path, redis_url: str, *, kind: Any
) -> None:
    """Anybody on the broker may broadcast; Celery reads it in the worker's event loop."""
    broker: Broker = kind(redis_url if kind is OnRedis else request.getfixturevalue("amqp_url"))
    (tmp_path / "bridge_here.py").write_text(LISTENING)
    env = {"CELERY_BROKER_URL": broker.url, "BRIDGE_DATABASE_URL": request.getfixturevalue("database")}
    it = worker("bridge_here", directory=tmp_path, env=env, queues=["bridge"], name="bridge")
    broadcast(broker)
    wait_until(lambda: "can't be read" in it.log or it.exit_code is not None, timeout=SECONDS, what="it has come")
    with Celery("asks", broker=broker.url, set_as_current=False) as asking:
        wait_until(lambda: asking.control.ping(timeout=2), timeout=SECONDS, what="it lives, and answers")
    broker.close()
    assert it.exit_code is None
    assert "Unrecoverable" not in it.log
    assert "Connection to broker lost" not in it.log
