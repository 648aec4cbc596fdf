"""Joined acks: a fleet's worker with the bridge in it tells Redis of many events at once, and loses none by it (G1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.transport.redis import QoS
from redis import Redis
from redis.exceptions import ResponseError

from bridge.broker.internals.bookkeeping import set_bookkeeping
from bridge.broker.joined_qos import JoinedQoS
from tests.conftest import StartWorker
from tests.support.waiting import wait_until

FLEET = """
import os, time
from celery import Celery
from redis import Redis
from redis.commands.core import HashCommands
import bridge

app = Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_acks_late=os.environ.get("LATE") == "1",
    worker_prefetch_multiplier=16,
    broker_transport_options={
        "visibility_timeout": 2, "unacked_restore_interval": 1, "unacked_restore_limit": 100,
        "unacked_restore_throttle": 1, "global_keyprefix": os.environ.get("PREFIX", "")
    },
)
bridge.install(app)
redis = Redis.from_url(os.environ["CELERY_BROKER_URL"])
hset = HashCommands.hset

def counted(*args, **kwargs):
    redis.incr("records")  # what the server counts is for all of its clients, those of other tests too
    return hset(*args, **kwargs)

HashCommands.hset = counted

@app.task(name="fleet.handle")
def handle(number):
    time.sleep(float(os.environ.get("SECONDS", "0")))
    redis.rpush("handled", number)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "fleet.py").write_text(FLEET)
    return tmp_path


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


