"""An event with an id is stored once: again, concurrently, among many, and from plain SQL."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

import bridge
from bridge.event import NewEvent
from bridge.operate.erase import erase
from tests.conftest import Connect
from tests.log.targets import ASYNCHRONOUS, SYNCHRONOUS
from tests.support.waiting import wait_until
from tests.support.world import World

COUNT = "SELECT count(*) FROM fq.events"
WAITING = "SELECT FROM pg_locks WHERE NOT granted"


def count(connection: psycopg.Connection[Any]) -> int:
    [(number,)] = connection.execute(COUNT).fetchall()
    return int(number)


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_the_same_id_again_returns_the_first_offset_and_writes_nothing(
    database: str, connect: Connect, kind: str
) -> None:
    others = connect()
    with SYNCHRONOUS[kind](database) as target:
        first = bridge.publish(target.it, "order.paid", {"n": 1}, key="k", id="order-17")
        assert bridge.publish(target.it, "order.paid", {"n": 2}, id="order-17") == first, "in the same transaction"
        target.commit()
        assert bridge.publish(target.it, "order.paid", {"n": 3}, id="order-17") == first
        target.commit()
        go_back = target.savepoint()
        with pytest.raises(
            bridge.IdTaken, match=r'id "order-17" is that of an event with the topic order.paid, and not'
        ):
            bridge.publish(target.it, "order.sent", {}, id="order-17")
        go_back()
        target.commit()
    assert others.execute("SELECT topic, payload, key FROM fq.events").fetchall() == [("order.paid", {"n": 1}, "k")]
    assert others.execute("SELECT * FROM fq.event_ids").fetchall() == [("order-17", "order.paid", first)]


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg", "SQLAlchemy session on asyncpg"])
def test_the_same_id_again_returns_the_first_offset_asynchronously_too(
    database: str, connect: Connect, kind: str
) -> None:
    async def main() -> None:
        async with ASYNCHRONOUS[kind](database) as target:
            first = await bridge.apublish(target.it, "order.paid", {"n": 1}, id=UUID(int=5))
            assert await bridge.apublish(target.it, "order.paid", {"n": 2}, id=str(UUID(int=5))) == first
            with pytest.raises(bridge.IdTaken):
                await bridge.apublish_many(target.it, [bridge.NewEvent("order.sent", {}, id=UUID(int=5))])
            await target.rollback()
            await bridge.apublish_many(target.it, [bridge.NewEvent("order.paid", 3, id=7), ("order.paid", 4)])
            await target.commit()

    asyncio.run(main())
    query = """SELECT payload, id FROM fq.events LEFT JOIN fq.event_ids USING ("offset") ORDER BY "offset" """
    found = connect().execute(query).fetchall()
    assert found == [(3, "7"), (4, None)]


def test_many_events_with_ids_are_stored_once_and_in_order(connect: Connect) -> None:
    connection = connect()
    first = bridge.publish(connection, "a", "first", id="x")
    events = [
        bridge.NewEvent("a", 1, id="y"),
        bridge.NewEvent("a", 2),
        bridge.NewEvent("a", 3, id="x"),
        bridge.NewEvent("a", 4, "k", {"h": 1}),
        bridge.NewEvent("a", 5, id="y"),
        bridge.NewEvent("a", 6, id="z"),
    ]
    offsets = bridge.publish_many(connection, events)
    y, plain, x, keyed, y_again, z = offsets
    assert (x, y_again) == (first, y) and first < y < plain < keyed < z
    assert bridge.publish_many(connection, [events[0], events[2], events[5]]) == [y, x, z]
    query = """SELECT "offset", payload, key, headers FROM fq.events ORDER BY "offset" OFFSET 1"""
    assert connection.execute(query).fetchall() == [
        (y, 1, None, {}),
        (plain, 2, None, {}),
        (keyed, 4, "k", {"h": 1}),
        (z, 6, None, {}),
    ]
    with pytest.raises(bridge.IdTaken):
        bridge.publish_many(connection, [("a", "new"), bridge.NewEvent("b", 1, id="x")])
    assert count(connection) == 5, "and nothing of the call is stored"


@pytest.mark.parametrize("ending", ["commits", "rolls back"])
@pytest.mark.parametrize("way", ["one", "many"])
def test_of_two_transactions_with_one_id_the_second_waits_and_then_has_the_first_ones_event_or_its_own(
    connect: Connect, ending: str, way: str
) -> None:
    one, other, eyes = connect(autocommit=False), connect(), connect()

    def publish() -> int:
        if way == "one":
            return bridge.publish(other, "a", "second", id="x")
        return bridge.publish_many(other, [bridge.NewEvent("a", "second", id="x")])[0]

    first = bridge.publish(one, "a", "first", id="x")
    with ThreadPoolExecutor() as threads:
        second = threads.submit(publish)
        wait_until(lambda: eyes.execute(WAITING).fetchall(), what="the second one waits")
        assert not second.done()
        one.commit() if ending == "commits" else one.rollback()
        offset = second.result(10)
    stored = eyes.execute('SELECT "offset", payload FROM fq.events').fetchall()
    assert stored == [(offset, "first" if ending == "commits" else "second")]
    assert (offset == first) is (ending == "commits")


def test_plain_sql_stores_an_id_once(connect: Connect) -> None:
    connection = connect()
    for text in ("1", "2"):
        found = connection.execute("SELECT fq.publish('a', %s, id => 'x')", [text]).fetchone()
        assert found == (1,)
    connection.execute("SELECT fq.publish('a', '{}', 'k', NULL)")
    assert count(connection) == 2
    with pytest.raises(psycopg.Error, match='id "x" is that of an event with the topic a, and not b') as caught:
        connection.execute("SELECT fq.publish('b', '2', id => 'x')")
    assert caught.value.sqlstate == "FQ002"


def test_an_id_is_forgotten_with_its_event_and_not_before(connect: Connect) -> None:
    connection = connect()
    first = bridge.publish(connection, "a", 1, id="x")
    connection.execute("DELETE FROM fq.events")
    assert bridge.publish(connection, "a", 2, id="x") > first


def test_an_id_never_names_another_event(connect: Connect) -> None:
    connection = connect()
    bridge.publish(connection, "a", 1, id="x")
    for change in ('"offset" = 5', "id = 'y'", "topic = 'b'"):
        with pytest.raises(psycopg.Error, match='id "x" names event 1, and no other'):
            connection.execute(f"UPDATE fq.event_ids SET {change}".encode())


def test_pruning_and_erasing_the_key_forget_the_ids(connect: Connect, world: World) -> None:
    for id in ("kept", "pruned", "erased"):
        bridge.publish(world.eyes, "a", {}, key=id, id=id)
    world.eyes.execute("DELETE FROM fq.events WHERE key = 'pruned'")
    assert erase(world.store, "erased", by="me").erased == 1
    assert world.eyes.execute("SELECT id FROM fq.event_ids ORDER BY 1").fetchall() == [("erased",), ("kept",)]
    assert erase(world.store, "erased", by="me", key_too=True).keys_replaced == 1
    assert world.eyes.execute("SELECT id FROM fq.event_ids").fetchall() == [("kept",)]


@pytest.mark.parametrize("many", [False, True])
def test_an_id_that_somebody_wrote_without_an_event_names_the_first_event_that_is_published(
    connect: Connect, many: bool
) -> None:
    connection = connect()
    connection.execute("INSERT INTO fq.event_ids (id, topic) VALUES ('x', 'a')")
    if many:
        assert bridge.publish_many(connection, [("b", 1), NewEvent("a", 2, id="x"), ("c", 3)]) == [1, 2, 3]
    else:
        bridge.publish(connection, "b", 1)
        assert bridge.publish(connection, "a", 2, id="x") == 2
    assert bridge.publish(connection, "a", 3, id="x") == 2


@pytest.mark.parametrize("kind", ["psycopg connection", "SQLAlchemy connection on psycopg2", "psycopg2 connection"])
def test_a_taken_id_is_named_on_one_line_whatever_it_is(database: str, kind: str) -> None:
    with SYNCHRONOUS[kind](database) as target:
        bridge.publish(target.it, "a", 1, id="\x1b[31mred\nHINT: line")
        with pytest.raises(bridge.IdTaken) as caught:
            bridge.publish(target.it, "b", 1, id="\x1b[31mred\nHINT: line")
    told = str(caught.value)
    assert told.startswith('id "') and told.isprintable() and "red" in told
