"""One callback harms no other, on each broker: what can't be settled is set aside or waits by itself (G10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery
from redis.exceptions import ResponseError

from bridge.collector import amqp as amqp_reader
from bridge.collector import aside, loop, waiting
from bridge.collector import redis as redis_reader
from bridge.collector.amqp import AmqpReader
from bridge.collector.redis import RedisReader
from bridge.collector.settling import settle_reported
from bridge.errors import StoreUnavailable
from tests.collector.collecting import SECONDS, Broker, OnRabbit, OnRedis, collecting, genuine
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON fq.deliveries FOR EACH ROW
  WHEN (OLD."offset" IN (4, 6)) EXECUTE FUNCTION refuse()
"""


@pytest.fixture(params=["redis_url", "amqp_url"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each broker in turn."""
    kind = {"redis_url": OnRedis, "amqp_url": OnRabbit}[request.param]
    broker = kind(request.getfixturevalue(request.param))
    yield broker
    broker.close()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Celery]:
    """A plain Celery app that publishes on the broker."""
    with Celery("publisher", broker=broker.url, set_as_current=False) as app:
        yield app


def test_g10_a_callback_that_postgres_refuses_is_set_aside_and_the_others_are_settled(
    world: World, publisher: Celery, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 9)
    world.eyes.execute(REFUSE)
    for delivery in world.hand_over():
        publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    with collecting(world, broker.url):
        wait_until(lambda: world.rows("deliveries") == [4, 6], timeout=SECONDS, what="the others are settled")
        wait_until(lambda: broker.waiting("bridge.unreadable") == 2, timeout=SECONDS, what="two are set aside")
    assert broker.waiting("bridge") == 0, "and nothing is put back"
    assert len(broker.messages("bridge.unreadable")) == 2
    assert "the outcome of task c:4 can't be settled" in caplog.text


def test_g10_what_is_set_aside_is_bounded_in_number_and_in_bytes_and_the_oldest_go(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aside, "UNREADABLE_MESSAGES", 5)
    monkeypatch.setattr(aside, "UNREADABLE_BYTES", 100_000)
    bounds = {"x-max-length": 5, "x-max-length-bytes": 100_000, "x-overflow": "drop-head"}
    monkeypatch.setattr(aside, "ON_RABBITMQ", bounds)
    kind = RedisReader if isinstance(broker, OnRedis) else AmqpReader
    with Celery("collector", broker=broker.url, set_as_current=False) as app:
        reader = kind(app, queue="bridge", others="bridge.ticks")

        def set_aside(*bodies: bytes) -> None:
            """Set aside messages with these bodies, as the reader gets them."""
            taken: list[Any] = []
            for body in bodies:
                broker.put("bridge", body, content_type="application/json")
                taken += reader.wait(SECONDS)
            reader.set_aside(taken, why="it is a test")
            reader.done()

        set_aside(*[b"garbage %d" % number for number in range(4)])
        assert "dropped" not in caplog.text
        set_aside(*[b"garbage %d" % number for number in range(4, 8)])
        assert "bridge.unreadable is full: 3 messages that were set aside before are dropped" in caplog.text
        assert broker.messages("bridge.unreadable") == [b"garbage %d" % number for number in range(3, 8)]
        set_aside(b"x" * 90_000, b"y" * 90_000)
        wait_until(lambda: broker.waiting("bridge.unreadable") == 1, timeout=SECONDS, what="the older one is gone")
        assert broker.messages("bridge.unreadable") == [b"y" * 90_000]
        reader.close()


def test_g10_large_messages_that_were_set_aside_behind_many_small_ones_count_too(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis' own estimate of a list looks at the newest of its messages only."""
    monkeypatch.setattr(aside, "UNREADABLE_BYTES", 200_000)
    broker = OnRedis(redis_url)
    for _ in range(3):
        for size, number in ((50_000, 8), (100, 600)):
            messages, lines = [b"x" * size] * number, aside.few_lines()
            aside.keep_on_redis(broker.client, "bridge.unreadable", messages, why="it is a test", lines=lines)
    kept = broker.messages("bridge.unreadable")
    assert 100_000 < sum(map(len, kept)) <= 200_000
    assert len(kept) > 600, "the newest ones are kept"
    broker.close()


def test_g10_a_flood_of_garbage_that_comes_one_by_one_is_no_flood_of_lines(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aside, "UNREADABLE_MESSAGES", 50)
    broker, lines = OnRedis(redis_url), aside.few_lines()
    for _ in range(100):
        aside.keep_on_redis(broker.client, "bridge.unreadable", [b"garbage"], why="it is a test", lines=lines)
    assert broker.waiting("bridge.unreadable") == 50
    assert len(caplog.messages) == aside.MOST_LINES
    broker.close()


def refuse_to_keep(broker: Broker) -> None:
    """Let the broker take no message for `bridge.unreadable`."""
    if isinstance(broker, OnRedis):
        broker.client.set("bridge.unreadable", "somebody else's")
        return
    assert isinstance(broker, OnRabbit)
    with broker.connection.channel() as channel:
        arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
        channel.queue_declare("bridge.unreadable", durable=True, auto_delete=False, arguments=arguments)


def test_g10_where_the_broker_refuses_to_keep_what_nobody_can_read_all_else_is_settled(
    world: World, publisher: Celery, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """For want of rights, of memory, or of room: it would refuse the same message again, for ever."""
    world.client(ordering="none")
    world.publish(*[None] * 2)
    first, second = world.hand_over()
    refuse_to_keep(broker)
    with collecting(world, broker.url):
        broker.put("bridge", b"garbage", content_type="application/json")
        publisher.send_task("bridge.commit", args=genuine(first), queue="bridge")
        wait_until(lambda: world.cursor() == 1, timeout=SECONDS, what="what came with it is settled")
        publisher.send_task("bridge.commit", args=genuine(second), queue="bridge")
        wait_until(lambda: world.cursor() == 2, timeout=SECONDS, what="and what came later")
    assert broker.waiting("bridge") == 0
    assert "1 message is dropped, it can't be set aside on bridge.unreadable" in caplog.text
    assert "garbage" in caplog.text


def test_g10_a_redis_that_is_full_of_outcomes_is_emptied(
    world: World, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It refuses whatever may need memory, and to take an outcome off its queue is such a thing."""
    world.client(ordering="none")
    world.publish(*[None] * 3)
    broker = OnRedis(redis_url)
    with Celery("publisher", broker=redis_url, set_as_current=False) as publisher:
        publisher.send_task("bridge.pump", queue="bridge")
        for delivery in world.hand_over():
            publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    broker.put("bridge", b"garbage")
    broker.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResponseError, match="command not allowed"):
            broker.client.lpush("bridge", b"more")
        with collecting(world, redis_url):
            wait_until(lambda: world.cursor() == 3, timeout=SECONDS, what="the outcomes are settled")
            wait_until(lambda: broker.waiting("bridge.unreadable") == 1, timeout=SECONDS, what="garbage is set aside")
        assert (broker.waiting("bridge"), broker.waiting("bridge.ticks")) == (0, 1)
    finally:
        broker.client.config_set("maxmemory", "0")
        broker.close()


def test_g10_what_is_taken_at_once_is_bounded_in_bytes(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand messages of a megabyte would be more than a bridge worker has."""
    monkeypatch.setattr(redis_reader, "TAKEN_BYTES", 100_000)
    monkeypatch.setattr(amqp_reader, "TAKEN_BYTES", 100_000)
    sent = ((40_000, 9), (10, 200), (40_000, 121))
    kind = RedisReader if isinstance(broker, OnRedis) else AmqpReader
    with Celery("collector", broker=broker.url, set_as_current=False) as app:
        reader = kind(app, queue="bridge", others="bridge.ticks")
        for size, number in sent:
            for _ in range(number):
                broker.put("bridge", b"x" * size)
        taken: list[list[int]] = []
        while sum(map(len, taken)) < 330:
            messages: list[Any] = wait_until(lambda: reader.take(150), timeout=SECONDS, what="they are there")
            taken.append([len(getattr(it, "body", it)) for it in messages])
            whole = len(messages) < 150 and sum(taken[-1]) >= 100_000
            assert reader.left_some == whole
            reader.done()
        assert [size for some in taken for size in some] == [size for size, number in sent for _ in range(number)]
        assert [sum(some) for some in taken[:3]] == [120_000] * 3
        assert all(sum(some) < 100_000 + 50 * 40_000 for some in taken)
        reader.close()


def test_g10_a_queue_that_somebody_has_declared_with_other_bounds_is_used_as_it_is(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.put("bridge.unreadable", b"older")
    broker.put("bridge", b"garbage", content_type="application/json")
    kind = RedisReader if isinstance(broker, OnRedis) else AmqpReader
    with Celery("collector", broker=broker.url, set_as_current=False) as app:
        reader = kind(app, queue="bridge", others="bridge.ticks")
        reader.pass_on(reader.wait(SECONDS))
        reader.done()
        reader.close()
    assert broker.messages("bridge.unreadable") == [b"older", b"garbage"]


def hold(world: World, connect: Connect, statement: str) -> psycopg.Connection[Any]:
    """Hold rows in a transaction of a stranger's; rolling it back ends that."""
    stranger = connect(autocommit=False)
    assert stranger.execute(statement).fetchall(), "it holds something"
    return stranger


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE",
        "SELECT FROM fq.deliveries WHERE client_id = 'held' FOR UPDATE",
    ],
    ids=["the client's row", "its deliveries"],
)
def test_g10_while_a_stranger_holds_one_client_the_others_are_settled_and_its_own_are_when_it_is_free(
    world: World, connect: Connect, publisher: Celery, broker: Broker, statement: str
) -> None:
    for client in ("held", "free"):
        world.client(client, ordering="none")
    world.publish(*[None] * 20)
    deliveries = [it for client in ("held", "free") for it in world.hand_over(client)]
    stranger = hold(world, connect, statement)
    for delivery in deliveries[:10] + deliveries[20:30]:
        publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    with collecting(world, broker.url):
        wait_until(lambda: world.cursor("free") == 10, timeout=SECONDS, what="the free one's are settled")
        for delivery in deliveries[10:20] + deliveries[30:]:
            publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
        wait_until(lambda: world.cursor("free") == 20, timeout=SECONDS, what="and later ones")
        assert world.cursor("held") == 0
        stranger.rollback()
        wait_until(lambda: world.cursor("held") == 20, timeout=SECONDS, what="those that waited")
    assert (broker.waiting("bridge"), broker.waiting("bridge.unreadable")) == (0, 0)


def test_g10_what_waits_for_a_held_client_goes_back_when_the_collector_ends_and_is_settled_by_the_next(
    world: World, connect: Connect, publisher: Celery, broker: Broker
) -> None:
    for client in ("held", "free"):
        world.client(client, ordering="none")
    world.publish(*[None] * 3)
    deliveries = [it for client in ("held", "free") for it in world.hand_over(client)]
    stranger = hold(world, connect, "SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    for delivery in deliveries:
        publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    with collecting(world, broker.url):
        wait_until(lambda: world.cursor("free") == 3, timeout=SECONDS, what="the free one's are settled")
    wait_until(lambda: broker.waiting("bridge") >= 3, timeout=SECONDS, what="the held one's are back")
    stranger.rollback()
    with collecting(world, broker.url):
        wait_until(lambda: world.cursor("held") == 3, timeout=SECONDS, what="and settled")


def test_g10_what_a_collector_keeps_aside_is_bounded_and_more_goes_to_the_end_of_the_queue(
    world: World, connect: Connect, publisher: Celery, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "HELD_MESSAGES", 5)
    for client in ("held", "free"):
        world.client(client, ordering="none")
    world.publish(*[None] * 30)
    deliveries = [it for client in ("held", "free") for it in world.hand_over(client)]
    stranger = hold(world, connect, "SELECT FROM fq.clients WHERE id = 'held' FOR UPDATE")
    for delivery in deliveries:
        publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    with collecting(world, broker.url):
        wait_until(lambda: world.cursor("free") == 30, timeout=SECONDS, what="the free one's are settled")
        stranger.rollback()
        wait_until(lambda: world.cursor("held") == 30, timeout=SECONDS, what="the held one's, too")
        wait_until(lambda: broker.waiting("bridge") == 0, timeout=SECONDS, what="nothing goes round any more")


def test_g10_what_is_in_hand_while_postgres_is_away_stays_there_and_nothing_more_is_taken(
    world: World, publisher: Celery, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A quorum queue would drop what is given back too often."""
    world.client(ordering="none")
    world.publish(*[None] * 4)
    deliveries = world.hand_over()
    away = threading.Event()
    away.set()
    tries: list[int] = []
    settle = settle_reported

    def refuse(bridge: Any, reported: Any, **options: Any) -> Any:
        reported = list(reported)
        tries.append(len(reported))
        if away.is_set():
            raise StoreUnavailable("Postgres is read-only")
        return settle(bridge, reported, **options)

    monkeypatch.setattr(loop, "settle_reported", refuse)
    with collecting(world, broker.url):
        publisher.send_task("bridge.commit", args=genuine(deliveries[0]), queue="bridge")
        wait_until(lambda: len(tries) > 2, timeout=SECONDS, what="it is tried again and again")
        for delivery in deliveries[1:]:
            publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
        before = len(tries)
        wait_until(lambda: len(tries) > before + 1, timeout=SECONDS, what="and again")
        assert set(tries) == {1}, "with nothing beside it"
        assert caplog.text.count("outcomes wait: Postgres is read-only") == 1
        away.clear()
        wait_until(lambda: world.cursor() == 4, timeout=SECONDS, what="all are settled")
        wait_until(lambda: "outcomes are settled again" in caplog.text, timeout=SECONDS, what="it is said")
