"""A newer kombu makes the bridge slower and stops nothing: each writer gives way to the next, with one warning (G1)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Queue
from kombu.transport import virtual
from kombu.transport.redis import Channel
from redis import Redis

from bridge.broker import confirms, conformance
from bridge.broker.fast_ways import REDIS_STENCIL
from bridge.errors import NotTaken, QueueMissing
from bridge.sender.sender import Sender
from tests.sender.test_messages import TRACE, client, delivery, flat, sending
from tests.support.withdrawn import METHODS, OF_CLASSES, changed, withdrawn

STENCIL_NAMES = [part.path for part in REDIS_STENCIL.parts]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    conformance.forget()
    yield
    conformance.forget()


def stored(redis_url: str) -> list[dict[str, Any]]:
    """Take all messages off the broker, oldest first; nothing else may be there."""
    with Redis.from_url(redis_url) as redis:
        found = [json.loads(message) for message in reversed(redis.lrange("celery", 0, -1))]
        left = {key.decode() for key in redis.keys("*")} - {"celery"}
        assert {key for key in left if not key.startswith("_kombu.binding.")} == set()
        redis.delete("celery")
    return found


def send(url: str, *, times: int = 1, **conf: Any) -> None:
    """Send two messages, of which one has trace headers, on a new connection each time."""
    with Celery("fleet", broker=url, set_as_current=False) as app:
        app.conf.update(conf)
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        to = client()
        for _ in range(times):
            assert sender.send(to, [delivery(to), delivery(to, offset=43, trace=TRACE)]) == []
            sender.close()
        app.close()


def assert_delivered(redis_url: str, caplog: pytest.LogCaptureFixture, *, off: str, times: int = 2) -> None:
    """Send on Redis, and see the same messages arrive as ever, and one warning."""
    send(redis_url, times=times)
    portable = stored(redis_url)
    assert len(portable) == 2 * times
    [text] = caplog.messages
    assert text.startswith(f"{off} is off: ")
    with Celery("fleet", broker=redis_url, set_as_current=False) as app, sending(app, "celery") as sender:
        to = client()
        sender.send(to, [delivery(to), delivery(to, offset=43, trace=TRACE)])
        app.close()
    celery_s_own = [flat(message) for message in stored(redis_url)]
    assert [flat(message) for message in portable] == celery_s_own * times


@pytest.mark.parametrize("path", [path for path in STENCIL_NAMES if path in OF_CLASSES])
def test_without_a_name_that_the_redis_writer_needs_kombu_publishes(
    path: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(*withdrawn(path))
    assert_delivered(redis_url, caplog, off="cutting messages for Redis from a stencil")


@pytest.mark.parametrize("path", [path for path in STENCIL_NAMES if path in METHODS])
def test_where_a_method_wants_other_arguments_kombu_publishes(
    path: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(*changed(path))
    assert_delivered(redis_url, caplog, off="cutting messages for Redis from a stencil")


def test_a_kombu_that_stores_messages_in_another_way_leaves_no_trial_on_the_broker(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Channel._put  # noqa: SLF001 - the one that is played to be called by another name

    def basic_publish(self: Any, message: dict[str, Any], exchange: str, routing_key: str, **_: Any) -> None:
        self._inplace_augment_message(message, exchange, routing_key)
        store(self, routing_key, message)

    monkeypatch.setattr(Channel, "basic_publish", basic_publish)
    assert_delivered(redis_url, caplog, off="cutting messages for Redis from a stencil")
    assert "kombu stores a message in another way" in caplog.text


def test_a_kombu_that_writes_something_new_into_each_message_is_not_imitated(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    augment = virtual.Channel._inplace_augment_message  # noqa: SLF001 - kombu's own, which gets a new habit

    def and_more(self: Any, message: dict[str, Any], exchange: str, routing_key: str) -> None:
        augment(self, message, exchange, routing_key)
        message["properties"]["nonce"] = uuid.uuid4().hex

    monkeypatch.setattr(virtual.Channel, "_inplace_augment_message", and_more)
    send(redis_url)
    assert len({message["properties"]["nonce"] for message in stored(redis_url)}) == 2
    [text] = caplog.messages
    assert "is not the one that Celery makes" in text


@pytest.mark.parametrize("redis_writer", [True, False])
def test_a_celery_that_adds_something_to_each_message_publishes_itself(
    redis_writer: bool, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        make = app.amqp.as_task_v2

        def with_nonce(*args: Any, **kwargs: Any) -> Any:
            message = make(*args, **kwargs)
            return message._replace(headers={**message.headers, "nonce": uuid.uuid4().hex})

        monkeypatch.setattr(app.amqp, "as_task_v2", with_nonce)
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=redis_writer)
        to = client()
        for _ in range(2):
            sender.send(to, [delivery(to), delivery(to, offset=43)])
        sender.close()
        app.close()
    assert len({message["headers"]["nonce"] for message in stored(redis_url)}) == 4
    assert [text.partition(" is off")[0] for text in caplog.messages] == [
        *(["cutting messages for Redis from a stencil"] if redis_writer else []),
        "cutting message bodies from a stencil",
    ]


def test_without_its_hand_on_delivery_tags_the_kombu_writer_takes_kombu_s(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(*withdrawn("kombu.transport.virtual:Channel._next_delivery_tag"))
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=False)
        to = client()
        sender.send(to, [delivery(to), delivery(to, offset=43)])
        sender.close()
        app.close()
    tags = {message["properties"]["delivery_tag"] for message in stored(redis_url)}
    assert len({uuid.UUID(tag) for tag in tags}) == 2
    [text] = caplog.messages
    assert text.startswith("counting delivery tags is off: ")


@pytest.fixture(params=["a name is withdrawn", "messages are not counted"])
def each_confirmed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a newer py-amqp keep the bridge from counting what it publishes."""
    if request.param == "a name is withdrawn":
        monkeypatch.setattr(*withdrawn("amqp:Channel.confirm_select"))
    else:
        monkeypatch.setattr(confirms, "on_publish", lambda *_: None)


@pytest.mark.usefixtures("each_confirmed")
def test_without_its_hand_on_confirms_the_bridge_waits_for_each_message(
    amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Connection(amqp_url) as broker, broker.channel() as channel:
        channel.queue_declare("celery", durable=True, auto_delete=False)
        send(amqp_url, times=2)
        assert channel.queue_declare("celery", passive=True).message_count == 4
    [text] = caplog.messages
    assert text.startswith("waiting once for the confirms of many messages is off: ")


@pytest.mark.usefixtures("each_confirmed")
def test_g1_without_its_hand_on_confirms_a_refusal_and_a_missing_queue_are_still_heard(amqp_url: str) -> None:
    with Connection(amqp_url) as broker, Celery("fleet", broker=amqp_url, set_as_current=False) as app:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        Queue("small", exchange="", routing_key="small", queue_arguments=arguments)(broker).queue_declare()
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
        small, lost = client(queue="small"), client(queue="no-such-queue")
        unsent = sender.send(small, [delivery(small, offset=offset) for offset in range(3)])
        assert [(type(it), it.offset) for it in unsent] == [(NotTaken, 1), (NotTaken, 2)]
        unsent = sender.send(small, [delivery(small, offset=offset) for offset in range(1, 3)])
        assert [(type(it), it.offset) for it in unsent] == [(NotTaken, 1), (NotTaken, 2)]
        with pytest.raises(QueueMissing, match="'no-such-queue'"):
            sender.send(lost, [delivery(lost)])
        sender.close()
        app.close()
