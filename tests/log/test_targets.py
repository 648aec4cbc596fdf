"""Publishing on what people have: each in its caller's transaction, on the real driver; anything else is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import bridge
from bridge.bounds import PAYLOAD_BYTES
from bridge.store.callers import sqlstate_of
from tests.conftest import Connect
from tests.log.targets import ASYNCHRONOUS, SYNCHRONOUS
from tests.support.stage import REPOSITORY

STORED = """SELECT coalesce(array_agg(CAST(topic AS text) ORDER BY "offset"), '{}') FROM fq.events"""
LARGE = "x" * (PAYLOAD_BYTES * 3 // 4)

DJANGO = """
import sys, threading
driver, url = sys.argv[1:]
if driver == "psycopg2":
    sys.modules["psycopg"] = None  # as where it is not installed: Django then takes psycopg2
import django
from django.conf import settings
from urllib.parse import urlsplit, unquote
it = urlsplit(url)
postgres = {"ENGINE": "django.db.backends.postgresql", "NAME": it.path[1:], "USER": unquote(it.username or ""),
            "PASSWORD": unquote(it.password or ""), "HOST": it.hostname or "", "PORT": it.port or ""}
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
                              "events": postgres, "same": dict(postgres)}, DEBUG=True)
django.setup()
from django.db import connection, connections, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3
assert is_psycopg3 == (driver == "psycopg")
events = connections["events"]
if driver == "psycopg2":
    del sys.modules["psycopg"]
import bridge

with transaction.atomic(using="events"):
    bridge.publish(events, "order.first", {"n": "%s %(x)s"}, key="k")
    try:
        with transaction.atomic(using="events"):
            bridge.publish(events, "order.undone", {})
            raise KeyError
    except KeyError:
        pass
    with events.cursor() as cursor:
        bridge.publish(cursor, "order.second", {})
    assert bridge.publish_many(events, [("order.third", 1), ("order.fourth", 2)]) == [4, 5]
try:
    with transaction.atomic(using="events"):
        bridge.publish(events, "order.undone", {})
        raise KeyError
except KeyError:
    pass
bridge.publish(connections["same"], "order.fifth", {})  # in autocommit mode
try:
    bridge.publish(connection, "a", {})
except TypeError as error:
    assert "Django's connection 'default', which is of sqlite" in str(error), error
else:
    raise AssertionError("sqlite was taken")
with events.cursor() as cursor:
    cursor.execute('SELECT topic, payload, key FROM fq.events ORDER BY "offset"')
    rows = cursor.fetchall()
assert [row[0] for row in rows] == ["order.first", "order.second", "order.third", "order.fourth", "order.fifth"], rows
assert "%s %(x)s" in str(rows[0][1]), rows
for alias in ("events", "same"):
    connections[alias].close()
