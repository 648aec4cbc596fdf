"""On Redis a queue is many lists: the collector reads all that any fleet may publish to (G10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from bridge.collector.redis import RedisReader

CUSTOM: list[dict[str, Any]] = [
    {},
    {"sep": ":", "priority_steps": [*range(10)]},
    {"priority_steps": [0, 9]},
    {"priority_steps": [3, 6, 9]},  # without 0, kombu puts what has no priority on the last list
    {"sep": ":", "priority_steps": [5]},
    {"global_keyprefix": "tenant-", "sep": ":", "priority_steps": [0, 5]},
]


@contextmanager
def app_with(redis_url: str, options: dict[str, Any]) -> Iterator[Celery]:
    with Celery("any", broker=redis_url, set_as_current=False) as app:
        app.conf.broker_transport_options = options
        yield app


@contextmanager
def reader(redis_url: str, options: dict[str, Any]) -> Iterator[RedisReader]:
    with app_with(redis_url, options) as app:
        it = RedisReader(app, queue="bridge", others="bridge.ticks")
        try:
            yield it
        finally:
            it.close()


def publish(redis_url: str, options: dict[str, Any], priority: int | None, task: str = "bridge.commit") -> None:
    """Publish as a fleet with these transport options does."""
    with app_with(redis_url, options) as app:
        app.send_task(task, args=["c", 1], queue="bridge", priority=priority)


@pytest.mark.parametrize("priority", [None, 0, 4, 9])
@pytest.mark.parametrize("of_the_fleet", CUSTOM, ids=str)
@pytest.mark.parametrize("of_the_bridge", CUSTOM[:5], ids=str)
def test_g10_a_callback_is_found_on_whatever_list_a_fleet_put_it(
    redis_url: str, *, of_the_bridge: dict[str, Any], of_the_fleet: dict[str, Any], priority: int | None
) -> None:
    prefix = {name: value for name, value in of_the_fleet.items() if name == "global_keyprefix"}
    with reader(redis_url, {**of_the_bridge, **prefix}) as it:
        publish(redis_url, of_the_fleet, priority)
        found = it.wait(0.01) or it.take(10)
        assert [it.read(message) for message in found] == [("bridge.commit", ["c", 1])]
        it.done()


def test_g10_once_callbacks_come_on_another_list_each_is_found_soon(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reader(redis_url, {}) as it:
        publish(redis_url, {}, 9)
        assert len(it.wait(0.01)) == 1
        publish(redis_url, {}, 9)
        assert len(it.wait(3600)) == 1, "it does not wait for the first list alone"


@pytest.mark.parametrize("options", CUSTOM, ids=str)
def test_g10_what_is_no_callback_gets_to_the_list_that_the_worker_reads(
    redis_url: str, options: dict[str, Any]
) -> None:
    with reader(redis_url, options) as it, app_with(redis_url, options) as app:
        publish(redis_url, options, None, task="bridge.pump")
        it.pass_on(it.wait(0.01) or it.take(10))
        it.done()
        with app.connection_for_read() as connection:
            message = connection.SimpleQueue("bridge.ticks").get(timeout=10)
            assert message.headers["task"] == "bridge.pump"
            message.ack()


def test_g10_a_short_socket_timeout_is_no_trouble(redis_url: str) -> None:
    with reader(redis_url, {"socket_timeout": 0.2}) as it:
        assert it.wait(1.0) == []


def test_g10_somebody_else_s_key_that_is_called_like_a_list_is_left_alone(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis, reader(redis_url, {}) as it:
        redis.hset("bridge:5", "theirs", "1")
        publish(redis_url, {}, 9)
        assert len(it.wait(0.01) or it.take(10)) == 1
        it.done()
        assert redis.hgetall("bridge:5") == {b"theirs": b"1"}


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("method", [None, "gzip", "bzip2"])
def test_g10_callbacks_are_read_in_either_protocol_and_compressed(
    redis_url: str, method: str | None, protocol: int
) -> None:
    with reader(redis_url, {}) as it, app_with(redis_url, {}) as app:
        app.conf.update(task_compression=method, task_protocol=protocol)
        app.send_task("bridge.commit", args=["c", 1], queue="bridge")
        [found] = it.wait(1.0)
        assert it.read(found) == ("bridge.commit", ["c", 1])
        it.done()
