"""An event that can't become a message is the only one that is not sent, whatever the writer or serializer (G10)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import EncodeError
from kombu.serialization import register, unregister
from redis import Redis

from bridge.errors import InvalidClient, NotTaken, Undeliverable
from tests.sender.test_messages import WRITERS, client, delivery, sending, sent

BAD = {
    "typed": '{"x": {"__type__": "money", "__value__": 5}}',
    "digits": '{"n": 1' + "0" * 5000 + "}",
    "levels": "[" * 1500 + "]" * 1500,
}


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        yield app
        app.close()


@pytest.fixture
def narrow() -> Iterator[str]:
    """Register a serializer that refuses numbers above 2^64 and texts with `boom` in them, each with another error."""

    def write(data: Any) -> str:
        text = json.dumps(data)
        if str(2**64) in text:
            raise OverflowError("Integer value out of range")
        if "boom" in text:
            raise KeyError("boom")
        return text

    register("narrow", write, json.loads, "application/x-narrow", "utf-8")
    yield "narrow"
    unregister("narrow")


@pytest.fixture
def broken() -> Iterator[str]:
    def write(data: Any) -> str:
        raise RuntimeError("no library")

    register("broken", write, json.loads, "application/x-broken", "utf-8")
    yield "broken"
    unregister("broken")


def offsets_sent(redis_url: str) -> list[int]:
    return [message["headers"]["bridge_offset"] for message in sent(redis_url)]


@WRITERS
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("batch", [1, 10])
def test_g10_an_event_that_no_worker_can_read_is_not_sent_and_its_neighbours_are(
    app: Celery, redis_url: str, *, writer: str, kind: str, batch: int
) -> None:
    to = client(call="payload", batch=batch)
    out = [delivery(to, offset=nth, body=BAD[kind] if nth == 3 else "{}") for nth in range(1, 8)]
    with sending(app, writer) as sender:
        [refused] = sender.send(to, out)
    assert refused.offset == 3
    assert offsets_sent(redis_url) == ([1, 2, 4, 5, 6, 7] if batch == 1 else [1])
    if batch > 1:
        [message] = sent(redis_url)
        assert message["headers"]["argsrepr"].startswith('(<order."%s".ü #1..7 (6 events)> [')


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("batch_as", ["list", "calls"])
def test_g10_an_event_that_the_serializer_refuses_is_not_sent_and_its_neighbours_are(
    app: Celery, redis_url: str, narrow: str, *, batch: int, batch_as: str
) -> None:
    to = client(call="payload", serializer=narrow, batch=batch, batch_as=batch_as)
    bad = {3: '{"n": 18446744073709551616}', 5: '["boom"]'}
    with sending(app, "redis") as sender:
        refused = sender.send(to, [delivery(to, offset=nth, body=bad.get(nth, "{}")) for nth in range(1, 8)])
    assert {error.offset: str(error) for error in refused} == {
        3: "serializer 'narrow' can't write it: Integer value out of range",
        5: "serializer 'narrow' can't write it: 'boom'",
    }
    assert offsets_sent(redis_url) == ([1, 2, 4, 6, 7] if batch == 1 else [1])


def test_g10_a_serializer_that_refuses_everything_is_the_client_s_trouble_and_no_event_s(
    app: Celery, redis_url: str, broken: str
) -> None:
    to = client(serializer=broken)
    with sending(app, "redis") as sender, pytest.raises(InvalidClient, match="no library"):
        sender.send(to, [delivery(to)])
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("celery") == 0


def test_g10_a_message_that_can_t_be_serialised_whole_is_sent_event_by_event(app: Celery, redis_url: str) -> None:
    def write(data: Any) -> str:
        text = json.dumps(data)
        if text.count("order") > 1:
            raise EncodeError("one at a time")
        return text

    register("lonely", write, json.loads, "application/x-lonely", "utf-8")
    try:
        to = client(call="payload", serializer="lonely", batch=10)
        with sending(app, "redis") as sender:
            assert sender.send(to, [delivery(to, offset=nth, body='["order"]') for nth in (1, 2)]) == []
    finally:
        unregister("lonely")
    assert offsets_sent(redis_url) == [1, 2]


@pytest.fixture
def slow_serializer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register a serializer that computes for as many hundredths of a second as the event is a number."""

    def write(message: Any) -> str:
        events = message[0][0] if isinstance(message, list | tuple) else message
        until = time.thread_time() + sum(events if isinstance(events, list) else [events]) / 100
        while time.thread_time() < until:
            pass
        return json.dumps(message)

    register("slow", write, json.loads, "application/x-slow", "utf-8")
    monkeypatch.setattr("bridge.sender.writer.CALL_SECONDS", 0.25)
    monkeypatch.setattr("bridge.sender.slow.LONGEST_SECONDS", 0.5)
    yield
    unregister("slow")


@pytest.mark.usefixtures("slow_serializer")
def test_g10_messages_that_take_long_to_make_are_sent_a_part_at_a_time(redis_url: str) -> None:
    to = client(serializer="slow", call="payload")
    left = [delivery(to, offset=offset, body="10") for offset in range(8)]
    with Celery("fleet", broker=redis_url, set_as_current=False) as app, sending(app, "celery") as sender:
        for _ in range(8):
            unsent = sender.send(to, left)
            assert {type(it) for it in unsent} <= {NotTaken}
            assert len(unsent) < len(left), "at least one goes out each time"
            left = [it for it in left if it.offset in {each.offset for each in unsent}]
            if not left:
                break
        else:
            pytest.fail("there is no end")
    ids = [message["headers"]["bridge_offset"] for message in sent(redis_url)]
    assert ids == list(range(8)), "each once"


@pytest.mark.usefixtures("slow_serializer")
@pytest.mark.parametrize("batch", [1, 3])
def test_g10_an_event_of_which_a_message_takes_too_long_to_make_is_refused_the_next_time(
    redis_url: str, batch: int
) -> None:
    to = client(serializer="slow", call="payload", batch=batch, ordering="none")
    all_of_them = [delivery(to, offset=offset, body="70" if offset == 1 else "1") for offset in range(3)]
    with Celery("fleet", broker=redis_url, set_as_current=False) as app, sending(app, "celery") as sender:
        refused = set[int]()
        for _ in range(6):  # as if Postgres had ended each pass
            found = sender.send(to, all_of_them)
            refused |= {it.offset for it in found if isinstance(it, Undeliverable)}
            if refused:
                break
    assert refused == {1}
    assert "takes 1 s to write it: at most 0.5 s" in str(next(it for it in found if it.offset == 1))
