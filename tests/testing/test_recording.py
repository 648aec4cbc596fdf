"""What a test sees of what it publishes, and handlers that get it in the same process, on each kind of connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import bridge
from bridge.errors import BridgeError, InvalidEvent, UsageError
from bridge.testing import Recording
from tests.testing.shop import Shop


@pytest.fixture(params=["psycopg", "psycopg2", "sqlalchemy", "session"])
def any_connection(request: pytest.FixtureRequest, database: str) -> Iterator[Any]:
    """A connection inside a transaction that is rolled back."""
    if request.param == "psycopg":
        with psycopg.connect(database) as connection:
            yield connection
            connection.rollback()
    elif request.param == "psycopg2":
        connection2 = psycopg2.connect(database)
        yield connection2
        connection2.close()
    else:
        engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as outer, outer.begin() as transaction:
            yield outer if request.param == "sqlalchemy" else Session(outer, join_transaction_mode="create_savepoint")
            transaction.rollback()
        engine.dispose()


def test_what_was_published_is_seen_in_a_transaction_that_rolls_back(
    any_connection: Any, shop: Shop, database: str
) -> None:
    recording = Recording(any_connection, shop.app)
    shop.client(topics=["order.*"])
    bridge.publish(any_connection, "order.created", {"total": 12}, key="order-17", headers={"tenant": "a"})
    bridge.publish(any_connection, "stock.counted", [1])
    order, stock = recording.published()
    assert (order.topic, order.key, order.payload, order.headers) == (
        "order.created",
        "order-17",
        {"total": 12},
        {"tenant": "a"},
    )
    assert [event.payload for event in recording.published("stock.#", "bill.*")] == [[1]] == [stock.payload]
    (done,) = recording.deliver_eagerly()
    assert (done.client, done.offset, done.attempts, done.error, done.parked) == (
        "billing",
        order.offset,
        1,
        None,
        False,
    )
    assert recording.deliver_eagerly() == []
    ((_, event),) = shop.calls
    assert event["payload"] == {"total": 12} and event["client"] == "billing" and event["attempt"] == 1
    with psycopg.connect(database) as beside:
        assert beside.execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


@pytest.mark.parametrize("kind", ["psycopg", "connection", "session"])
def test_an_asynchronous_test_sees_and_delivers_likewise(kind: str, database: str, shop: Shop) -> None:
    shop.client()

    async def test(connection: Any) -> None:
        recording = await Recording.abegin(connection, shop.app)
        await bridge.apublish(connection, "order.created", {"total": 12})
        assert [event.topic for event in await recording.apublished("order.*")] == ["order.created"]
        assert [done.client for done in await recording.adeliver_eagerly()] == ["billing"]
        assert [event["payload"] for _, event in shop.calls] == [{"total": 12}]

    async def run() -> None:
        if kind == "psycopg":
            async with await psycopg.AsyncConnection.connect(database) as connection:
                await test(connection)
                await connection.rollback()
            return
        engine = create_async_engine(database.replace("postgresql:", "postgresql+psycopg:"))
        async with engine.connect() as outer, outer.begin() as transaction:
            await test(outer if kind == "connection" else AsyncSession(outer))
            await transaction.rollback()
        await engine.dispose()

    asyncio.run(run())


def test_events_reach_every_client_in_the_order_of_offsets(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client("billing", topics=["order.*"])
    shop.client("audit")
    one, two, three = bridge.publish_many(connection, [("order.a", {}, "k"), ("stock", {}), ("order.b", {}, "k")])
    recording.deliver_eagerly()
    assert sorted(shop.offsets) == sorted(
        [("billing", one), ("audit", one), ("audit", two), ("billing", three), ("audit", three)]
    )
    assert [offset for _, offset in shop.offsets] == [one, one, two, three, three]


def test_what_is_scheduled_is_delivered_only_where_the_test_wants_it(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client()
    bridge.publish(connection, "reminder.due", {}, deliver_after=3600)
    assert recording.deliver_eagerly() == [] and recording.published() == []
    assert [done.topic for done in recording.deliver_eagerly(scheduled=True)] == ["reminder.due"]
    assert recording.deliver_eagerly(scheduled=True) == []


def test_only_the_named_clients_get_something(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client("billing")
    shop.client("audit")
    offset = bridge.publish(connection, "order.created", {})
    recording.deliver_eagerly("audit")
    assert shop.offsets == [("audit", offset)]
    recording.deliver_eagerly()
    assert shop.offsets == [("audit", offset), ("billing", offset)]
    with pytest.raises(UsageError, match="client 'nobody' is not declared"):
        recording.deliver_eagerly("nobody")


def test_what_a_handler_raises_comes_through_and_the_event_comes_again(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client(fails=1)
    first, second = bridge.publish_many(connection, [("order", {}, "k"), ("order", {}, "k")])
    with pytest.raises(KeyError, match="attempt 0"):
        recording.deliver_eagerly()
    assert shop.offsets == [("billing", first)]
    assert [(done.offset, done.attempts) for done in recording.deliver_eagerly()] == [(first, 2), (second, 1)]
    assert [event["attempt"] for _, event in shop.calls] == [1, 2, 1]


@pytest.mark.parametrize(
    ("on_exhausted", "after"),
    [("park", ["k", "other"]), ("hold-key", ["other"]), ("halt", [])],
)
def test_a_handler_that_fails_for_good_parks_its_event_as_in_production(
    on_exhausted: Any, after: list[str], recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client(fails=2, max_attempts=2, on_exhausted=on_exhausted)
    bridge.publish_many(connection, [("order", {}, "k"), ("order", {}, "k"), ("order", {}, "other")])
    done = recording.deliver_eagerly(raise_errors=False)
    assert [(one.attempts, one.parked, str(one.error)) for one in done[:2]] == [
        (1, False, "'attempt 1'"),
        (2, True, "'attempt 0'"),
    ]
    assert [one.key for one in done[2:]] == after


def test_what_a_handler_publishes_is_delivered_too(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client("shipping", topics=["bill.paid"])

    @bridge.client("billing", topics=["order.created"])
    @shop.app.task(shared=False, name="bill")
    def bill(event: bridge.Event) -> None:
        bridge.publish(connection, "bill.paid", {"order": event["key"]})

    bridge.publish(connection, "order.created", {}, key="order-17")
    assert [done.client for done in recording.deliver_eagerly()] == ["billing", "shipping"]
    assert [event["payload"] for _, event in shop.calls] == [{"order": "order-17"}]


def test_handlers_that_publish_for_ever_are_stopped(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.testing.recording.MOST_ROUNDS", 3)

    @bridge.client("echo")
    @shop.app.task(shared=False, name="echo")
    def echo(event: bridge.Event) -> None:
        bridge.publish(connection, event["topic"], {})

    bridge.publish(connection, "order.created", {})
    with pytest.raises(BridgeError, match="does one publish what it is called with"):
        recording.deliver_eagerly()


@pytest.mark.parametrize(
    ("settings", "called"),
    [
        ({"call": "payload"}, ({"tuple": [1]},)),
        ({"call": "kwargs"}, ({"tuple": [1]},)),
        ({"call": "payload", "serializer": "pickle"}, ({"tuple": [1]},)),
        ({"call": "cloudevent"}, ()),
        ({"call": "payload", "batch": 3}, ([{"tuple": [1]}],)),
    ],
)
def test_a_handler_is_called_as_its_client_asks(
    settings: dict[str, Any],
    called: tuple[Any, ...],
    recording: Recording,
    connection: psycopg.Connection[Any],
    shop: Shop,
) -> None:
    shop.client(**settings)
    bridge.publish(connection, "order.created", {"tuple": (1,)})
    recording.deliver_eagerly()
    if settings["call"] == "cloudevent":
        ((_, event),) = shop.calls
        assert (event["data"], event["type"], event["attempt"]) == ({"tuple": [1]}, "order.created", 1)
    else:
        assert shop.calls == [("billing", *called)]


@pytest.mark.parametrize(("batch_as", "calls"), [("list", [2, 2, 1]), ("calls", [1, 1, 1, 1, 1])])
def test_a_batch_holds_one_event_of_each_key(
    batch_as: Any, calls: list[int], recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client(batch=10, batch_as=batch_as, call="payload")
    bridge.publish_many(connection, [("order", {}, key) for key in ("a", "b", "b", "a", "a")])
    recording.deliver_eagerly()
    assert [len(payloads) if batch_as == "list" else 1 for _, payloads in shop.calls] == calls


def test_routes_and_the_tasks_request_are_those_of_production(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    seen: dict[str, Any] = {}

    @shop.app.task(shared=False, name="refund", bind=True)
    def refund(self: Any, event: bridge.Event) -> None:
        seen.update(id=self.request.id, headers=self.request.headers)

    shop.client(routes=[("order.refunded", "refund")])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    offset = bridge.publish(connection, "order.refunded", {}, headers={"traceparent": trace})
    recording.deliver_eagerly()
    assert seen["id"] == f"billing:{offset}" and seen["headers"]["traceparent"] == trace
    assert seen["headers"]["bridge_offset"] == offset and shop.calls == []


@pytest.mark.parametrize(
    ("payload", "settings", "said"),
    [
        ({"__type__": "uuid", "__value__": "x"}, {}, "would be parked for client 'billing'"),
        ([1], {"call": "kwargs"}, "no keyword arguments"),
    ],
)
def test_an_event_that_no_worker_could_read_is_an_error(
    payload: Any, settings: Any, said: str, *, recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client(**settings)
    bridge.publish(connection, "order.created", payload)
    with pytest.raises(InvalidEvent, match=said):
        recording.deliver_eagerly()
    assert shop.calls == []


def test_a_route_to_a_task_that_nobody_has_imported_is_an_error(
    recording: Recording, connection: psycopg.Connection[Any], shop: Shop
) -> None:
    shop.client(routes=[("order.*", "elsewhere.task")])
    bridge.publish(connection, "order.created", {})
    with pytest.raises(UsageError, match=r"task 'elsewhere.task' of client 'billing' is not known"):
        recording.deliver_eagerly()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_the_effect_of_a_handler_is_a_savepoint_in_the_tests_transaction(
    given: bool, fails: bool, any_connection: Any, shop: Shop
) -> None:
    recording = Recording(any_connection, shop.app)
    on: Any = any_connection if given else None
    takes = isinstance(any_connection, psycopg.Connection | Session) or (
        not given and not isinstance(any_connection, psycopg2.extensions.connection)
    )

    @bridge.client("transfer", topics=["order.*"])
    @shop.app.task(shared=False, name="transfer")
    def transfer(event: bridge.Event) -> None:
        with bridge.transaction(event, on) as session:
            insert = "INSERT INTO fq.events (topic) VALUES ('written.within')"
            session.execute(insert if isinstance(session, psycopg.Connection) else text(insert))
            if fails:
                raise KeyError("after the write")

    bridge.publish(any_connection, "order.created", {})
    if not takes:
        with pytest.raises(UsageError, match=r"in a test, bridge.transaction needs"):
            recording.deliver_eagerly()
        return
    (done, *_) = recording.deliver_eagerly(raise_errors=False) if fails else recording.deliver_eagerly("transfer")[:1]
    assert isinstance(done.error, KeyError) is fails
    assert bool(recording.published("written.within")) is not fails
