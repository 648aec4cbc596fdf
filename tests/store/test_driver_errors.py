"""G10: an error of a connection that broke is nobody's fault, whatever the driver calls it."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from bridge.errors import StoreRefused, StoreUnavailable
from bridge.store.driver_errors import translated


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
