"""Behind a real PgBouncer: with two server sessions for everybody, all that the bridge does works and nothing leaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import bridge
from bridge.errors import StoreReadOnly, StoreUnavailable
from bridge.model import Position
from bridge.operate.explain import explain
from bridge.operate.seek import seek
from bridge.store import Store, rounds
from bridge.store.facts import collect_facts
from bridge.store.horizon import advance_horizon
from bridge.store.migrate import check_schema, migrate
from bridge.store.status import read_status
from tests.conftest import WORKERS, Connect
from tests.support.failover import read_only
from tests.support.fleets import let_go_on, offsets
from tests.support.link import Link
from tests.support.pgbouncer import PoolMode, pgbouncer
from tests.support.stage import Stage
from tests.support.waiting import wait_until
from tests.support.world import World

SESSIONS: dict[PoolMode, int] = {"transaction": 2, "session": 20}  # in session mode every idle connection keeps one

SHOW = """SELECT pg_backend_pid(), current_setting('statement_timeout'), current_setting('lock_timeout'),
                 (SELECT count(*) FROM pg_prepared_statements)"""

Pooled = Callable[[str], str]


def at(url: str, port: int) -> str:
    """The same database by another door."""
    parts = urlsplit(url)
    login, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))


@pytest.fixture(scope="module")
def _in_transaction_mode(postgres_url: str) -> Iterator[int]:
    with pgbouncer(postgres_url, mode="transaction", size=SESSIONS["transaction"]) as port:
        yield port


@pytest.fixture(scope="module")
def _in_session_mode(postgres_url: str) -> Iterator[int]:
    with pgbouncer(postgres_url, mode="session", size=SESSIONS["session"]) as port:
        yield port


@pytest.fixture
def pooled(_in_transaction_mode: int) -> Pooled:
    """From a database's URL to its URL through a PgBouncer in transaction mode."""
    return lambda url: at(url, _in_transaction_mode)


@pytest.fixture(params=["transaction", "session"])
def either(request: pytest.FixtureRequest) -> Pooled:
    """The same in both modes."""
    port: int = request.getfixturevalue(f"_in_{request.param}_mode")
    return lambda url: at(url, port)


@pytest.fixture
def open_store() -> Iterator[Callable[[str], Store]]:
    """A factory of stores, closed after the test."""
    with ExitStack() as stack:

        def open_store(url: str) -> Store:
            store = Store(url, statement_timeout_seconds=7)
            stack.callback(store.close)
            return store

        yield open_store


# What the bridge takes a connection for ------------------------------------------------------------------------------


def test_behind_a_pooler_limits_end_with_their_transaction_and_nothing_is_prepared(
    database: str, pooled: Pooled, open_store: Callable[[str], Store], connect: Connect
) -> None:
    store, stranger = open_store(pooled(database)), connect(pooled(database), prepare_threshold=None)
    seen = set()
    for _ in range(4):
        with store.transaction() as connection:
            inside = connection.execute(text(SHOW)).one()
            other = stranger.execute(SHOW).fetchone()  # needs, and so opens, the pool's other session
            assert other is not None
            assert inside[1:] == ("7s", "7s", 0)
            assert other[1:] == ("0", "0", 0)
            assert inside[0] != other[0]
            seen.add(inside[0])
        for _ in range(2):  # an even number, so that turns change
            left = stranger.execute(SHOW).fetchone()
            assert left is not None
            assert left[1:] == ("0", "0", 0), "a session that was the bridge's is as it was"
    assert len(seen) == 2, "the store's transactions ran in both sessions"


@pytest.mark.parametrize("way", ["straight", "through a TCP proxy"])
def test_a_direct_connection_keeps_its_limits_and_prepares_statements(
    database: str, open_store: Callable[[str], Store], way: str
) -> None:
    link = Link(urlsplit(database).port or 5432)
    try:
        store = open_store(database if way == "straight" else at(database, link.port))
        for _ in range(4):
            advance_horizon(store)
        with store.reading() as connection:
            _, statements, locks, prepared = connection.execute(text(SHOW)).one()
        assert (statements, locks) == ("7s", "7s")
        assert prepared > 0
        store.close()
    finally:
        link.close()


# What works ----------------------------------------------------------------------------------------------------------


def test_every_step_of_an_event_s_life_works(
    empty_database: str, either: Pooled, open_store: Callable[[str], Store], connect: Connect
) -> None:
    url = either(empty_database)
    store = open_store(url)
    assert migrate(store.engine)
    check_schema(store.engine)
    assert migrate(store.engine) == []
    world = World(store, connect(empty_database))
    world.client(backoff_seconds=0.01)
    with connect(url, autocommit=False, prepare_threshold=None) as connection:
        for _ in range(8):
            bridge.publish(connection, "order.paid", {"by": "psycopg"}, key="k")
            connection.commit()
    with Session(store.engine) as session, session.begin():
        bridge.publish_many(session, [("order.paid", {"by": "SQLAlchemy"}), ("order.paid", {})])
    world.eyes.execute("CREATE TABLE effects (n bigint)")
    first, *others = world.hand_over()
    assert len(others) == 2, "one of the key, and those without one"
    event = json.loads(first.body)
    with Session(store.engine) as session, bridge.transaction(event, session):
        session.execute(text("INSERT INTO public.effects VALUES (1)"))
    with connect(url) as connection, pytest.raises(bridge.AlreadyDone), bridge.transaction(event, connection):
        pytest.fail("a done event is refused before the body")
    assert world.fail(others[0]).retried == 1
    assert world.succeed(first, *others[1:]).succeeded == 2
    assert world.cursor() == 1
    world.make_due()
    while deliveries := world.hand_over():
        world.succeed(*deliveries)
    assert world.cursor() == 10
    sought = seek(store, "c", to=Position.parse("beginning"), by="me")
    assert (sought.offset, sought.again) == (-1, 10)
    assert len(world.hand_over()) == 3
    assert len(read_status(store)) == 1
    assert explain(collect_facts(store, "c"), None, bridge_queue="bridge", lingers=False)


