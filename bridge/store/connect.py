"""Connections to Postgres, directly or through PgBouncer in transaction mode.

On a direct connection statements are prepared, which halves what a small pass or a few outcomes cost, and the limits of
time are set once per session. PgBouncer may give every transaction another session: there, nothing is prepared,
nothing is kept in the session, and the limits are set in each transaction. `sessions` says which limits there are.

Statements look up every name in `pg_catalog` only (decision 30): what the tables, functions and operators of other
schemas are called, and where the role or the database would look first, makes no difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL

from bridge.errors import StoreUnavailable
from bridge.happened import Happening, begin, committed, tell
from bridge.settings.address import read_address
from bridge.store.driver_errors import translated
from bridge.store.sessions import (
    CLIENT_TCP_OPTIONS,
    DIRECT,
    STARTED,
    attend,
    limit,
    lock_settings,
    read_only,
    renew_if_read_only,
    session_settings,
    sooner,
)
from bridge.store.silence import bound

SHORTEST_IDLE_SECONDS = 20.0
UNKNOWN = "unknown"  # the start of no server
# What is asked for each client: where most rows are of one client, Postgres would read the whole table for each other.
BY_INDEX = {"enable_seqscan": "off", "jit": "off"}
OWN_POOL: Mapping[str, int] = {"pool_size": 2, "max_overflow": 8}
# Without a limit: each handler that runs has one, and how many run at once is for the worker's pool to say. With one, a
# handler beyond it would wait for half a minute, and then count as failed.
HANDLERS_POOL: Mapping[str, int] = {"pool_size": 0}


class Store:
    """The event log and its clients; every other module of this package takes one.

    Args:
        url: `postgresql://…`, or keywords and values; all that libpq takes.
        connect_timeout_seconds: How long to wait for Postgres to answer.
        statement_timeout_seconds: Longest that one statement, or one wait for a lock, may take.
        idle_seconds: Longest that a transaction may stand still between two statements; by default twice as long as
            the longest wait for the broker within a pass.
        role: What this process does, shown as its `application_name`.
        lock_seconds: Longest wait for a lock, where that is to be shorter than a statement may take.

    Raises:
        ConfigurationError: libpq can't read `url`.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_seconds: float = 5,
        statement_timeout_seconds: float = 60,
        idle_seconds: float | None = None,
        role: str = "bridge",
        lock_seconds: float | None = None,
    ) -> None:
        self._address = read_address(url)
        self._connect_timeout_seconds = connect_timeout_seconds
        # The broker may take twice the connection's time-out for an answer: see `bridge_connect_timeout_seconds`.
        idle_seconds = idle_seconds or max(SHORTEST_IDLE_SECONDS, 4 * connect_timeout_seconds)
        self._settings = session_settings(
            statement_seconds=statement_timeout_seconds, idle_seconds=idle_seconds, lock_seconds=lock_seconds
        )
        self._handlers_settings = session_settings(statement_seconds=statement_timeout_seconds, idle_seconds=None)
        self._statement_seconds = statement_timeout_seconds
        self._role = role
        self._engines: dict[str, Engine] = {}
        self._pid = 0
        self._vouched = ""  # the server that was compared with the broker

    @property
    def engine(self) -> Engine:
        """This process's engine. A forked child makes its own: on its parent's connections both would talk at once."""
        return self._engine_of(self._role, self._settings)

    @property
    def handlers_engine(self) -> Engine:
        """The engine of handlers' own transactions, which may stand still for as long as a handler thinks."""
        return self._engine_of(f"{self._role} handler", self._handlers_settings, HANDLERS_POOL)

    @contextmanager
    def transaction(self, *, vouched: bool = False) -> Iterator[Connection]:
        """Open a transaction that may write: it is committed at the end, and rolled back on any exception.

        Args:
            vouched: Whether the server must be the one that this process has vouched for, if it has for any.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out, or takes no writes; nothing is committed.
        """
        happened: Sequence[Happening] = ()
        with self._connected(writes=True) as connection:
            info = connection.info  # after an error there may be none any more
            begin(info)
            try:
                with connection.begin():
                    limit(connection, self._settings, writes=True)
                    if vouched and self._vouched and info.get(STARTED) != self._vouched:
                        self._vouched = UNKNOWN
                        why = "Postgres was restarted or replaced: it is compared with the broker first"
                        raise StoreUnavailable(why)
                    yield connection
                happened = committed(info)
            finally:
                committed(info)
        tell(*happened)  # the connection is free again by now

    def vouch(self, started: str) -> None:
        """Let transactions run on this server only: it was compared with the broker. A restart makes it another one.

        Args:
            started: Its start; `UNKNOWN` for no server at all, until one is vouched for.
        """
        self._vouched = started

    @property
    def vouched(self) -> str:
        """The start of the server that was vouched for, `UNKNOWN` for none at all; empty where any will do."""
        return self._vouched

    @contextmanager
    def looking(self, *, lock_seconds: float) -> Iterator[Connection]:
        """Open a transaction that only reads, also where Postgres takes no writes, for a person who waits for it.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out.
            StoreLocked: of these, a table could not be had for `lock_seconds`.
        """
        wait = lock_settings(sooner(lock_seconds, self._statement_seconds))
        settings = self._settings | wait | BY_INDEX
        with self._connected(writes=False) as connection:
            renew_if_read_only(connection)  # else it would be told of a fail-over that is over
            with connection.begin():
                limit(connection, settings, writes=False, anywhere=True)
                yield connection

    @contextmanager
    def snapshot(self, *, statement_seconds: float) -> Iterator[Connection]:
        """Open a transaction that only reads, and in which all statements see one moment.

        Args:
            statement_seconds: Longest that one statement, or one wait for a lock, may take.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out.
        """
        settings = session_settings(statement_seconds=statement_seconds, idle_seconds=SHORTEST_IDLE_SECONDS)
        with self._connected(writes=False) as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                limit(connection, settings | {"transaction_read_only": "on"}, writes=False, anywhere=True)
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for single statements that only read: one round trip each, if there is no pooler.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out.
        """
        with self._connected(writes=False) as connection, self._statements(connection, writes=False) as ready:
            yield ready

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection for single statements that write, each in a transaction of its own if there is no pooler.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out, or takes no writes.
        """
        with self._connected(writes=True) as connection, self._statements(connection, writes=True) as ready:
            yield ready

    def close(self) -> None:
        """Close this process's connections."""
        for engine in self._engines.values():
            engine.dispose(close=self._pid == os.getpid())  # else they are still the parent's
        self._engines = {}

    @contextmanager
    def _connected(self, *, writes: bool) -> Iterator[Connection]:
        with translated(), self.engine.connect() as connection:
            if writes and not renew_if_read_only(connection):
                raise read_only()
            yield connection

    @contextmanager
    def _statements(self, connection: Connection, *, writes: bool) -> Iterator[Connection]:
        """Let each statement be a transaction; behind a pooler all are one, for the limits hold for a transaction."""
        if DIRECT in connection.info:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
            return
        with connection.begin():
            limit(connection, self._settings, writes=writes)
            yield connection

    def _engine_of(self, name: str, settings: Mapping[str, str], pool: Mapping[str, int] = OWN_POOL) -> Engine:
        if self._pid != os.getpid():
            self.close()
            self._pid = os.getpid()
        if name not in self._engines:
            self._engines[name] = self._create_engine(name, settings, pool)
        return self._engines[name]

    def _create_engine(self, name: str, settings: Mapping[str, str], pool: Mapping[str, int]) -> Engine:
        plain = dict(self._address.plain)
        engine = create_engine(
            URL.create(
                "postgresql+psycopg",
                username=plain.get("user"),
                password=plain.get("password"),
                host=plain.get("host"),
                port=int(plain["port"]) if plain.get("port") else None,
                database=plain.get("dbname"),
            ),
            isolation_level="READ COMMITTED",
            use_native_hstore=False,  # or else it would look for the type before the search path is set
            **pool,
            connect_args={
                **CLIENT_TCP_OPTIONS,
                "connect_timeout": max(2, round(self._connect_timeout_seconds)),  # libpq takes 1 second for 2
                **self._address.options,  # what an address says itself wins over what stands above
                "application_name": f"celery-event-bridge {name}",
                "client_encoding": "utf8",  # from a SQL_ASCII database, psycopg would give bytes
                "prepare_threshold": None,  # until the connection is known to be direct
            },
        )
        attend(engine, settings)
        if settings is self._settings:  # a handler's own statements may take as long as it lets them
            bound(engine, statement_seconds=self._statement_seconds)
        return engine
