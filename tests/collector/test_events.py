"""A bridge worker hears `task-failed` events, forged ones too, and hears again after its connection was lost (G10)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from celery.events.event import get_exchange
from redis import Redis

from bridge.app import Bridge
from bridge.bounds import EVENT_BYTES
from bridge.broker.task_events import STARTED_MESSAGES, TaskEvents, wanted_events
from bridge.collector import events
from bridge.collector.reader import parse
from bridge.contract import FAIL, SETTLE, sign
from bridge.model import Failure
from bridge.settle.read_callbacks import outcomes_of, settle_callbacks
from bridge.settle.settle import settle
from bridge.store.fate import read_fate
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World, outcome

Send = Callable[..., None]


@pytest.fixture
def app(request: pytest.FixtureRequest, database: str) -> Iterator[Celery]:
    broker = getattr(request, "param", "redis")
    with Celery("shop", broker=request.getfixturevalue(f"{broker}_url"), set_as_current=False) as it:
        it.conf.update(bridge_database_url=database, bridge_secret="s")
        yield it
        it.close()


@pytest.fixture
def send(app: Celery) -> Iterator[Send]:
    """Return a sender of events, as a worker has one; it sends each event by itself."""
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, hostname="w@h")

        def send(id: str, kind: str = "task-failed", **fields: Any) -> None:
            dispatcher.send(kind, uuid=id, **fields)

        yield send


def parked(world: World, number: int) -> None:
    """Park so many events of a client, without their reasons."""
    world.client(max_attempts=1)
    world.publish(*[None] * number)
    settle(world.store, [outcome(delivery, failure=Failure()) for delivery in world.hand_over()])


def why(world: World, offset: int) -> tuple[str | None, str | None]:
    found = read_fate(world.store, "c", offset)
    assert found is not None
    return found.error_type, found.error


@pytest.mark.parametrize("app", ["redis", "amqp"], indirect=True)
def test_g10_events_are_heard_and_heard_again_after_the_connection_was_lost(
    world: World, app: Celery, send: Send, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parked(world, 4)
    monkeypatch.setattr(events, "FIRST_DELAY_SECONDS", 0.05)
    url = urlsplit(app.conf.broker_url)
    link = Link(url.port or 0)
    stopping = threading.Event()

    def tell(offset: int, **fields: Any) -> None:
        """Send an event again and again: what comes before the subscription is gone."""
        sent = {"exception": "ValueError('no')", **fields}

        def is_told() -> bool:
            send(f"c:{offset}", **sent)
            return why(world, offset)[0] is not None

        wait_until(is_told, what=f"event {offset} is told of")

    with Celery("bridge", broker=url.geturl().replace(f":{url.port}/", f":{link.port}/"), set_as_current=False) as far:
        far.conf.update(bridge_database_url=app.conf.bridge_database_url)
        bridge = Bridge(far)
        thread = threading.Thread(target=events.FailureEvents(None).run, args=(bridge, stopping), daemon=True)
        thread.start()
        tell(1)
        send("\0 nobody's")
        publish_garbage(app)
        tell(4)
        link.cut()
        tell(2, exception={"no": "text"}, traceback="Traceback (most recent call last):\n  File …\nshop.Refused: gone")
        stopping.set()
        thread.join()
        bridge.store.close()
        link.close()
    assert caplog.text.count("task-failed events are not heard") == 1, "messages that can't be read are passed over"
    assert why(world, 1) == ("ValueError", "no")
    assert why(world, 2) == ("Refused", "gone")
    assert why(world, 3) == (None, None)
    assert world.rows("deliveries") == [] and world.rows("parked") == [1, 2, 3, 4]


def publish_garbage(app: Celery) -> None:
    """Publish what is no event, and on Redis no message either."""
    wrong = (b"task-failed", b"5", b"[]", b"null", b'{"body": 5}', b'{"body": "x", "properties": {}}')
    with app.connection_for_write() as connection:
        exchange = get_exchange(connection)
        for content_type in ("application/json", "application/x-python-serialize", "no/such"):
            producer = connection.Producer(exchange=exchange)
            for body in wrong:
                producer.publish(body, routing_key="task.failed", content_type=content_type, content_encoding="utf-8")
    if app.conf.broker_url.startswith("redis"):
        with Redis.from_url(app.conf.broker_url) as redis:
            database = redis.connection_pool.connection_kwargs["db"]
            for body in wrong:
                redis.publish(f"/{database}.celeryev/task.failed", body)


def test_bodies_without_a_failure_are_not_parsed_but_for_a_few_that_tell_of_starts() -> None:
    started = json.dumps([{"type": "task-started", "uuid": "c:1"}, {"type": "task-received"}]).encode()
    failed = json.dumps({"type": "task-failed", "uuid": "c:1"}).encode()
    wrong = [
        b"task-failed",
        b"[" * 100_000 + b"task-failed",
        b'"task-failed"',
        b'["task-failed", 5]',
        b"\xff task-failed",
    ]
    found = list(wanted_events([*wrong, *[started] * 3 * STARTED_MESSAGES, failed, b"{}"]))
    kinds = [event["type"] for event in found]
    assert kinds == ["task-started"] * STARTED_MESSAGES + ["task-failed"]


def test_a_message_that_is_too_large_is_not_kept(app: Celery, send: Send) -> None:
    heard = TaskEvents(app)
    heard.receive(0.01)  # subscribes
    send("c:1", exception="x" * EVENT_BYTES)
    send("c:2", exception="y")
    found: list[dict[str, Any]] = []

    def is_heard() -> bool:
        found.extend(heard.receive(0.1))
        return bool(found)

    wait_until(is_heard, what="the second one is heard")
    assert [event["uuid"] for event in found] == ["c:2"]
    heard.close()


@pytest.mark.parametrize("app", ["redis", "amqp"], indirect=True)
def test_large_events_take_a_bounded_part_of_memory_and_the_newest_of_them_are_heard(
    app: Celery, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.broker.task_events.HEARD_BYTES", 100_000)
    monkeypatch.setattr("bridge.broker.task_events.EVENT_BYTES", 40_000)
    heard = TaskEvents(app)
    heard.receive(0.01)  # subscribes
    for number in range(12):
        send(f"c:{number}", exception="x" * 30_000)
    found: list[list[dict[str, Any]]] = []

    def last_is_heard() -> bool:
        found.append(heard.receive(0.1))
        return bool(found[-1]) and found[-1][-1]["uuid"] == "c:11"

    wait_until(last_is_heard, what="the last one is heard")
    assert max(map(len, found)) <= 3
    heard.close()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ({"type": "ValueError", "message": "no"}, ("ValueError", "no")),
        ({"type": "a\0b", "message": "c\0d"}, ("a\\x00b", "c\\x00d")),
        ({"type": 5, "message": ["no"], "traceback": {}, "host": 7, "runtime_seconds": "long"}, (None, None)),
        ({"type": "E" * 9999, "message": "m", "runtime_seconds": 10**400}, ("E" * 200, "m")),
        ([], (None, None)),
        ("ValueError", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_callback_that_tells_why_is_read_and_may_hold_anything(
    reason: Any, told: tuple[str | None, str | None]
) -> None:
    args = ["c", 1, 1, 1, sign("s", ("c", "1", 1, 1), generation=1)]
    read = parse("application/json", {"task": FAIL}, json.dumps([args, {"reason": reason}, {}]).encode())
    assert read is not None and read.task == SETTLE
    [failed] = outcomes_of((FAIL, args, reason), secret="s")
    assert failed.failure is not None
    assert (failed.failure.type, failed.failure.message) == told
    forged = [*args[:4], "0" * 32]
    assert outcomes_of((FAIL, forged, reason), secret="s") == []


def test_a_reason_travels_with_its_callback_whichever_way_it_is_settled(world: World, app: Celery) -> None:
    world.client(max_attempts=1)
    world.publish(None, None)
    world.hand_over()
    bridge = Bridge(app)
    args = [["c", nth, 1, 1, sign("s", ("c", str(nth), 1, 1), generation=1)] for nth in (1, 2)]
    reason = {"type": "ValueError", "message": "no", "host": "w@h", "runtime_seconds": 1.5}
    settle_callbacks(bridge, [(FAIL, args[0], reason), (SETTLE, [[[FAIL, args[1], reason]]])])
    for offset in (1, 2):
        found = read_fate(world.store, "c", offset)
        assert found is not None
        assert (found.error_type, found.error, found.host, found.runtime_seconds) == ("ValueError", "no", "w@h", 1.5)
        assert found.failures[0].told_by == "callback"
    bridge.store.close()
