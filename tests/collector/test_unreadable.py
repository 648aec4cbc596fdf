"""Whatever is on the bridge's queue, the worker beside the collector only gets what it can read (G10)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import amqp
import pytest
from celery import Celery
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from kombu import Connection, Consumer, Queue

from bridge.bounds import INFLATED_BYTES
from bridge.broker.internals.rabbitmq import can_be_published
from bridge.collector.amqp import AmqpReader
from bridge.collector.redis import RedisReader
from tests.collector.collecting import SECONDS, Broker, OnRabbit, OnRedis
from tests.collector.letters import BODIES, JUNK, OLD_BODIES, TEXT, Handler, changed, deep, envelope, headers, written
from tests.support.properties import EXAMPLES, FEW_EXAMPLES
from tests.support.waiting import wait_until


def without_headers(content: bytes) -> dict[str, Any]:
    """Return a message of protocol 1, which has its headers in its body."""
    return {**envelope(content), "headers": {}}


class Tried:
    """A reader, and Celery's handler of what it passes on."""

    def __init__(self, broker: Broker) -> None:
        self.app = Celery("bridge", broker=broker.url, set_as_current=False)
        self.broker = broker
        self.handler = Handler(self.app)
        kind: Any = RedisReader if isinstance(broker, OnRedis) else AmqpReader
        self.reader = kind(self.app, queue="bridge", others="bridge.ticks")
        self.connection = Connection(broker.url)
        queue = Queue("bridge.ticks", exchange="", routing_key="bridge.ticks")
        accept = self.app.conf.accept_content
        self.consumer = Consumer(
            self.connection.channel(), [queue], on_message=self._handle, on_decode_error=self._refuse, accept=accept
        )
        self.consumer.consume()
        self.handled = 0

    def take(self) -> list[int]:
        """Pass on what is on the queue, one message; return how many were set aside and how many passed on."""
        messages: list[Any] = wait_until(lambda: self.reader.take(1), timeout=SECONDS, what="it is there")
        before = self.handled
        self.reader.read(messages[0])  # it never raises
        why = self.reader.why_illegible(messages[0])
        self.reader.pass_on(messages)
        self.reader.done()
        if not why:
            while self.handled == before:
                self.connection.drain_events(timeout=SECONDS)
        return [int(bool(why)), self.handled - before]

    def close(self) -> None:
        self.consumer.cancel()
        self.connection.release()
        self.reader.close()
        self.app.close()

    def _handle(self, message: Any) -> None:
        self.handled += 1
        self.handler.handle(message)
        message.ack()

    def _refuse(self, message: Any, error: Exception) -> None:
        self.handled += 1
        self.handler.refused.append(repr(error))
        message.ack()


@pytest.fixture
def on_redis(redis_url: str) -> Iterator[Tried]:
    broker = OnRedis(redis_url)
    tried = Tried(broker)
    yield tried
    tried.close()
    broker.close()


@pytest.fixture
def on_rabbit(amqp_url: str) -> Iterator[Tried]:
    broker = OnRabbit(amqp_url)
    tried = Tried(broker)
    yield tried
    tried.close()
    broker.close()


def is_well(tried: Tried) -> None:
    """Check that Celery throws nothing away of what is passed on; if the worker would end, it has raised already."""
    assert tried.handler.refused == []


ENVELOPES = (
    st.builds(written, changed(envelope))
    | st.builds(written, st.builds(envelope, BODIES | OLD_BODIES))
    | st.builds(written, st.builds(without_headers, OLD_BODIES))
    | st.binary(max_size=30)
)
SHORT = TEXT.map(lambda text: text.encode(errors="surrogatepass")) | st.binary(max_size=4)
FIELDS = changed(headers) | st.dictionaries(TEXT | st.sampled_from(["task", "id"]), JUNK | st.binary(max_size=4))
PROPERTIES = st.fixed_dictionaries(
    {"content_type": st.just("application/json") | SHORT, "content_encoding": st.just("utf-8") | SHORT},
    optional={
        "correlation_id": SHORT,
        "reply_to": SHORT,
        "message_id": SHORT,
        "type": SHORT,
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, 2**64 - 1),
    },
)


@EXAMPLES
@given(message=ENVELOPES)
def test_g10_on_redis_nothing_that_is_passed_on_ends_the_worker(on_redis: Tried, message: bytes) -> None:
    on_redis.broker.put("bridge", message)
    on_redis.take()
    is_well(on_redis)


@FEW_EXAMPLES
@given(content=BODIES | OLD_BODIES, fields=FIELDS, properties=PROPERTIES)
def test_g10_on_rabbitmq_nothing_that_is_passed_on_ends_the_worker(
    on_rabbit: Tried, content: bytes, fields: Any, properties: dict[str, Any]
) -> None:
    properties = {**properties, "application_headers": fields}
    assume(isinstance(fields, dict) and can_be_published(amqp.Message(content, **properties)))
    try:
        on_rabbit.broker.put("bridge", content, **properties)
    except amqp.AMQPError:  # RabbitMQ itself refuses some, such as an infinite number among the headers
        on_rabbit.broker.reconnect()
        reject()
    on_rabbit.take()
    is_well(on_rabbit)