def send(redis_url: str, numbers: range, *, headers: dict[str, str], prefix: str = "") -> None:
    with Celery("sender", broker=redis_url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": prefix}
        for number in numbers:
            app.send_task("fleet.handle", args=[number], headers=headers)


def handled(broker: Redis) -> list[int]:
    return sorted(map(int, broker.lrange("handled", 0, -1)))


def records(broker: Redis) -> int:
    """How often a worker told Redis of messages in its hands."""
    return int(broker.get("records") or 0)


@pytest.mark.parametrize(("late", "prefix"), [("0", ""), ("1", "tenant:")])
def test_events_are_recorded_many_at_a_time_and_others_one_by_one(
    broker: Redis, fleet: Path, worker: StartWorker, late: str, prefix: str
) -> None:
    options = broker.connection_pool.connection_kwargs
    redis_url = f"redis://{options['host']}:{options['port']}/{options['db']}"
    send(redis_url, range(300), headers={"bridge_client": "c"}, prefix=prefix)
    worker("fleet", directory=fleet, env={"LATE": late, "PREFIX": prefix}, wait=False)
    wait_until(lambda: handled(broker) == list(range(300)), what="all events are handled")
    wait_until(lambda: broker.keys("*unacked*") == [], what="nothing is left in the worker's hands")
    assert records(broker) < 290, "300 events are recorded one by one"  # far fewer on an idle machine
    before = records(broker)
    send(redis_url, range(300, 320), headers={}, prefix=prefix)
    wait_until(lambda: handled(broker) == list(range(320)), what="the others are handled")
    wait_until(lambda: broker.keys("*unacked*") == [], what="nothing is left in the worker's hands")
    assert records(broker) - before >= 20, "a message that is not the bridge's must be recorded at once"


def test_switched_off_everything_is_kombus(redis_url: str, broker: Redis, fleet: Path, worker: StartWorker) -> None:
    send(redis_url, range(50), headers={"bridge_client": "c"})
    worker("fleet", directory=fleet, env={"BRIDGE_JOINED_ACKS": "off"}, wait=False)
    wait_until(lambda: handled(broker) == list(range(50)), what="all events are handled")
    assert records(broker) >= 50


def test_g1_what_a_killed_worker_had_comes_back_without_the_lease(
    redis_url: str, broker: Redis, fleet: Path, worker: StartWorker
) -> None:
    send(redis_url, range(40), headers={"bridge_client": "c"})
    # Handlers that do not end: nothing arrives or is done in the moment of the kill, which only the lease would cover.
    first = worker("fleet", directory=fleet, env={"SECONDS": "600", "LATE": "1"}, wait=False)
    wait_until(lambda: broker.hlen("unacked") == 32, what="the worker has its hands full")
    first.kill()
    worker("fleet", directory=fleet)
    wait_until(lambda: set(handled(broker)) == set(range(40)), timeout=60, what="the next worker has handled all")


def test_a_warm_shutdown_puts_back_what_was_not_begun(
    redis_url: str, broker: Redis, fleet: Path, worker: StartWorker
) -> None:
    send(redis_url, range(60), headers={"bridge_client": "c"})
    first = worker("fleet", directory=fleet, env={"SECONDS": "0.05"}, wait=False)
    wait_until(lambda: len(handled(broker)) >= 4, what="the worker is in the middle")
    first.stop()
    done, left = handled(broker), int(broker.llen("celery"))
    assert len(done) + left == 60 and left, f"{len(done)} handled, {left} on the queue"
    assert broker.keys("unacked*") == []


class Loop:
    """Stands for the worker's event loop: calls when it is told to."""

    def __init__(self) -> None:
        self.later: list[Any] = []

    def call_later(self, seconds: float, function: Any) -> None:
        self.later.append(function)


@pytest.fixture
def channel(redis_url: str) -> Iterator[Any]:
    with Celery("reader", broker=redis_url, set_as_current=False) as app, app.connection_for_read() as connection:
        yield connection.default_channel


def take(channel: Any, qos: JoinedQoS, number: int, **headers: str) -> str:
    """Let a message arrive as kombu's consumer would; return its tag."""
    set_bookkeeping(channel, qos)
    message = channel.Message(
        {
            "body": str(number),
            "headers": headers,
            "properties": {"delivery_tag": f"t{number}", "delivery_info": {"exchange": "", "routing_key": "celery"}},
        },
        channel=channel,
    )
    qos.append(message, message.delivery_tag)
    return str(message.delivery_tag)


def test_what_is_taken_and_done_at_once_is_never_written(channel: Any, broker: Redis) -> None:
    loop = Loop()
    qos = JoinedQoS(channel.qos, loop)
    tags = [take(channel, qos, n, bridge_client="c") for n in range(3)]
    qos.ack(tags[0])
    assert broker.hkeys("unacked") == []
    assert len(loop.later) == 1
    loop.later.pop()()
    assert sorted(broker.hkeys("unacked")) == ["t1", "t2"] == sorted(broker.zrange("unacked_index", 0, -1))
    qos.ack(tags[1])
    assert broker.hlen("unacked") == 2
    loop.later.pop()()
    assert broker.hkeys("unacked") == ["t2"]
    assert qos.can_consume()


def test_what_is_put_back_was_written_before(channel: Any, broker: Redis) -> None:
    qos = JoinedQoS(channel.qos, Loop())
    tag = take(channel, qos, 1, bridge_client="c")
    qos.reject(tag, requeue=True)
    assert broker.llen("celery") == 1
    assert broker.keys("unacked*") == []


def test_after_the_loop_has_ended_everything_is_written_at_once(channel: Any, broker: Redis) -> None:
    qos = JoinedQoS(channel.qos, Loop())
    first = take(channel, qos, 1, bridge_client="c")
    qos.close()
    assert broker.hkeys("unacked") == ["t1"]
    qos.ack(first)
    assert broker.keys("unacked*") == []
    take(channel, qos, 2, bridge_client="c")
    assert broker.hkeys("unacked") == ["t2"]


def test_the_prefetch_limit_counts_what_is_not_written_yet(channel: Any) -> None:
    before = QoS(channel, 2)
    qos = JoinedQoS(before, Loop())
    tags = [take(channel, qos, n, bridge_client="c") for n in range(2)]
    assert not qos.can_consume()
    qos.ack(tags[0])
    assert qos.can_consume()


def test_what_redis_did_not_take_is_written_later(channel: Any, broker: Redis) -> None:
    loop = Loop()
    qos = JoinedQoS(channel.qos, loop)
    tags = [take(channel, qos, n, bridge_client="c") for n in range(2)]
    broker.set("unacked", "not a hash")
    with pytest.raises(ResponseError):
        loop.later.pop()()
    broker.delete("unacked")
    qos.ack(tags[0])
    loop.later.pop()()
    assert broker.hkeys("unacked") == ["t1"]
