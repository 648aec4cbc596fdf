"""The collector's hands: what it takes off a real Redis is settled, passed on or put back, and never lost."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from bridge.collector.redis import DEAD_AFTER_SECONDS, RedisReader, decode
from bridge.contract import sign
from bridge.demo.servers import run_redis
from bridge.errors import BrokerUnavailable, NotInstalled
from tests.collector.collecting import collecting
from tests.support.servers import missing
from tests.support.waiting import wait_until
from tests.support.world import World

StartCollector = Callable[..., RedisReader]

GARBAGE = {
    "no JSON": b"\x00\xffgarbage",
    "no text": "\udcff".encode(errors="surrogatepass"),
    "JSON of another kind": b'["a", "list"]',
    "a number": b"1",
    "no body": b'{"content-type": "application/json", "headers": {"task": "bridge.commit"}, "properties": {}}',
    "nesting beyond reason": b"[" * 100_000,
}


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, by a connection of the test's own."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def publisher(redis_url: str) -> Iterator[Celery]:
    """A plain Celery app that publishes on the broker."""
    with Celery("publisher", broker=redis_url) as app:
        yield app


@pytest.fixture
def collector(redis_url: str) -> Iterator[StartCollector]:
    """A factory of collectors on the queue `bridge`; all that were not killed are closed after the test."""
    started: list[tuple[Celery, RedisReader]] = []

    def start(**transport_options: Any) -> RedisReader:
        app = Celery("collector", broker=redis_url)
        app.conf.broker_transport_options = transport_options
        callbacks = RedisReader(app, queue="bridge", others="bridge.ticks")
        started.append((app, callbacks))
        return callbacks

    yield start
    for app, callbacks in started:
        callbacks.close()
        app.close()


def publish(app: Celery, *numbers: int, **options: Any) -> None:
    for number in numbers:
        app.send_task("bridge.commit", args=["c", number, 1, 1, "signature"], queue="bridge", **options)


def numbers(messages: list[bytes]) -> list[int]:
    """The offsets that these callbacks are about."""
    found = [decode(message) for message in messages]
    return [callback.args[1] for callback in found if callback]


def keys(broker: Redis, pattern: str = "*") -> list[bytes]:
    found: Any = broker.keys(pattern)
    return list(found)


def own_lists(broker: Redis, prefix: str = "") -> list[bytes]:
    return keys(broker, f"{prefix}bridge.taken.*")


def seem_dead(broker: Redis, *, seconds: float = DEAD_AFTER_SECONDS + 1, prefix: str = "") -> None:
    """Let the last sign of life of every collector that holds something be this old."""
    for own in own_lists(broker, prefix):
        assert broker.zscore(f"{prefix}bridge.collectors", own) is not None, "it holds something and nobody knows of it"
        broker.zadd(f"{prefix}bridge.collectors", {own: time.time() - seconds})


def test_callbacks_are_taken_oldest_first_and_no_more_than_asked_for(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publish(publisher, 1, 2, 3, 4, 5)
    callbacks = collector()
    assert numbers(callbacks.take(3)) == [1, 2, 3]
    assert broker.llen("bridge") == 2
    assert numbers(callbacks.take(3)) == [4, 5]
    assert callbacks.take(3) == []


def test_what_is_taken_stays_in_the_broker_until_it_is_done(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publish(publisher, 1, 2, 3)
    callbacks = collector()
    first, rest = callbacks.wait(10), callbacks.take(10)
    assert (numbers(first), numbers(rest)) == ([1], [2, 3])
    assert broker.llen("bridge") == 0
    [own] = own_lists(broker)
    assert sorted(broker.lrange(own, 0, -1)) == sorted(first + rest)
    callbacks.done()
    assert own_lists(broker) == []


def test_waiting_ends_with_the_next_callback_or_with_nothing(publisher: Celery, collector: StartCollector) -> None:
    callbacks = collector()
    assert callbacks.wait(0.01) == []
    publisher_thread = threading.Timer(0.05, publish, (publisher, 7))
    publisher_thread.start()
    assert numbers(callbacks.wait(60)) == [7]
    publisher_thread.join()


def test_a_collector_that_is_closed_puts_back_what_is_not_settled(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publish(publisher, 1, 2, 3)
    leaving = collector()
    leaving.take(3)
    leaving.close()
    assert own_lists(broker) == []
    assert broker.zcard("bridge.collectors") == 0
    assert sorted(numbers(collector().take(10))) == [1, 2, 3]


@pytest.mark.parametrize("how", ["take", "wait"])
def test_what_a_dead_collector_had_taken_is_put_back_once_it_has_long_given_no_sign_of_life(
    how: str, publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publish(publisher, 1, 2)
    dead, heir = collector(), collector()
    for _ in (1, 2):
        assert dead.take(1) if how == "take" else dead.wait(10)
    seem_dead(broker, seconds=DEAD_AFTER_SECONDS - 10)
    assert heir.adopt() == 0, "it may only be busy"
    assert heir.take(10) == []
    seem_dead(broker)
    assert heir.adopt() == 1
    assert sorted(numbers(heir.take(10))) == [1, 2]
    assert heir.adopt() == 0


def test_a_collector_that_was_taken_for_dead_and_goes_on_is_seen_again_when_it_dies(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    busy, heir = collector(), collector()
    publish(publisher, 1)
    busy.take(1)
    seem_dead(broker)
    assert heir.adopt() == 1
    assert numbers(heir.take(1)) == [1]
    heir.done()
    busy.done()  # it settled the same callback, which is harmless
    publish(publisher, 2)
    assert numbers(busy.wait(10)) == [2]
    seem_dead(broker)
    assert heir.adopt() == 1
    assert numbers(heir.take(10)) == [2]


def test_two_collectors_at_once_take_every_callback_once(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publish(publisher, *range(300))
    taken: list[list[int]] = [[], []]

    def collect(mine: list[int], callbacks: RedisReader) -> None:
        while messages := callbacks.wait(0.2) + callbacks.take(7):
            mine += numbers(messages)
            callbacks.done()

    threads = [threading.Thread(target=collect, args=(mine, collector())) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken[0] + taken[1]) == list(range(300))
    assert own_lists(broker) == []


def test_callbacks_of_every_priority_are_taken(publisher: Celery, collector: StartCollector) -> None:
    for number, priority in enumerate((0, 3, 6, 9)):
        publish(publisher, number, priority=priority)
    assert sorted(numbers(collector().take(10))) == [0, 1, 2, 3]


def test_a_global_key_prefix_is_respected_on_every_key(
    redis_url: str, collector: StartCollector, broker: Redis
) -> None:
    options = {"global_keyprefix": "shop:"}
    with Celery("publisher", broker=redis_url) as prefixed:
        prefixed.conf.broker_transport_options = options
        publish(prefixed, 1, 2)
        broker.delete("shop:_kombu.binding.bridge")
    dead, heir = collector(**options), collector(**options)
    assert numbers(dead.take(1)) == [1]
    assert all(key.startswith(b"shop:") for key in keys(broker))
    seem_dead(broker, prefix="shop:")
    assert heir.adopt() == 1
    assert sorted(numbers(heir.wait(10) + heir.take(10))) == [1, 2]
    with Celery("publisher", broker=redis_url, set_as_current=False) as prefixed:
        prefixed.conf.broker_transport_options = options
        prefixed.send_task("bridge.pump", queue="bridge")
        broker.delete("shop:_kombu.binding.bridge")
    [tick] = heir.wait(10)
    heir.pass_on([tick, b"garbage"])
    assert broker.lrange("shop:bridge.ticks", 0, -1) == [tick]
    assert broker.lrange("shop:bridge.unreadable", 0, -1) == [b"garbage"]
    heir.close()
    dead.close()
    assert all(key.startswith(b"shop:") for key in keys(broker))


def test_collectors_do_not_see_the_queue_of_another_bridge(redis_url: str, publisher: Celery, broker: Redis) -> None:
    publish(publisher, 1)
    with Celery("other", broker=redis_url) as app:
        other = RedisReader(app, queue="other", others="other.ticks")
        assert other.wait(0.01) + other.take(10) == []
        assert other.adopt() == 0
        other.close()
    assert broker.llen("bridge") == 1


def test_a_message_that_is_no_callback_is_passed_on_as_it_came(
    publisher: Celery, collector: StartCollector, broker: Redis
) -> None:
    publisher.send_task("bridge.pump", queue="bridge", expires=60, headers={"mine": 1}, task_id="tick")
    sent = broker.lindex("bridge", 0)
    callbacks = collector()
    [message] = callbacks.take(10)
    found = decode(message)
    assert found is not None and found.task == "bridge.pump"
    callbacks.pass_on([message])
    callbacks.done()
    assert broker.lrange("bridge.ticks", 0, -1) == [sent]
    assert own_lists(broker) == []


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_callback_and_is_not_lost(garbage: bytes, collector: StartCollector, broker: Redis) -> None:
    broker.lpush("bridge", garbage)
    callbacks = collector()
    [message] = callbacks.take(10)
    assert decode(message) is None
    callbacks.pass_on([message])
    callbacks.done()
    assert broker.lrange("bridge.unreadable", 0, -1) == [garbage], "on a list of its own: it would stop a consumer"
    assert broker.lrange("bridge.ticks", 0, -1) == []


def test_a_message_in_an_encoding_that_is_not_json_is_not_read() -> None:
    def message(**other: str) -> bytes:
        body = base64.b64encode(json.dumps([["c", 1, 1, 1, "s"], {}, {}]).encode()).decode()
        envelope = {
            "body": body,
            "content-type": "application/json",
            "headers": {"task": "bridge.commit"},
            "properties": {"body_encoding": other.pop("body_encoding", "base64")},
        }
        return json.dumps(envelope | other).encode()

    assert decode(message()) == ("bridge.commit", ["c", 1, 1, 1, "s"])
    assert decode(message(**{"content-type": "application/x-python-serialize"})) is None
    assert decode(message(body_encoding="utf-8")) is None
    assert decode(message(body="*")) is None


def test_g6_forged_callbacks_at_python_s_limit_of_nesting_do_not_keep_the_genuine_one_waiting(
    world: World, redis_url: str, publisher: Celery, broker: Redis
) -> None:
    """Each had the whole batch put back, and read again, for ever."""
    world.client(ordering="none")
    world.publish(None)
    world.hand_over()
    publish(publisher, 1)
    plain = json.loads(broker.lpop("bridge"))  # type: ignore[arg-type]
    for depth in range(600, 1101, 5):
        body = f'[["c", {"[" * depth}{"]" * depth}, 1, 1, "s"], {{}}, {{}}]'
        broker.lpush("bridge", json.dumps({**plain, "body": base64.b64encode(body.encode()).decode()}))
    publisher.send_task("bridge.commit", args=["c", 1, 1, 1, sign("s", ("c", 1, 1, 1), generation=1)], queue="bridge")
    with collecting(world, redis_url):
        wait_until(lambda: world.cursor() == 1, what="the genuine one is settled")
    assert broker.llen("bridge") == 0 and own_lists(broker) == []


def test_a_broker_that_is_away_is_said_in_our_own_words(tmp_path: Path) -> None:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(run_redis(tmp_path))
        except NotInstalled as error:
            missing(str(error))
        app = stack.enter_context(Celery("collector", broker=url))
        callbacks = RedisReader(app, queue="bridge", others="bridge.ticks")
        assert callbacks.take(1) == []
    for ask in (lambda: callbacks.take(1), lambda: callbacks.wait(0.1), callbacks.adopt, callbacks.done):
        with pytest.raises(BrokerUnavailable, match="the broker is not available"):
            ask()
