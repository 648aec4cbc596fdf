"""A broker that has room for a part: what it took is not sent again, and what is too large for it blocks nothing (G10).

What lasts too long is left for later, because Postgres ends a transaction that is idle for 20 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu import Connection, Queue
from redis import Redis

from bridge.broker.queue_length import queue_length
from bridge.demo.servers import run_redis
from bridge.errors import BrokerRefuses, NotTaken, Undeliverable
from bridge.sender.room import CALL_SECONDS, Room
from bridge.sender.sender import Sender
from tests.sender.test_messages import client, sending
from tests.sender.test_refused import declare, of_sizes, taken
from tests.support import rabbit

STOP = '{"max-length": 0, "overflow": "reject-publish"}'


@pytest.fixture(scope="module")
def small_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def room_for(small_redis: str) -> Iterator[Callable[[int], None]]:
    """Return how a Redis gets room for so many bytes more; 0 for any number."""
    with Redis.from_url(small_redis) as redis:
        redis.flushall()

        def room(bytes_more: int) -> None:
            redis.config_set("maxmemory", bytes_more and redis.info("memory")["used_memory"] + bytes_more)

        yield room
        room(0)
        redis.config_set("proto-max-bulk-len", 512 * 1024 * 1024)


def test_g10_of_a_batch_that_redis_refuses_the_half_that_it_took_before_it_was_full_is_not_sent_again(
    small_redis: str, room_for: Callable[[int], None]
) -> None:
    to = client(queue="fleet", call="payload", batch=2)
    with Celery("fleet", broker=small_redis, set_as_current=False) as app, sending(app, "redis") as sender:
        sender.send(to, of_sizes(to, [10]))
        with Redis.from_url(small_redis) as redis:
            redis.config_set("proto-max-bulk-len", 1024 * 1024)  # both together are more
        taken(small_redis)
        halves = 0
        for more in range(1_000_000, 3_000_000, 100_000):
            room_for(more)
            try:
                unsent = sender.send(to, of_sizes(to, [600_000, 600_000]))
            except BrokerRefuses:
                unsent = [NotTaken(offset, "none") for offset in (1, 2)]
            room_for(0)
            assert {type(it) for it in unsent} <= {NotTaken}
            assert sorted([it.offset for it in unsent] + taken(small_redis)) == [1, 2]
            halves += len(unsent) == 1
    assert halves, "it took one half and not the other"


@pytest.mark.parametrize("writer", ["redis", "kombu", "celery"])
def test_g10_an_event_that_redis_has_no_room_for_does_not_keep_the_small_ones_behind_it(
    small_redis: str, room_for: Callable[[int], None], writer: str
) -> None:
    to = client(queue="fleet", call="payload")
    with Celery("fleet", broker=small_redis, set_as_current=False) as app, sending(app, writer) as sender:
        sender.send(to, of_sizes(to, [10]))
        taken(small_redis)
        room_for(3_000_000)
        for _ in range(3):
            unsent = sender.send(to, of_sizes(to, [5_000_000, 10, 6_000_000, 10]))
            assert [(type(it), it.offset) for it in unsent] == [(NotTaken, 1), (NotTaken, 3)]
            assert "maxmemory" in str(unsent[0])
            assert taken(small_redis) == [2, 4]
        room_for(0)
        assert sender.send(to, of_sizes(to, [5_000_000, 10, 6_000_000, 10])) == []


def test_g10_a_redis_without_room_for_a_small_event_is_asked_once_and_raises(
    small_redis: str, room_for: Callable[[int], None]
) -> None:
    to = client(queue="fleet", call="payload")
    with Celery("fleet", broker=small_redis, set_as_current=False) as app, sending(app, "redis") as sender:
        sender.send(to, of_sizes(to, [10]))
        taken(small_redis)
        room_for(1)
        with Redis.from_url(small_redis) as redis:
            redis.config_set("maxmemory", 1)
            redis.config_resetstat()
            with pytest.raises(BrokerRefuses, match="maxmemory"):
                sender.send(to, of_sizes(to, [500_000, *[10] * 500, 400_000, 10]))
            found: Any = redis.info("commandstats")
        assert found["cmdstat_lpush"]["rejected_calls"] <= 7
        assert taken(small_redis) == []


@pytest.mark.parametrize("ordering", ["none", "strict"])
def test_g10_no_event_is_set_aside_for_a_queue_that_takes_nothing_any_more(amqp_url: str, ordering: str) -> None:
    declare(amqp_url)
    to = client(queue="fleet", call="payload", ordering=ordering)
    stop = ("-p", urlsplit(amqp_url).path[1:], "stop")
    with Celery("fleet", broker=amqp_url, set_as_current=False) as app, sending(app, "kombu") as sender:
        assert sender.send(to, of_sizes(to, [10, 9000])) == []
        assert taken(amqp_url) == [1, 2]
        rabbit.control(amqp_url, "set_policy", *stop, "^fleet$", STOP, "--apply-to", "queues")
        for size in (10, 8999):
            for _ in range(6):
                assert [type(it) for it in sender.send(to, of_sizes(to, [size]))] == [NotTaken]
        rabbit.control(amqp_url, "clear_policy", *stop)
        assert sender.send(to, of_sizes(to, [10])) == []


@pytest.mark.parametrize(("ordering", "size"), [("strict", 20_000), ("key", 3000)])
def test_g10_a_message_that_its_queue_never_takes_is_set_aside(amqp_url: str, ordering: str, size: int) -> None:
    limits = {"x-max-length-bytes": 2500, "x-overflow": "reject-publish"}
    with Connection(amqp_url) as connection:
        Queue("fleet", queue_arguments=limits)(connection.channel()).declare()
    to = client(queue="fleet", call="payload", ordering=ordering)
    small, large = of_sizes(to, [10, size])
    with Celery("fleet", broker=amqp_url, set_as_current=False) as app, sending(app, "kombu") as sender:
        assert sender.send(to, [small]) == []
        taken(amqp_url)
        for _ in range(2):
            assert [type(it) for it in sender.send(to, [large])] == [NotTaken]
        if ordering != "strict":  # that the queue takes others is seen meanwhile
            assert [type(it) for it in sender.send(to, [large])] == [NotTaken]
            assert sender.send(to, [small]) == []
            taken(amqp_url)
        assert [type(it) for it in sender.send(to, [large])] == [Undeliverable]


def test_g10_refusals_of_an_event_that_was_taken_then_are_not_counted_against_its_next_attempt(amqp_url: str) -> None:
    declare(amqp_url)
    to = client(queue="fleet", call="payload")
    stop = ("-p", urlsplit(amqp_url).path[1:], "stop")
    with Celery("fleet", broker=amqp_url, set_as_current=False) as app, sending(app, "kombu") as sender:
        for _ in range(2):
            rabbit.control(amqp_url, "set_policy", *stop, "^fleet$", STOP, "--apply-to", "queues")
            for _ in range(2):
                assert [type(it) for it in sender.send(to, of_sizes(to, [10]))] == [NotTaken]
            rabbit.control(amqp_url, "clear_policy", *stop)
            assert sender.send(to, of_sizes(to, [10])) == []
            taken(amqp_url)


def test_a_queue_that_may_not_be_looked_at_has_no_known_length(amqp_url: str) -> None:
    with Connection(amqp_url) as theirs, Connection(amqp_url) as ours:
        Queue("fleet", exclusive=True)(theirs.channel()).declare()
        assert queue_length(ours, "fleet", seconds=5) is None
        assert queue_length(ours, "nowhere", seconds=5) == 0


@pytest.mark.parametrize("batch", [1, 2])
def test_g10_what_kombu_takes_long_to_publish_is_sent_a_part_at_a_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("bridge.sender.writer.CALL_SECONDS", 0)
    to = client(queue="fleet", call="payload", batch=batch)
    left = of_sizes(to, [10] * 6)
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=False)
        for _ in range(6 // batch):
            unsent = sender.send(to, left)
            assert [it.offset for it in unsent] == [it.offset for it in left[batch:]]
            left = left[batch:]
        sender.close()
    assert taken(redis_url) == list(range(1, 7, batch))


def test_g10_after_some_seconds_no_further_portion_is_begun() -> None:
    to, now = client(), [0.0]
    portions = [of_sizes(to, [100] * 3)] * 3
    room = Room(9, clock=lambda: now[0])
    for nth, portion in enumerate(portions):
        unsent = room.refusal(portion)
        if nth < 2:
            assert unsent == []
            room.note(to, portion, [])
            now[0] += CALL_SECONDS / 2 + 0.1
    assert [str(it) for it in unsent] == [
        "the broker has taken 6 events in 5 s: the rest is sent with the next pass"
    ] * 3
    room.raise_if_none()
