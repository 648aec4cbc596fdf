"""Publishing through a PgBouncer in transaction pooling, in odd sessions, and on connections set up oddly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg import ClientCursor
from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
from psycopg2.extras import NamedTupleCursor, RealDictCursor
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import bridge
from tests.conftest import Connect
from tests.store.test_pooler import at
from tests.support.pgbouncer import pgbouncer

Url = str
HOSTILE = "SET LOCAL search_path = hostile, pg_temp"
ODD_SESSIONS = [
    "SET LOCAL client_encoding = LATIN1",
    "SET LOCAL client_encoding = SQL_ASCII",
    "SET LOCAL default_transaction_isolation = serializable",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET LOCAL DateStyle = 'German, DMY'",
    "SET LOCAL TimeZone = 'Asia/Kathmandu'",
    "SET LOCAL IntervalStyle = iso_8601",
    "SET LOCAL extra_float_digits = -15",
    "SET LOCAL standard_conforming_strings = off",
    "SET LOCAL backslash_quote = on",
    "SET LOCAL plan_cache_mode = force_generic_plan",
    "SET LOCAL enable_indexscan = off",
    "SET LOCAL jit_above_cost = 0",
    "SET LOCAL bytea_output = escape",
    "SET LOCAL row_security = off",
    "SET LOCAL transform_null_equals = on",
    "SET LOCAL lc_messages = 'C'",
    "SET LOCAL search_path = ''",
    HOSTILE,
]


@pytest.fixture(scope="module")
def _port(postgres_url: str) -> Iterator[int]:
    with pgbouncer(postgres_url, mode="transaction", size=2) as port:
        yield port


@pytest.fixture
def pooled(database: str, _port: int) -> Url:
    """The database through a pooler that gives each transaction another session."""
    return at(database, _port)


def dialect(url: Url, driver: str) -> Url:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


@contextmanager
def of_psycopg(url: Url, *, cursor: str = "", **options: Any) -> Iterator[tuple[Any, Any]]:
    with (
        psycopg.connect(url, prepare_threshold=None, **options) as connection,
        connection.cursor(cursor) if cursor else nullcontext(connection) as it,
    ):
        yield it, connection


@contextmanager
def of_psycopg2(url: Url, *, cursor: str = "", **options: Any) -> Iterator[tuple[Any, Any]]:
    connection = psycopg2.connect(url, **options)
    try:
        yield connection.cursor(cursor) if cursor else connection, connection
    finally:
        connection.close()


@contextmanager
def of_sqlalchemy(url: Url, driver: str, *, session: bool = False, **options: Any) -> Iterator[tuple[Any, Any]]:
    connect_args = {"prepare_threshold": None} if driver == "psycopg" else {}
    engine = create_engine(dialect(url, driver), connect_args=connect_args, execution_options=options)
    with Session(engine) if session else engine.connect() as it:
        yield it, it
    engine.dispose()


SYNCHRONOUS: dict[str, Callable[[Url], Any]] = {
    "psycopg": of_psycopg,
    "psycopg, dict_row": lambda url: of_psycopg(url, row_factory=dict_row),
    "psycopg, namedtuple_row": lambda url: of_psycopg(url, row_factory=namedtuple_row),
    "psycopg, scalar_row": lambda url: of_psycopg(url, row_factory=scalar_row),
    "psycopg, class_row": lambda url: of_psycopg(url, row_factory=class_row(dict)),
    "psycopg, client cursors": lambda url: of_psycopg(url, cursor_factory=ClientCursor),
    "psycopg, raw cursors": lambda url: of_psycopg(url, cursor_factory=psycopg.RawCursor),
    "psycopg, server cursor": lambda url: of_psycopg(url, cursor="mine"),
    "psycopg2": of_psycopg2,
    "psycopg2, dicts": lambda url: of_psycopg2(url, cursor_factory=RealDictCursor),
    "psycopg2, named tuples": lambda url: of_psycopg2(url, cursor_factory=NamedTupleCursor),
    "psycopg2, server cursor": lambda url: of_psycopg2(url, cursor="mine"),
    "SQLAlchemy": lambda url: of_sqlalchemy(url, "psycopg"),
    "SQLAlchemy, psycopg2": lambda url: of_sqlalchemy(url, "psycopg2"),
    "SQLAlchemy, session": lambda url: of_sqlalchemy(url, "psycopg", session=True),
    "SQLAlchemy, streamed": lambda url: of_sqlalchemy(url, "psycopg", stream_results=True),
    "SQLAlchemy, psycopg2, streamed": lambda url: of_sqlalchemy(url, "psycopg2", stream_results=True),
    "SQLAlchemy, session, streamed": lambda url: of_sqlalchemy(url, "psycopg", session=True, yield_per=10),
    "SQLAlchemy, schemas translated": lambda url: of_sqlalchemy(url, "psycopg", schema_translate_map={"fq": "x"}),
    "SQLAlchemy, serializable": lambda url: of_sqlalchemy(url, "psycopg", isolation_level="SERIALIZABLE"),
    "SQLAlchemy, insertmanyvalues": lambda url: of_sqlalchemy(url, "psycopg", insertmanyvalues_page_size=1),
}


def everything(target: Any, names: str) -> list[int]:
    """Publish in every way there is; return the offsets."""
    due = datetime.now(UTC) + timedelta(days=1)
    found = [bridge.publish(target, "a", {"é": "%s :x $1 \\ '"}, key="k%s:x", headers={"h": ["%"]})]
    found.append(bridge.publish(target, "a", 1, id=f"{names}-1"))
    assert bridge.publish(target, "a", 2, id=f"{names}-1") == found[-1]
    later = bridge.publish(target, "a", 1, deliver_after=60, id=f"{names}-2")
    assert bridge.publish(target, "a", 1, deliver_at=due, id=f"{names}-2") == later
    at = bridge.publish(target, "a", 1, deliver_at=due, key="k")
    assert at.due_at == due
    found += bridge.publish_many(target, [("a", None), ("a", [1], "k"), bridge.NewEvent("a", 1, None, {"x": 1})])
    found += bridge.publish_many(target, [bridge.NewEvent("a", n, None, None, f"{names}-{n}") for n in (3, 4, 5)])
    event = {"specversion": "1.0", "type": "c", "source": f"/{quote(names)}", "id": "1", "data": {"x": "é"}}
    found.append(bridge.publish_cloudevent(target, event))
    assert bridge.publish_cloudevent(target, event) == found[-1]
    assert bridge.publish_many(target, []) == []
    return found


def stored(connect: Connect) -> list[int]:
    return [offset for (offset,) in connect().execute('SELECT "offset" FROM fq.events ORDER BY 1').fetchall()]


@pytest.mark.parametrize("kind", SYNCHRONOUS)
def test_every_way_to_publish_works_through_a_pooler_in_whatever_session(
    pooled: Url, connect: Connect, kind: str
) -> None:
    with SYNCHRONOUS[kind](pooled) as (target, ends):
        undone = everything(target, "undone")
        ends.rollback()
        kept = everything(target, "kept")
        assert len(undone) == len(kept) == 9
        assert stored(connect) == []
        ends.commit()
    assert stored(connect) == kept


@pytest.mark.parametrize("kind", ["psycopg", "psycopg2", "SQLAlchemy"])
def test_an_odd_session_makes_no_difference(pooled: Url, connect: Connect, kind: str) -> None:
    hostile(connect())
    kept: list[int] = []
    with SYNCHRONOUS[kind](pooled) as (target, ends):
        for odd in ODD_SESSIONS:
            run: Any = ends.exec_driver_sql if kind == "SQLAlchemy" else ends.cursor().execute
            run(odd)
            kept += everything(target, odd)
            ends.commit()
    assert stored(connect) == kept


def hostile(connection: psycopg.Connection[Any]) -> None:
    """Put functions and operators in the way that a careless statement would find first."""
    connection.execute("""
        CREATE SCHEMA hostile;
        CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
        CREATE FUNCTION hostile.coalesced(a text, b text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
        CREATE FUNCTION hostile.jsonb_array_elements(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
        CREATE FUNCTION hostile.take(jsonb, integer) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
        CREATE OPERATOR hostile.->> (LEFTARG = jsonb, RIGHTARG = integer, FUNCTION = hostile.take);
        CREATE TABLE hostile.events (topic text);
    """)


@pytest.mark.parametrize("kind", ["psycopg", "psycopg2", "SQLAlchemy", "SQLAlchemy, psycopg2"])
def test_a_key_is_stored_as_it_is_whatever_the_session_s_encoding(database: Url, connect: Connect, kind: str) -> None:
    for encoding in ("LATIN1", "SQL_ASCII", "EUC_JP"):
        with SYNCHRONOUS[kind](database) as (target, ends):
            raw = ends.connection.dbapi_connection if kind.startswith("SQLAlchemy") else ends
            if kind.endswith("psycopg2"):
                raw.set_client_encoding(encoding)
            else:
                raw.execute(f"SET client_encoding = {encoding}")
            bridge.publish(target, "é.日本", {"é": "日本"}, key="€ 日本 é")
            name = f"€ 日本 é {encoding}"
            first = bridge.publish(target, "é.日本", {}, key="€ 日本 é", id=name)
            assert bridge.publish(target, "é.日本", {}, key="€ 日本 é", id=name) == first
            bridge.publish(target, "é.日本", {}, key="€ 日本 é", id=f"{name}, later", deliver_after=60)
            bridge.publish_many(target, [("é.日本", "€", "日本")])
            ends.commit()
    rows = connect().execute('SELECT topic, key, payload FROM fq.events ORDER BY "offset"').fetchall()
    events = [("é.日本", "€ 日本 é", {"é": "日本"}), ("é.日本", "€ 日本 é", {}), ("é.日本", "日本", "€")]
    assert rows == events * 3


ASYNCHRONOUS = ["asyncpg", "psycopg", "SQLAlchemy on asyncpg", "SQLAlchemy on psycopg, streamed", "session, streamed"]


@pytest.mark.parametrize("kind", ASYNCHRONOUS)
def test_every_asynchronous_way_to_publish_works_through_a_pooler(pooled: Url, connect: Connect, kind: str) -> None:
    kept: list[int] = []

    async def everything(target: Any) -> None:
        due = datetime.now(UTC) + timedelta(days=1)
        kept.append(await bridge.apublish(target, "a", {"é": "%s :x $1"}, key="k", headers={"h": 1}))
        kept.append(await bridge.apublish(target, "a", 1, id="1"))
        assert await bridge.apublish(target, "a", 1, id="1") == kept[-1]
        later = await bridge.apublish(target, "a", 1, deliver_at=due)
        assert later.due_at == due and (await bridge.apublish(target, "a", 1, deliver_after=1.5)).number
        kept.extend(await bridge.apublish_many(target, [("a", None), bridge.NewEvent("a", 1, None, None, "2")]))
        event = {"specversion": "1.0", "type": "c", "source": "/x", "id": "1"}
        kept.append(await bridge.apublish_cloudevent(target, event))

    async def main() -> None:
        if kind == "asyncpg":
            pool = await asyncpg.create_pool(pooled, statement_cache_size=0, min_size=1, max_size=2)
            async with pool, pool.acquire() as connection, connection.transaction():
                await everything(connection)
        elif kind == "psycopg":
            async with await psycopg.AsyncConnection.connect(pooled, prepare_threshold=None) as connection:
                await everything(connection)
        else:
            driver = "asyncpg" if kind.endswith("asyncpg") else "psycopg"
            args: dict[str, Any] = {"statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
            options = {"stream_results": True} if "streamed" in kind else {}
            engine = create_async_engine(
                dialect(pooled, driver),
                connect_args=args if driver == "asyncpg" else {"prepare_threshold": None},
                execution_options=options,
            )
            if kind.startswith("session"):
                async with AsyncSession(engine) as session, session.begin():
                    await everything(session)
            else:
                async with engine.begin() as connection:
                    await everything(connection)
            await engine.dispose()

    asyncio.run(main())
    assert stored(connect) == kept


def test_two_phases_keep_the_event_until_the_second(database: str, connect: Connect) -> None:
    others = connect()
    if others.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("this server takes no prepared transactions")
    for connection in (psycopg.connect(database), psycopg2.connect(database)):
        it: Any = connection
        it.tpc_begin(it.xid(1, f"{type(it).__module__}", "b"))
        bridge.publish(it, "a", 1)
        it.tpc_prepare()
        before = stored(connect)
        it.tpc_commit()
        assert len(stored(connect)) == len(before) + 1
        it.close()


@pytest.mark.parametrize("kind", ["psycopg", "psycopg2", "SQLAlchemy"])
def test_what_the_session_can_t_do_is_the_driver_s_own_error_and_stores_nothing(
    pooled: Url, connect: Connect, kind: str
) -> None:
    for spoil, code in (("SET TRANSACTION READ ONLY", "25006"), ("SELECT 1/0", "25P02")):
        with SYNCHRONOUS[kind](pooled) as (target, ends):
            run: Any = ends.exec_driver_sql if kind == "SQLAlchemy" else ends.cursor().execute
            try:
                run(spoil)
            except Exception as error:
                assert "zero" in str(error)
            with pytest.raises(Exception) as caught:
                bridge.publish(target, "a", 1)
            assert not isinstance(caught.value, bridge.BridgeError)
            why: Any = getattr(caught.value, "orig", caught.value)
            assert (getattr(why, "sqlstate", None) or why.pgcode) == code
            ends.rollback()
            assert bridge.publish(target, "a", 1) > 0
            ends.rollback()
    with SYNCHRONOUS[kind](pooled) as (target, ends):
        ends.close()
        if kind != "SQLAlchemy":
            with pytest.raises(Exception, match="closed"):
                bridge.publish(target, "a", 1)
    assert stored(connect) == []