print("done", "asyncpg" in sys.modules, "psycopg2" in sys.modules)
"""


def stored(connection: psycopg.Connection[Any]) -> list[str]:
    [(topics,)] = connection.execute(STORED).fetchall()
    return list(topics)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner() as runner:
        runner.run(main())


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_an_event_is_published_in_the_transaction_of_its_caller(database: str, connect: Connect, kind: str) -> None:
    others = connect()
    with SYNCHRONOUS[kind](database) as target:
        bridge.publish(target.it, "a.undone", {})
        target.rollback()
        offset = bridge.publish(target.it, "a.kept", {"text": "é % :x %(y)s \\"}, key="k", headers={"h": 1})
        go_back = target.savepoint()
        bridge.publish(target.it, "a.undone", {})
        go_back()
        offsets = bridge.publish_many(target.it, [("a.third", 1), bridge.NewEvent("a.fourth", 2, "k")])
        assert stored(others) == []
        target.commit()
    assert stored(others) == ["a.kept", "a.third", "a.fourth"]
    query = """SELECT "offset", payload, key, headers FROM fq.events ORDER BY "offset" LIMIT 1"""
    assert others.execute(query).fetchone() == (offset, {"text": "é % :x %(y)s \\"}, "k", {"h": 1})
    assert offsets == [offset + 2, offset + 3]


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_without_the_schema_the_error_is_the_drivers_own_and_its_note_says_migrate(
    empty_database: str, kind: str
) -> None:
    with SYNCHRONOUS[kind](empty_database) as target:
        with pytest.raises(Exception, match="fq") as refused:
            bridge.publish(target.it, "a.lost", {})
        target.rollback()
    assert not type(refused.value).__module__.startswith("bridge")
    assert any("run `eventbridge migrate`" in note for note in refused.value.__notes__)


def test_a_role_that_may_not_publish_is_told_which_role_may(database: str, connect: Connect) -> None:
    eyes = connect(autocommit=False)
    eyes.execute("CREATE ROLE nobody_at_all")
    eyes.execute("SET LOCAL ROLE nobody_at_all")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        bridge.publish(eyes, "a.lost", {})
    assert any("fq_publisher" in note for note in refused.value.__notes__)
    eyes.rollback()


@pytest.mark.parametrize("kind", ASYNCHRONOUS)
def test_an_event_is_published_in_the_transaction_of_its_asynchronous_caller(
    database: str, connect: Connect, kind: str
) -> None:
    others = connect()

    async def main() -> None:
        async with ASYNCHRONOUS[kind](database) as target:
            await bridge.apublish(target.it, "a.undone", {})
            await target.rollback()
            await bridge.apublish(target.it, "a.kept", {"text": "é % :x %(y)s \\"}, key="k", headers={"h": 1})
            go_back = await target.savepoint()
            await bridge.apublish(target.it, "a.undone", {})
            await go_back()
            await bridge.apublish_many(target.it, [("a.third", 1), bridge.NewEvent("a.fourth", 2, "k")])
            assert stored(others) == []
            await target.commit()

    run(main)
    assert stored(others) == ["a.kept", "a.third", "a.fourth"]
    query = """SELECT payload, key, headers FROM fq.events ORDER BY "offset" LIMIT 1"""
    assert others.execute(query).fetchone() == ({"text": "é % :x %(y)s \\"}, "k", {"h": 1})


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_event_is_published_inside_of_djangos_atomic(database: str, driver: str) -> None:
    command = [sys.executable, "-c", DJANGO, driver, database]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    # No driver was imported that the shop does not use.
    assert done.stdout == f"done False {driver == 'psycopg2'}\n"


def test_on_a_connection_that_commits_by_itself_one_event_is_committed_at_once(database: str, connect: Connect) -> None:
    others = connect()
    bridge.publish(connect(autocommit=True), "a.first", {})
    older = psycopg2.connect(database)
    older.autocommit = True
    bridge.publish(older, "a.second", {})
    older.close()
    assert stored(others) == ["a.first", "a.second"]


@pytest.mark.parametrize("kind", ["psycopg", "psycopg2", "SQLAlchemy"])
def test_many_events_that_could_be_committed_in_part_are_refused(database: str, connect: Connect, kind: str) -> None:
    events = [("a", LARGE), ("b", LARGE)]  # two statements
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    if kind == "SQLAlchemy":
        target: Any = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    else:
        target = psycopg.connect(database) if kind == "psycopg" else psycopg2.connect(database)
        target.autocommit = True
    with pytest.raises(bridge.UsageError, match="need 2 statements, and this connection commits each by itself"):
        bridge.publish_many(target, events)
    assert stored(connect()) == []
    target.close()
    engine.dispose()


def test_many_events_of_several_statements_are_published_in_a_transaction(database: str, connect: Connect) -> None:
    connection = connect(autocommit=True)
    with connection.transaction():
        assert bridge.publish_many(connection, [("a", LARGE), ("b", LARGE)]) == [1, 2]
    assert stored(connect()) == ["a", "b"]


def test_in_pipeline_mode_an_event_is_published_like_in_any_other(database: str, connect: Connect) -> None:
    with psycopg.connect(database) as connection, connection.pipeline():
        assert bridge.publish(connection, "a", 1) == 1
        assert bridge.publish(connection, "a", 1, id="x") == 2
        assert bridge.publish_many(connection, [("a", 1), ("a", 2)]) == [3, 4]
        assert bridge.publish(connection, "a", 1, deliver_after=60).number == 1

    async def main() -> int:
        async with await psycopg.AsyncConnection.connect(database) as connection, connection.pipeline():
            return await bridge.apublish(connection, "a", 1)

    assert asyncio.run(main()) == 5
    assert connect().execute("SELECT count(*) FROM fq.events").fetchone() == (5,)


def test_an_asynchronous_connection_is_sent_to_apublish_and_another_one_to_publish(database: str) -> None:
    with SYNCHRONOUS["psycopg2 connection"](database) as target:
        with pytest.raises(TypeError, match=r"psycopg2.* is not asynchronous: use `bridge.publish"):
            asyncio.run(bridge.apublish(target.it, "a", {}))
        with pytest.raises(TypeError, match=r"is not asynchronous: use `bridge.publish"):
            asyncio.run(bridge.apublish_many(target.it, []))

    async def main() -> None:
        for kind in ("asyncpg, of a pool", "psycopg", "SQLAlchemy session on asyncpg"):
            async with ASYNCHRONOUS[kind](database) as target:
                with pytest.raises(TypeError, match=r"is asynchronous: use `await bridge.apublish"):
                    bridge.publish(target.it, "a", {})

    run(main)


@pytest.mark.parametrize("thing", ["text", None, 5, object(), psycopg, "engine", "async engine", "pool"])
def test_anything_else_is_a_type_error_that_names_what_is_taken(database: str, thing: Any) -> None:
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engines: dict[str, Any] = {"engine": create_engine, "async engine": create_async_engine}
    target = engines[thing](url) if isinstance(thing, str) and thing in engines else thing
    with pytest.raises(TypeError, match="pass a connection or cursor of psycopg or psycopg2") as caught:
        bridge.publish(target, "a", {})
    assert isinstance(caught.value, bridge.InvalidTarget)
    assert ("which has no transaction of yours" in str(caught.value)) is (target is not thing)
    with pytest.raises(TypeError, match="pass a connection or cursor of psycopg or psycopg2"):
        asyncio.run(bridge.apublish(target, "a", {}))


def test_a_taken_id_is_told_whatever_driver_sqlalchemy_has() -> None:
    class OfPg8000(Exception):
        """Its drivers' errors have the fields of Postgres' answer in a dict."""

    try:
        raise RuntimeError("SQLAlchemy's own") from OfPg8000({"S": "ERROR", "C": "FQ002", "M": "id …"})
    except RuntimeError as error:
        assert sqlstate_of(error) == "FQ002"
    assert sqlstate_of(ValueError({"C": None})) == sqlstate_of(ValueError()) == ""
