"""Events for later: not in the log before they are due, in it then, once, and in nobody's way meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import psycopg
import pytest

import bridge
from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.store.scheduled import append_due, count_scheduled, list_scheduled
from tests.conftest import Connect
from tests.log.targets import ASYNCHRONOUS, SYNCHRONOUS
from tests.support.world import World, offsets

LONG_AGO = datetime(2026, 1, 31, 12, tzinfo=UTC)
STORED = """SELECT coalesce(array_agg(CAST(topic AS text) ORDER BY "offset"), '{}') FROM fq.events"""


def stored(connection: psycopg.Connection[Any]) -> list[str]:
    [(topics,)] = connection.execute(STORED).fetchall()
    return list(topics)


def make_due(connection: psycopg.Connection[Any], number: int | None) -> None:
    connection.execute("UPDATE fq.scheduled SET due_at = due_at - interval '10 days' WHERE number = %s", [number])


def try_again(connection: psycopg.Connection[Any]) -> None:
    connection.execute("UPDATE fq.scheduled SET held_until = NULL")


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_an_event_is_scheduled_in_the_transaction_of_its_caller(database: str, connect: Connect, kind: str) -> None:
    others = connect()
    with SYNCHRONOUS[kind](database) as target:
        bridge.publish(target.it, "a.undone", {}, deliver_after=60)
        target.rollback()
        after = bridge.publish(target.it, "a.after", {"n": 1}, key=5, headers={"h": 1}, deliver_after=timedelta(days=3))
        at = bridge.publish(target.it, "a.at", {}, id="x", deliver_at=LONG_AGO)
        assert bridge.publish(target.it, "a.at", {}, id="x", deliver_after=5) == at
        target.commit()
    assert (at.due_at, at.offset) == (LONG_AGO, None)
    query = "SELECT number, topic, key, payload, headers, id FROM fq.scheduled ORDER BY number"
    assert others.execute(query).fetchall() == [
        (after.number, "a.after", "5", {"n": 1}, {"h": 1}, None),
        (at.number, "a.at", None, {}, {}, "x"),
    ]
    wait = others.execute("SELECT due_at - created_at FROM fq.scheduled WHERE topic = 'a.after'").fetchone()
    assert wait is not None and timedelta(days=2, hours=23) < wait[0] <= timedelta(days=3)
    assert stored(others) == []


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg", "SQLAlchemy connection on asyncpg"])
def test_an_event_is_scheduled_asynchronously_too(database: str, connect: Connect, kind: str) -> None:
    async def main() -> None:
        async with ASYNCHRONOUS[kind](database) as target:
            assert (await bridge.apublish(target.it, "a", {}, deliver_at=LONG_AGO)).due_at == LONG_AGO
            await bridge.apublish(target.it, "b", {}, deliver_after=0.5)
            await target.commit()

    asyncio.run(main())
    assert connect().execute("SELECT topic FROM fq.scheduled ORDER BY number").fetchall() == [("a",), ("b",)]


@pytest.mark.parametrize("kind", ["psycopg connection", "psycopg2 connection"])
def test_the_settings_of_a_session_and_the_offset_of_a_time_zone_change_no_time(database: str, kind: str) -> None:
    with SYNCHRONOUS[kind](database) as target:
        cursor = target.it.cursor()
        cursor.execute("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/New_York'; SET search_path = ''")
        for offset in (timedelta(hours=23, minutes=59), timedelta(microseconds=5), timedelta(hours=-16)):
            at = LONG_AGO.astimezone(timezone(offset))
            assert bridge.publish(target.it, "a", {}, deliver_at=at).due_at == LONG_AGO


def test_what_is_due_is_appended_in_the_order_in_which_it_was_due_and_nothing_else(world: World) -> None:
    for days, topic in [(2, "second"), (1, "first"), (3, "third")]:
        bridge.publish(world.eyes, topic, {}, key="k", deliver_at=LONG_AGO + timedelta(days=days))
    later = bridge.publish(world.eyes, "later", {}, key="k", deliver_after=3600)
    assert append_due(world.store, most=2).done == 2
    assert append_due(world.store, most=2).done == 1
    assert append_due(world.store, most=2) == (0, 0, None)
    assert stored(world.eyes) == ["first", "second", "third"]
    assert [event.number for event in list_scheduled(world.store, most=5)] == [later.number]
    count = count_scheduled(world.store)
    assert count.events == 1 and count.next_in_seconds is not None and 3000 < count.next_in_seconds <= 3600


def test_an_event_for_next_week_holds_nothing_back_not_even_a_strict_client(world: World) -> None:
    world.client("c", ordering="strict")
    week = bridge.publish(world.eyes, "a", "week", key="k", deliver_after=timedelta(weeks=1))
    bridge.publish(world.eyes, "a", "now", key="k")
    [delivery] = world.hand_over("c")
    assert offsets([delivery]) == [1]
    world.succeed(delivery)
    assert world.cursor("c") == 1
    make_due(world.eyes, week.number)
    append_due(world.store, most=10)
    [delivery] = world.hand_over("c")
    world.succeed(delivery)
    assert world.cursor("c") == delivery.offset == 2


def test_of_one_id_one_event_is_stored_whether_it_was_scheduled_or_not(world: World) -> None:
    scheduled = bridge.publish(world.eyes, "a", "later", id="x", deliver_after=3600)
    offset = bridge.publish(world.eyes, "a", "now", id="x")
    assert bridge.publish(world.eyes, "a", "again", id="x", deliver_after=1) == (None, None, offset)
    make_due(world.eyes, scheduled.number)
    assert append_due(world.store, most=10).done == 1
    assert world.eyes.execute("SELECT payload FROM fq.events").fetchall() == [("now",)]
    assert list_scheduled(world.store, most=5) == []
    bridge.publish(world.eyes, "a", 1, id="y", deliver_after=1)
    with pytest.raises(bridge.IdTaken):
        bridge.publish(world.eyes, "b", 1, id="y", deliver_after=1)


def test_an_id_that_another_transaction_publishes_at_this_moment_holds_up_no_other_event(
    world: World, connect: Connect
) -> None:
    for topic, id in [("a", None), ("x", "x"), ("b", "b")]:
        bridge.publish(world.eyes, topic, {}, id=id, deliver_at=LONG_AGO)
    other = connect(autocommit=False)
    bridge.publish(other, "x", {}, id="x")
    assert append_due(world.store, most=10) == (2, 1, None)
    assert stored(world.eyes) == ["a", "b"]
    other.rollback()
    try_again(world.eyes)
    assert append_due(world.store, most=10).done == 1
    assert stored(world.eyes) == ["a", "b", "x"]


def test_g10_many_ids_that_another_transaction_holds_hold_up_no_other_event(world: World, connect: Connect) -> None:
    ids = [f"held-{nth}" for nth in range(12)]
    for nth, id in enumerate([*ids, "free"]):
        bridge.publish(world.eyes, id, {}, id=id, deliver_at=LONG_AGO + timedelta(seconds=nth))
    other = connect(autocommit=False)
    bridge.publish_many(other, [NewEvent(id, {}, id=id) for id in ids])
    while (found := append_due(world.store, most=10)).held:
        assert not found.done or stored(world.eyes) == ["free"]
    assert stored(world.eyes) == ["free"]
    other.commit()
    try_again(world.eyes)
    assert append_due(world.store, most=50).done == len(ids)
    assert len(stored(world.eyes)) == len(ids) + 1


@pytest.mark.parametrize("error", ["P0001", "MY001", "23505"])
def test_g10_an_event_that_postgres_refuses_holds_up_no_other_event(world: World, error: str) -> None:
    world.eyes.execute(
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not that' USING ERRCODE = '{error}'; END $$;
            CREATE TRIGGER mine BEFORE INSERT ON fq.events FOR EACH ROW WHEN (NEW.topic = 'bad')
            EXECUTE FUNCTION refuse()"""
    )
    for topic in ("a", "bad", "bad", "b"):
        bridge.publish(world.eyes, topic, {}, deliver_at=LONG_AGO)
    assert append_due(world.store, most=10) == (2, 2, "event 3: not that")
    assert stored(world.eyes) == ["a", "b"]
    assert append_due(world.store, most=10) == (0, 0, None)  # for a minute
    assert [event.topic for event in list_scheduled(world.store, most=5)] == ["bad", "bad"]


