"""Find out what stands between this process and Postgres: nothing, or a pooler, and of what kind.

A pooler shows another process id than the server's own. In transaction mode it gives the server process that served one
connection to another one, as soon as the transaction is over.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.settings.address import read_address
from bridge.sql import for_psycopg, statement
from bridge.store.connect import Store
from bridge.store.driver_errors import translated
from bridge.store.sessions import DIRECT

SECOND_SESSION_SECONDS = 3.0  # a pool that gives no second session within this time has none to give
SECOND_CONNECTION_SECONDS = 5.0  # to connect takes longer where the machine is busy
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
            if _is_refused(error) and _takes_statements(url):
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
    """Let a second connection keep a transaction open, and see with what the first one goes on.

    Either may wait for a session that the pool does not have, until the pooler's own time-out ends that.
    """
    for _ in range(TRIES):
        with first.begin():
            before = _process(first)
        over = threading.Event()
        mine = _Asking(partial(_ask, first))
        try:
            theirs = _Asking(partial(_hold, store, over)).answer(SECOND_CONNECTION_SECONDS)
            if theirs is None:  # though the first one is in no transaction: it keeps its session
                return PoolerSeen("session", alone=True)
            found = mine.answer(SECOND_SESSION_SECONDS)
        finally:
            over.set()
            mine.end()  # the second transaction is over, and the first connection is ours again
        if found is None:
            return PoolerSeen("transaction", alone=True)
        if theirs == before or found != before:
            return PoolerSeen("transaction")
    return PoolerSeen("session")


class _Asking:
    """A thread that asks which process of the server it got, and may have to wait for one.

    Args:
        ask: Asks, and tells the answer.
    """

    def __init__(self, ask: Callable[[Callable[[int], None]], None]) -> None:
        self._ask, self._thread = ask, threading.Thread(target=self._work, name="bridge-second-session", daemon=True)
        self._answers: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()

    def answer(self, within_seconds: float) -> int | None:
        """Begin to ask, and return the process; None where the pool has none to give.

        Raises:
            DBAPIError, PoolTimeout: there is another trouble than that.
        """
        self._thread.start()
        try:
            answer = self._answers.get(timeout=within_seconds)
        except queue.Empty:
            return None
        if not isinstance(answer, Exception):
            return answer
        if _is_refused(answer):  # by `query_timeout` or `query_wait_timeout`
            return None
        raise answer

    def end(self) -> None:
        """Wait until the thread has ended, if it began."""
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            self._ask(self._answers.put)
        except (DBAPIError, PoolTimeout) as error:
            self._answers.put(error)


def _hold(store: Store, over: threading.Event, tell: Callable[[int], None]) -> None:
    """Keep a transaction open on a second connection until it is over."""
    with store.engine.connect() as second:
        if over.is_set():  # it came too late, and the store may be closed by now
            second.invalidate()
            return
        with second.begin():
            tell(_process(second))
            over.wait()


def _ask(connection: Connection, tell: Callable[[int], None]) -> None:
    with connection.begin():
        tell(_process(connection))


def _process(connection: Connection) -> int:
    return int(connection.execute(statement("checkup/backend")).scalar_one())


def _is_refused(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) == REFUSED