def test_what_celery_itself_sends_is_passed_on_and_accepted(on_redis: Tried, on_rabbit: Tried) -> None:
    for tried in (on_redis, on_rabbit):
        before = tried.handler.accepted
        options: list[dict[str, Any]] = [
            {},
            {"expires": 600},
            {"compression": "gzip"},
            {"time_limit": 5, "soft_time_limit": 3.5},
            {"priority": 3, "shadow": "x", "headers": {"mine": [1, {"a": "ü"}]}},
            {"link": tried.app.signature("bridge.pump"), "group_id": "g", "group_index": 3, "retries": 2},
        ]
        for some in options:
            tried.app.send_task("bridge.pump", queue="bridge", **some)
        tried.app.conf.task_protocol = 1
        tried.app.send_task("bridge.pump", queue="bridge")
        for _ in [*options, None]:
            assert tried.take() == [0, 1]
        is_well(tried)
        assert tried.handler.accepted - before == len(options) + 1


def put_in(value: Any, path: str, new: Any) -> Any:
    """Return the envelope with something else at a path such as `headers.id`; nothing at all for `MISSING`."""
    *way, last = path.split(".")
    place = value
    for name in way:
        place = place[name]
    if new is MISSING:
        place.pop(last)
    else:
        place[last] = new
    return value


MISSING = object()
SMALLEST = {
    "a delivery tag that is a list": ("properties.delivery_tag", []),
    "no delivery tag": ("properties.delivery_tag", MISSING),
    "an unknown body_encoding": ("properties.body_encoding", "rot13"),
    "a body_encoding that is a number": ("properties.body_encoding", 5),
    "a body of null": ("body", None),
    "no body": ("body", MISSING),
    "a body that is a list": ("body", []),
    "headers of null": ("headers", None),
    "no headers": ("headers", MISSING),
    "properties that are none": ("properties", []),
    "properties of null": ("properties", None),
    "no delivery_info": ("properties.delivery_info", MISSING),
    "no routing key": ("properties.delivery_info.routing_key", MISSING),
    "an unknown content type": ("content-type", "application/x-nothing"),
    "a content type that is refused": ("content-type", "application/x-python-serialize"),
    "no content type": ("content-type", MISSING),
    "an encoding that is a number": ("content-encoding", 5),
    "an id that is a list": ("headers.id", []),
    "no id": ("headers.id", MISSING),
    "a task that is a number": ("headers.task", 5),
    "a task that is unknown": ("headers.task", "nobody.knows"),
    "times that are none": ("headers.expires", "nowhen"),
    "an empty time": ("headers.eta", ""),
    "a time before all times": ("headers.eta", "0001-01-01T00:00:00+23:59"),
    "a time limit that is a number": ("headers.timelimit", 5),
    "retries that are a word": ("headers.retries", "often"),
    "stamps that are a number": ("headers.stamped_headers", 5),
    "a header that hides a method": ("headers.update", 5),
    "callbacks among the headers": ("headers.errbacks", 5),
    "a header that is too deep": ("headers.mine", deep(900)),
    "a text that is none": ("headers.mine", "\udce9"),
    "an unknown compression": ("headers.compression", "rot13"),
}
BODIES_THAT_ARE_NONE = {
    "null": b"null",
    "an empty list": b"[]",
    "a number": b"5",
    "nothing": b"",
    "two parts": b"[[], {}]",
    "args that are none": b"[5, {}, {}]",
    "kwargs that are none": b"[[], 5, {}]",
    "callbacks that are none": b"[[], {}, 5]",
    "errbacks that are none": b'[[], {}, {"errbacks": 5}]',
    "args that are too deep": json.dumps([deep(400), {}, {}]).encode(),
    "args": b'["args", {}, {}]',
}


@pytest.mark.parametrize(("path", "new"), SMALLEST.values(), ids=SMALLEST)
def test_g10_the_smallest_garbage_is_set_aside(on_redis: Tried, path: str, new: object) -> None:
    message = written(put_in(envelope(), path, new))
    on_redis.broker.put("bridge", message)
    assert on_redis.take() == [1, 0]
    is_well(on_redis)


@pytest.mark.parametrize("content", BODIES_THAT_ARE_NONE.values(), ids=BODIES_THAT_ARE_NONE)
@pytest.mark.parametrize("task", ["bridge.pump", "bridge.commit"])
def test_g10_a_body_that_is_none_is_set_aside(on_redis: Tried, on_rabbit: Tried, content: bytes, task: str) -> None:
    stored = put_in(envelope(content), "headers.task", task)
    on_redis.broker.put("bridge", written(stored))
    fields = {"application_headers": stored["headers"], "content_type": "application/json"}
    on_rabbit.broker.put("bridge", content, content_encoding="utf-8", **fields)
    for tried in (on_redis, on_rabbit):
        assert tried.take() == [1, 0]
        assert tried.broker.messages("bridge.unreadable") == [written(stored) if tried is on_redis else content]


def test_g10_a_compressed_message_that_is_huge_is_set_aside(on_redis: Tried) -> None:
    stored = put_in(envelope(zlib.compress(b" " * (INFLATED_BYTES + 1))), "headers.compression", "application/x-gzip")
    on_redis.broker.put("bridge", written(stored))
    assert on_redis.take() == [1, 0]