def test_an_event_that_is_being_cancelled_holds_up_no_other_event(world: World, connect: Connect) -> None:
    number = bridge.publish(world.eyes, "a", {}, deliver_at=LONG_AGO).number
    bridge.publish(world.eyes, "b", {}, deliver_at=LONG_AGO)
    other = connect(autocommit=False)
    other.execute("DELETE FROM fq.scheduled WHERE number = %s", [number])
    assert append_due(world.store, most=10) == (1, 0, None)
    assert stored(world.eyes) == ["b"]


def test_one_call_appends_a_bounded_number_of_bytes(world: World) -> None:
    text = "".join(sha256(str(nth).encode()).hexdigest() for nth in range(120_000))  # 7.7 MB that do not compress
    for _ in range(4):
        bridge.publish(world.eyes, "a", text, deliver_at=LONG_AGO)
    assert append_due(world.store, most=10).done == 3
    assert append_due(world.store, most=10).done == 1


@pytest.mark.parametrize("id", ["", "x" * 513])
def test_an_id_that_the_log_could_not_hold_is_refused_when_it_is_scheduled(connect: Connect, id: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        connect().execute("SELECT fq.schedule('a', '{}', now(), id => %s)", [id])


@pytest.mark.parametrize("many", [False, True])
def test_the_id_of_a_scheduled_event_of_another_topic_is_refused_by_publish_too(world: World, many: bool) -> None:
    scheduled = bridge.publish(world.eyes, "invoice.overdue", {}, id="17", deliver_at=LONG_AGO)
    with pytest.raises(bridge.IdTaken, match=r"invoice\.overdue"):
        if many:
            bridge.publish_many(world.eyes, [("b", {}), NewEvent("order.paid", {}, id="17")])
        else:
            bridge.publish(world.eyes, "order.paid", {}, id="17")
    assert scheduled.number is not None
    assert append_due(world.store, most=10).done == 1
    assert stored(world.eyes) == ["invoice.overdue"]


def test_while_one_pump_appends_another_one_leaves_it_alone(world: World, connect: Connect) -> None:
    bridge.publish(world.eyes, "a", {}, deliver_at=LONG_AGO)
    other = connect(autocommit=False)
    other.execute("SELECT FROM fq.turns WHERE name = 'scheduled' FOR UPDATE")
    assert append_due(world.store, most=10).done == 0
    other.rollback()
    assert append_due(world.store, most=10).done == 1


@pytest.mark.parametrize(
    ("delay", "told"),
    [
        ({"deliver_after": -1}, "deliver_after -1 must be a timedelta or seconds, 0 or more"),
        ({"deliver_after": "5"}, "deliver_after '5' must be a timedelta"),
        ({"deliver_after": True}, "must be a timedelta"),
        ({"deliver_after": float("nan")}, "must be a timedelta"),
        ({"deliver_after": 10**5000}, "is too long: at most 36,500 days"),
        ({"deliver_after": float("inf")}, "is too long: at most 36,500 days"),
        ({"deliver_after": 1e300}, "is too long: at most 36,500 days"),
        ({"deliver_at": datetime(2026, 1, 31)}, "must be a datetime with a time zone"),
        ({"deliver_at": "2026-01-31"}, "must be a datetime with a time zone"),
        ({"deliver_at": datetime(1, 1, 1, tzinfo=UTC)}, "is no year that the log can hold"),
        ({"deliver_at": LONG_AGO, "deliver_after": 5}, "deliver_after or deliver_at, and not both"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused(connect: Connect, delay: dict[str, Any], told: str) -> None:
    connection = connect(autocommit=False)
    with pytest.raises(InvalidEvent) as caught:
        bridge.publish(connection, "a", {}, **delay)
    assert told in str(caught.value)
    assert connection.execute("SELECT FROM fq.scheduled").fetchall() == []


def test_the_bounds_of_a_scheduled_event_are_those_of_the_log(connect: Connect) -> None:
    query = """
        SELECT attname, atttypid::regtype::text FROM pg_attribute
         WHERE attrelid = %s::regclass AND attname IN ('topic', 'key', 'payload', 'headers')"""
    log, scheduled = (dict(connect().execute(query, [table]).fetchall()) for table in ("fq.events", "fq.scheduled"))
    assert log == scheduled == {name: f"fq.event_{name}" for name in ("topic", "key", "payload", "headers")}
