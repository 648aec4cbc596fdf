"""Find out what stands between this process and Postgres: nothing, or a pooler, and of what kind.

A pooler shows another process id than the server's own. In transaction mode it gives the server process that served one
connection to another one, as soon as the transaction is over.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bridge.settings.address import read_address
from bridge.sql import for_psycopg, statement
from bridge.store.connect import Store
from bridge.store.driver_errors import translated
from bridge.store.sessions import DIRECT

SECOND_SESSION_SECONDS = 3.0  # a pool that gives no second session within this time has none to give
LEAST_CONNECT_SECONDS = 2  # libpq takes no fewer
REFUSED = "08P01"  # of PgBouncer, for all that it does not take: a transaction in statement mode, for one
TRIES = 3  # a pool that hands out its server sessions in turn may give the same one again

Mode = Literal["none", "transaction", "session", "statement"]


@dataclass(frozen=True, slots=True)
class PoolerSeen:
    """What stands between.

    Attributes:
        mode: How long a connection keeps its server session; `none` without a pooler.
        alone: Whether the pool has no second session to give at this moment.
    """

    mode: Mode
    alone: bool = False


def look_at_pooler(store: Store, url: str) -> PoolerSeen:
    """Look what stands between; for that it opens a second connection behind a pooler.

    Args:
        store: The event log.
        url: Its address.

    Raises:
        StoreUnavailable: Postgres, or the pooler, does not answer.
    """
    with translated():
        try:
            with store.engine.connect() as first:
                return PoolerSeen("none") if DIRECT in first.info else _look_twice(store, first)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == REFUSED and _takes_statements(url):
                return PoolerSeen("statement")
            raise


def _takes_statements(url: str) -> bool:
    """Tell whether single statements go through where transactions do not."""
    address = read_address(url)
    parts: dict[str, Any] = {**address.plain, **address.options, "connect_timeout": LEAST_CONNECT_SECONDS}
    try:
        with psycopg.connect(make_conninfo("", **parts), autocommit=True) as connection:
            return connection.execute(for_psycopg("checkup/backend")).fetchone() is not None
    except psycopg.Error:
        return False


def _look_twice(store: Store, first: Connection) -> PoolerSeen:
    """Let a second connection keep a transaction open, and see with what the first one goes on."""
    for _ in range(TRIES):
        with first.begin():
            before = _process(first)
        with store.engine.connect() as second, second.begin():
            theirs = _process(second)
            found: list[int] = []
            asking = threading.Thread(target=_ask, args=(first, found), daemon=True)
            asking.start()
            asking.join(SECOND_SESSION_SECONDS)
            alone = asking.is_alive()
        asking.join()  # the second transaction is over
        if alone:
            return PoolerSeen("transaction", alone=True)
        if theirs == before or found != [before]:
            return PoolerSeen("transaction")
    return PoolerSeen("session")


def _ask(connection: Connection, found: list[int]) -> None:
    with connection.begin():
        found.append(_process(connection))


def _process(connection: Connection) -> int:
    return int(connection.execute(statement("checkup/backend")).scalar_one())
