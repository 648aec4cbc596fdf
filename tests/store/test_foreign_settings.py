"""What a shop has set for its role or its database is meant for its own sessions, and changes nothing of ours."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from bridge.store import Store, rounds
from bridge.store.horizon import advance_horizon
from bridge.store.migrate import check_schema, migrate
from bridge.store.status import read_status
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World

TRANSACTION_TIMEOUT_SINCE = 170000
LONGEST_WAIT_SECONDS = 20.0

LetSet = Callable[..., None]


@pytest.fixture
def let_set(database: str) -> LetSet:
    """Return what sets something for all sessions of the database that begin from now on."""
    return lambda **settings: set_for(database, **settings)


def set_for(url: str, **settings: str) -> None:
    name = sql.Identifier(urlsplit(url).path.lstrip("/"))
    with psycopg.connect(url, autocommit=True) as connection:
        for setting, value in settings.items():
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(statement.format(name, sql.Identifier(setting), sql.Literal(value)))


@pytest.fixture
def shop(let_set: LetSet, request: pytest.FixtureRequest, database: str, connect: Connect) -> World:
    """Return a log whose database has the settings that the test's parameter says."""
    let_set(**request.param)
    store = Store(database)
    request.addfinalizer(store.close)
    return World(store, connect())


@pytest.mark.parametrize("shop", [{"DateStyle": it} for it in ("German", "SQL, MDY", "Postgres, DMY")], indirect=True)
def test_g10_times_are_read_whatever_style_of_dates_the_shop_likes(shop: World) -> None:
    shop.client()
    shop.publish("a", "b")
    first, second = shop.hand_over()
    shop.succeed(first)
    shop.fail(second)
    assert [row.open for row in read_status(shop.store)] == [1], "it waits for its second attempt"
    with shop.store.transaction() as connection:
        age = "SELECT CAST('2026-02-01' AS timestamptz), CAST('01/02/2026' AS date), interval '1 day'"
        moment, day, interval = connection.execute(text(age)).one()
    assert (moment.month, interval) == (2, timedelta(days=1))
    month_first = shop.eyes.execute("SHOW DateStyle").fetchone() == ("SQL, MDY",)
    assert day.month == (1 if month_first else 2), "in which order the shop writes days and months is left alone"


@pytest.mark.parametrize(
    "shop", [{"default_transaction_isolation": it} for it in ("serializable", "repeatable read")], indirect=True
)
def test_g10_a_wait_sees_what_comes_whatever_isolation_the_shop_likes(shop: World) -> None:
    shop.client()
    shop.hand_over()
    rounds.take_turn(shop.store, holder="pump", seconds=LONGEST_WAIT_SECONDS)

    def wait() -> rounds.Work:
        return rounds.wait_for_work(shop.store, holder="pump", seconds=LONGEST_WAIT_SECONDS, poll_seconds=0.01)

    waits = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%wait_for_work%%' AND state = 'active' AND pid <> %s"
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        wait_until(lambda: shop.ask(waits, shop.eyes.info.backend_pid), what="it waits")
        shop.publish("a")
        assert waiting.result(2 * LONGEST_WAIT_SECONDS).work


def test_g10_a_session_that_rests_is_not_ended_by_the_shop_s_time_out(
    let_set: LetSet, database: str, postgres_url: str, connect: Connect
) -> None:
    let_set(idle_session_timeout="50ms")
    store, eyes = Store(database), connect(postgres_url)
    advance_horizon(store)
    with Session(store.handlers_engine) as session:
        session.execute(text("SELECT 1"))
    with psycopg.connect(database) as clock:  # it is ended when they would have been
        there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: eyes.execute(there, [clock.info.backend_pid]).fetchone() == (0,), what="the time is up")
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'celery-event-bridge%%' AND datname = %s"
    assert eyes.execute(ours, [urlsplit(database).path.lstrip("/")]).fetchone() == (2,)
    store.close()


@pytest.mark.parametrize("shop", [{}], indirect=True)
def test_g10_no_transaction_of_ours_is_ended_by_the_shop_s_time_out_and_handlers_have_it(
    shop: World, database: str
) -> None:
    if shop.eyes.info.server_version < TRANSACTION_TIMEOUT_SINCE:
        pytest.skip("PostgreSQL 17 is the first that has transaction_timeout")
    set_for(database, transaction_timeout="7min")
    store = Store(database)
    with store.transaction() as connection:
        assert connection.execute(text("SHOW transaction_timeout")).scalar_one() == "0"
    with Session(store.handlers_engine) as session:
        assert session.execute(text("SHOW transaction_timeout")).scalar_one() == "7min"
    store.close()


ODD_TEXT = {
    "array_nulls": "off",
    "extra_float_digits": "-12",
    "bytea_output": "escape",
    "IntervalStyle": "iso_8601",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
}


@pytest.mark.parametrize("shop", [{"restrict_nonsystem_relation_kind": "view"}], indirect=True)
def test_g10_the_bridge_reads_its_own_views_where_the_shop_lets_nobody_read_any(shop: World) -> None:
    shop.client()
    shop.publish("a")
    shop.succeed(*shop.hand_over())
    assert shop.cursor() == 1


@pytest.mark.parametrize("shop", [ODD_TEXT], indirect=True)
def test_g10_values_come_and_go_as_they_are_whatever_the_shop_says_of_texts(shop: World) -> None:
    query = "SELECT CAST(:list AS text[]), CAST(1764549941.123456 AS float8), CAST('\\x00ff' AS bytea)"
    with shop.store.transaction() as connection:
        found = connection.execute(text(query), {"list": ["a", None]}).one()
    assert found == (["a", None], 1764549941.123456, b"\0\xff")


def test_g10_a_schema_is_the_same_where_the_shop_reads_backslashes_as_escapes(
    empty_database: str, connect: Connect
) -> None:
    try:
        set_for(empty_database, standard_conforming_strings="off")
    except psycopg.errors.InvalidParameterValue:
        pytest.skip("this server knows standard strings only")
    migrate(empty_database)
    store = Store(empty_database)
    check_schema(store.engine)
    store.close()
    eyes = connect(empty_database)
    matches = "SELECT '.' || topic ~ fq.topics_filter('{order.*}') FROM unnest('{order.paid,order_paid}'::text[]) topic"
    assert eyes.execute(matches).fetchall() == [(True,), (False,)]
