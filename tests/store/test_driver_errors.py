"""G10: an error of a connection that broke is nobody's fault, whatever the driver calls it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from bridge.errors import StoreRefused, StoreUnavailable
from bridge.store.driver_errors import translated
from bridge.store.held import hold_client
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.parametrize(
    "cause",
    [
        # PgBouncer, whose server was stopped, answered a COMMIT with an error and then with the end of the connection.
        psycopg.InternalError("received 2 results from command 'COMMIT'"),
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is lost"),
    ],
)
def test_g10_a_connection_that_broke_is_trouble_that_passes(cause: psycopg.Error) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise DBAPIError("COMMIT", None, cause)


@pytest.mark.parametrize("cause", [psycopg.DataError("text fields cannot contain NUL"), psycopg.ProgrammingError("?")])
def test_g10_a_value_that_the_driver_refuses_is_its_statement_s_fault(cause: psycopg.Error) -> None:
    with pytest.raises(StoreRefused), translated():
        raise DBAPIError("INSERT", None, cause)


def test_g10_of_two_who_wait_for_each_other_the_one_that_is_ended_is_not_told_that_postgres_is_away(
    world: World, connect: Connect
) -> None:
    world.client("a")
    world.client("b")
    stranger = connect(autocommit=False)
    stranger.execute("SET deadlock_timeout = '60s'")  # so that it is the other one that sees it, and is ended
    stranger.execute("SELECT FROM fq.clients WHERE id = 'a' FOR UPDATE")
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(StoreUnavailable) as told, world.store.transaction() as connection:
            hold_client(connection, "b")
            waits = pool.submit(stranger.execute, "SELECT FROM fq.clients WHERE id = 'b' FOR UPDATE")
            wait_until(lambda: world.eyes.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is not None)
            hold_client(connection, "a")
        waits.result()
    said = "Postgres has rolled this back (deadlock detected): nothing of it is done, try it again"
    assert str(told.value) == said
