"""The collector's hands on a real RabbitMQ: what it takes is settled, passed on or given to another, and never lost."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from celery import Celery
from kombu import Connection

from bridge.app import Bridge
from bridge.collector.amqp import AmqpReader
from bridge.collector.loop import collect, reader_on
from bridge.collector.redis import RedisReader
from bridge.errors import BrokerUnavailable, StoreUnavailable
from tests.support.link import Link
from tests.support.waiting import wait_until

StartCollector = Callable[..., AmqpReader]

GARBAGE = {
    "no JSON": b"\x00\xffgarbage",
    "nothing": b"",
    "JSON of another kind": b'["a", "list"]',
    "nesting beyond reason": b"[" * 100_000,
}


@pytest.fixture
def broker(amqp_url: str) -> Iterator[Connection]:
    """The broker, by a connection of the test's own."""
    with Connection(amqp_url) as connection:
        yield connection


@pytest.fixture
def publisher(amqp_url: str) -> Iterator[Celery]:
    """A plain Celery app that publishes on the broker."""
    with Celery("publisher", broker=amqp_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def collector(amqp_url: str) -> Iterator[StartCollector]:
    """A factory of collectors on the queue `bridge`, closed after the test."""
    started: list[tuple[Celery, AmqpReader]] = []

    def start(url: str = amqp_url, **conf: Any) -> AmqpReader:
        app = Celery("collector", broker=url, set_as_current=False)
        app.conf.update(conf)
        callbacks = AmqpReader(app, queue="bridge", others="bridge.ticks")
        started.append((app, callbacks))
        return callbacks

    yield start
    for app, callbacks in started:
        callbacks.close()
        app.close()


def publish(app: Celery, *numbers: int, **options: Any) -> None:
    for number in numbers:
        app.send_task("bridge.commit", args=["c", number, 1, 1, "signature"], queue="bridge", **options)


def put(broker: Connection, body: bytes, **properties: Any) -> None:
    """Put any message on the queue."""
    with broker.channel() as channel:
        channel.basic_publish(amqp.Message(body, **properties), exchange="", routing_key="bridge")


def get(broker: Connection, queue: str) -> Any:
    """The next message of a queue, as the driver gives it; None if there is none."""
    with broker.channel() as channel:
        channel.auto_decode = False
        return channel.basic_get(queue, no_ack=True)


def waiting(broker: Connection, queue: str = "bridge") -> int:
    """How many messages wait in a queue, and are not with anybody."""
    with broker.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


def taken(callbacks: AmqpReader, number: int) -> list[Any]:
    """Take messages until so many are there, and no more."""
    found: list[Any] = []

    def enough() -> bool:
        found.extend(callbacks.take(number - len(found)))
        return len(found) == number

    wait_until(enough, what=f"{number} messages are taken")
    return found


def numbers(callbacks: AmqpReader, messages: list[Any]) -> list[int]:
    """The offsets that these callbacks are about."""
    found = [callbacks.read(message) for message in messages]
    return [callback.args[1] for callback in found if callback]


def test_it_is_for_rabbitmq_and_other_brokers_have_another_or_none(amqp_url: str, redis_url: str) -> None:
    for url, expected in ((amqp_url, AmqpReader), (redis_url, RedisReader), ("memory://", None)):
        with Celery("any", broker=url, set_as_current=False) as app:
            assert reader_on(app) is expected


def test_callbacks_are_taken_oldest_first_and_no_more_than_asked_for(
    publisher: Celery, collector: StartCollector
) -> None:
    publish(publisher, 1, 2, 3, 4, 5)
    callbacks = collector()
    assert numbers(callbacks, callbacks.wait(60)) == [1]
    assert numbers(callbacks, taken(callbacks, 2)) == [2, 3]
    assert numbers(callbacks, taken(callbacks, 2)) == [4, 5]
    assert callbacks.take(3) == []


def test_one_acknowledgement_is_for_all_that_was_taken_and_for_nothing_else(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    publish(publisher, 1, 2, 3, 4, 5)
    callbacks = collector()
    taken(callbacks, 3)
    wait_until(lambda: waiting(broker) == 0, what="all are with the collector")
    callbacks.done()
    callbacks.done()
    callbacks.close()
    wait_until(lambda: waiting(broker) == 2, what="what was ahead is back")
    heir = collector()
    assert numbers(heir, taken(heir, 2)) == [4, 5]


def test_what_was_taken_and_not_done_is_given_to_another_when_the_collector_is_gone(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    publish(publisher, 1, 2, 3)
    leaving = collector()
    taken(leaving, 3)
    heir = collector()
    assert heir.wait(0.1) + heir.take(10) == [], "not yet: it may only be busy"
    leaving.close()
    assert numbers(heir, taken(heir, 3)) == [1, 2, 3]
    assert heir.adopt() == 0


def test_waiting_ends_with_the_next_callback_or_with_nothing(publisher: Celery, collector: StartCollector) -> None:
    callbacks = collector()
    assert callbacks.wait(0.01) == []
    timer = threading.Timer(0.05, publish, (publisher, 7))
    timer.start()
    assert numbers(callbacks, callbacks.wait(60)) == [7]
    timer.join()


def test_an_idle_collector_is_not_taken_for_dead_by_the_broker(publisher: Celery, collector: StartCollector) -> None:
    callbacks = collector(broker_heartbeat=1)
    for _ in range(16):  # the broker gives up after two or three heartbeats
        assert callbacks.wait(0.25) == []
    publish(publisher, 1)
    assert numbers(callbacks, callbacks.wait(60)) == [1]


def test_two_collectors_at_once_take_every_callback_once(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    both = [collector(), collector()]
    publish(publisher, *range(200))
    found: list[list[int]] = [[], []]

    def collect(mine: list[int], callbacks: AmqpReader) -> None:
        while messages := callbacks.wait(1) + callbacks.take(7):
            mine += numbers(callbacks, messages)
            callbacks.done()

    threads = [threading.Thread(target=collect, args=pair) for pair in zip(found, both, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found[0] + found[1]) == list(range(200))
    assert min(map(len, found)) > 0
    for callbacks in both:
        callbacks.close()
    assert waiting(broker) == 0


def test_a_message_that_is_no_callback_is_passed_on_as_it_came(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    def send_tick() -> None:
        publisher.send_task("bridge.pump", queue="bridge", expires=600, priority=3, headers={"mine": "ü"}, task_id="t")

    callbacks = collector()
    callbacks.close()
    send_tick()
    sent = get(broker, "bridge")
    send_tick()
    callbacks = collector()
    [message] = callbacks.wait(60)
    found = callbacks.read(message)
    assert found is not None and found.task == "bridge.pump"
    callbacks.pass_on([message])
    callbacks.done()
    got = get(broker, "bridge.ticks")
    for properties in (sent.properties, got.properties):
        for varies in ("expires", "stamps"):
            properties["application_headers"].pop(varies, None)
        for varies in ("expiration", "reply_to"):
            assert properties.pop(varies, None) is not None
    assert (got.body, got.properties) == (sent.body, sent.properties)
    callbacks.close()
    assert waiting(broker) == 0


def test_a_call_in_celery_s_old_protocol_is_read_and_passed_on(collector: StartCollector, broker: Connection) -> None:
    callbacks = collector()
    body = json.dumps({"task": "bridge.pump", "id": "1", "args": [], "kwargs": {}}).encode()
    put(broker, body, content_type="application/json", content_encoding="utf-8")
    [message] = callbacks.wait(60)
    assert callbacks.read(message) == ("bridge.pump", [])
    callbacks.pass_on([message])
    assert waiting(broker, "bridge.ticks") == 1


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_callback_and_is_not_lost(garbage: bytes, collector: StartCollector, broker: Connection) -> None:
    callbacks = collector()
    put(broker, garbage, content_type="application/json", expiration="600000", user_id="guest", delivery_mode=1)
    [message] = callbacks.wait(60)
    assert callbacks.read(message) is None
    callbacks.pass_on([message])
    callbacks.done()
    assert waiting(broker, "bridge.ticks") == 0, "on a queue of its own: a worker would throw it away"
    kept = get(broker, "bridge.unreadable")
    assert (kept.body or b"", kept.properties["delivery_mode"]) == (garbage, 2)
    assert "expiration" not in kept.properties
    callbacks.close()
    assert waiting(broker) == 0


def test_what_can_t_be_passed_on_is_not_acknowledged(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    callbacks = collector()
    publisher.send_task("bridge.pump", queue="bridge")
    [message] = callbacks.wait(60)
    with broker.channel() as channel:
        channel.queue_delete("bridge.ticks")
    with pytest.raises(BrokerUnavailable, match=r"bridge\.ticks"):
        callbacks.pass_on([message])
    callbacks.close()
    wait_until(lambda: waiting(broker) == 1, what="it is back on the queue")


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", None])
def test_a_message_in_an_encoding_that_is_not_json_is_not_read(
    content_type: str | None, collector: StartCollector
) -> None:
    body, headers = json.dumps([["c", 1, 1, 1, "s"], {}, {}]).encode(), {"task": "bridge.commit"}
    callbacks = collector()
    readable = amqp.Message(body, content_type="application/json", application_headers=headers)
    assert callbacks.read(readable) == ("bridge.commit", ["c", 1, 1, 1, "s"])
    assert callbacks.read(amqp.Message(body, content_type=content_type, application_headers=headers)) is None


def test_a_broker_that_is_away_is_said_in_our_own_words(
    amqp_url: str, publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    port = urlsplit(amqp_url).port
    assert port is not None
    link = Link(port)
    callbacks = collector(amqp_url.replace(f":{port}/", f":{link.port}/"))
    publish(publisher, 1)
    [message] = callbacks.wait(60)
    link.close()
    asks: list[Callable[[], object]] = [
        lambda: callbacks.wait(60),
        lambda: callbacks.take(1),
        lambda: callbacks.pass_on([message]),
        callbacks.done,
    ]
    for ask in asks:
        with pytest.raises(BrokerUnavailable, match="the broker is not available"):
            ask()
    wait_until(lambda: waiting(broker) == 1, what="what it had taken is back on the queue")
    with pytest.raises(BrokerUnavailable, match="the broker is not available"):
        collector(amqp_url.replace(f":{port}/", f":{link.port}/"))


def test_a_queue_that_is_deleted_under_the_collector_is_said_and_declared_anew_by_the_next(
    publisher: Celery, collector: StartCollector, broker: Connection
) -> None:
    callbacks = collector()
    with broker.channel() as channel:
        channel.queue_delete("bridge")
    with pytest.raises(BrokerUnavailable):
        callbacks.wait(60)
    callbacks = collector()
    publish(publisher, 1)
    assert numbers(callbacks, callbacks.wait(60)) == [1]


def test_while_postgres_is_away_nothing_is_taken(
    publisher: Celery, collector: StartCollector, broker: Connection, amqp_url: str
) -> None:
    collector().close()
    publish(publisher, 1)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"postgresql://nobody@127.0.0.1:{nobody.getsockname()[1]}/none"
    with Celery("bridge", broker=amqp_url, set_as_current=False) as app:
        app.conf.bridge_database_url = url
        with pytest.raises(StoreUnavailable):
            collect(Bridge(app), queue="bridge", others="bridge.ticks", stopping=threading.Event())
    assert get(broker, "bridge").delivery_info["redelivered"] is False