def test_g10_single_statements_behind_a_pooler_have_limits_too(
    database: str, pooled: Pooled, open_store: Callable[[str], Store]
) -> None:
    store = open_store(pooled(database))
    waits = {store.reading: "7s", store.writing: "7s", store.transaction: "7s"}
    waits[lambda: store.looking(lock_seconds=7)] = "6300ms"  # so that a look is told that it was a lock
    for open_one, wait in waits.items():
        with open_one() as connection:
            shown = connection.execute(text(SHOW)).one()
            idle = connection.execute(text("SELECT current_setting('idle_in_transaction_session_timeout')"))
            assert (*shown[1:], idle.scalar_one()) == ("7s", wait, 0, "20s")


def test_g10_a_session_of_a_pooler_that_takes_no_writes_is_refused_and_read(
    database: str, pooled: Pooled, open_store: Callable[[str], Store], connect: Connect
) -> None:
    world = World(open_store(pooled(database)), connect())
    world.client()
    with read_only(world):
        wait_until(lambda: refused_as_read_only(world.store), timeout=60, what="sessions that were ended are gone")
        assert [row.client for row in read_status(world.store)] == ["c"]


def test_what_a_pooler_says_itself_is_said_as_its_own(
    database: str, postgres_url: str, open_store: Callable[[str], Store], connect: Connect
) -> None:
    with pgbouncer(postgres_url, mode="session", size=1, more={"query_wait_timeout": 1}) as port:
        connect(at(database, port), prepare_threshold=None).execute("SELECT")  # it keeps the only session
        with pytest.raises(StoreUnavailable, match=r"the pooler says query_wait_timeout: .*eventbridge about pooler"):
            advance_horizon(open_store(at(database, port)))


def refused_as_read_only(store: Store) -> bool:
    try:
        advance_horizon(store)
    except StoreReadOnly:
        return True
    except StoreUnavailable:
        return False
    return False


def test_many_connections_share_the_two_sessions_and_no_event_is_lost(
    database: str, pooled: Pooled, open_store: Callable[[str], Store], connect: Connect
) -> None:
    world = World(open_store(pooled(database)), connect())
    world.client(window=1000)

    def write(writer: int) -> None:
        with psycopg.connect(pooled(database), prepare_threshold=None) as connection:
            for n in range(20):
                bridge.publish(connection, "order.paid", {"n": n}, key=f"{writer}")
                connection.commit()

    with ThreadPoolExecutor(6) as threads:
        writers = [threads.submit(write, writer) for writer in range(6)]

        def is_done() -> bool:
            list(threads.map(world.succeed, world.hand_over()))
            return world.cursor() == 120

        wait_until(is_done, what="120 events are settled, each on a connection of its own")
    for writer in writers:
        writer.result()
    assert sorted(delivery.offset for delivery in world.sent) == list(range(1, 121))


def test_a_pump_that_waits_inside_postgres_leaves_the_other_session_to_the_collector(
    database: str, pooled: Pooled, open_store: Callable[[str], Store], connect: Connect
) -> None:
    pump, world = open_store(pooled(database)), World(open_store(pooled(database)), connect())
    world.client()
    world.publish("a", "b", "c")
    deliveries = world.hand_over()
    rounds.take_turn(pump, holder="pump", seconds=60)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(rounds.wait_for_work, pump, holder="pump", seconds=30, poll_seconds=0.005)
        wait_until(
            lambda: world.eyes.execute(
                "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%wait_for_work%' "
                "AND pid <> pg_backend_pid()"
            ).fetchone(),
            what="the pump waits inside Postgres",
            timeout=10,
        )
        for delivery in deliveries:
            assert world.succeed(delivery).succeeded == 1
        assert world.cursor() == 3
        assert not waiting.done(), "it was settled while the pump waited"
        world.publish("d")
        assert waiting.result(10)[:3] == (True, True, False), "it sees the new event at once"


@pytest.mark.parametrize("mode", ["transaction", pytest.param("session", marks=pytest.mark.slow)])
def test_the_whole_loop_runs(
    request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path, mode: PoolMode
) -> None:
    url = at(database, request.getfixturevalue(f"_in_{mode}_mode"))
    stage = Stage(database, redis_url, tmp_path)
    request.node.stash[WORKERS] = stage.workers
    try:
        stage.bridge(wait=False, BRIDGE_DATABASE_URL=url)
        stage.fleet()
        stage.client("loop")
        published = stage.publish_many("loop.event", 200)
        with psycopg.connect(url, prepare_threshold=None) as connection:
            published.append(bridge.publish(connection, "loop.event", {"do": "fail once"}, key="k"))
        let_go_on(redis_url, published[-1])
        stage.wait_until_done("loop")
        published.append(stage.publish("loop.late"))  # found by a pump that lingers
        stage.wait_until_done("loop")
        handled = offsets(stage.handled())
        assert sorted(set(handled)) == published
        assert len(handled) == len(published) + 1, "nothing twice but the event that failed once"
        assert not [line for line in stage.workers[0].log.splitlines() if "ERROR" in line or "WARNING" in line]
        mine = stage.ask(
            "SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
        assert 1 <= mine <= (2 if mode == "transaction" else 20)
    finally:
        stage.close()
