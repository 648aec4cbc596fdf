"""Connections to Postgres, directly or through PgBouncer in transaction mode.

On a direct connection statements are prepared, which halves what a small pass or a few outcomes cost, and the limits of
time are set once per session. PgBouncer may give every transaction another session: there, nothing is prepared, and
nothing is kept in the session.

Statements look up every name in `pg_catalog` only (decision 30): what the tables, functions and operators of other
schemas are called, and where the role or the database would look first, makes no difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.errors import ConfigurationError
from bridge.sql import for_psycopg, statement
from bridge.store.driver_errors import translated

PREPARE_AFTER = 2  # executions of a statement on a direct connection
DIRECT = "direct"  # the mark of a direct connection in its `info`
OF_ROLE = "of role"  # how the role looks up names, there too


class Store:
    """The event log and its clients; every other module of this package takes one.

    Args:
        url: `postgresql://…`; any driver in it is replaced by psycopg.
        connect_timeout_seconds: How long to wait for Postgres to answer.
        statement_timeout_seconds: Longest that one statement, or one wait for a lock, may take.
        role: What this process does, shown as its `application_name`.

    Raises:
        ConfigurationError: `url` is no URL of Postgres.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_seconds: float = 5,
        statement_timeout_seconds: float = 60,
        role: str = "bridge",
    ) -> None:
        self._url = _psycopg_url(url)
        self._connect_timeout_seconds = connect_timeout_seconds
        milliseconds = str(round(statement_timeout_seconds * 1000))
        self._limits = {"statement_ms": milliseconds, "lock_ms": milliseconds}
        self._role = role
        self._engine: Engine | None = None
        self._pid = 0

    @property
    def engine(self) -> Engine:
        """This process's engine. A forked child makes its own: on its parent's connections both would talk at once."""
        if self._engine is None or self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)  # they are still the parent's
            self._engine = self._create_engine()
            self._pid = os.getpid()
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: it is committed at the end, and rolled back on any exception.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out; nothing is committed.
        """
        with translated(), self.engine.begin() as connection:
            if DIRECT not in connection.info:
                connection.execute(statement("boot/limit"), {**self._limits, "local": True})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection in autocommit mode: one round trip per statement, for looking and for single statements.

        Behind a pooler it is one transaction, because the limits and the search path last for one there.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out.
        """
        with translated(), self.engine.connect() as connection:
            if DIRECT in connection.info:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
                return
            with connection.begin():
                connection.execute(statement("boot/limit"), {**self._limits, "local": True})
                yield connection

    def close(self) -> None:
        """Close this process's connections."""
        if self._engine is not None:
            self._engine.dispose(close=self._pid == os.getpid())
            self._engine = None

    def _create_engine(self) -> Engine:
        engine = create_engine(
            self._url,
            isolation_level="READ COMMITTED",
            use_native_hstore=False,  # or else it would look for the type before the search path is set
            pool_size=2,
            max_overflow=8,
            connect_args={
                "connect_timeout": max(2, round(self._connect_timeout_seconds)),  # libpq takes 1 second for 2
                "application_name": f"celery-event-bridge {self._role}",
                "client_encoding": "utf8",  # from a SQL_ASCII database, psycopg would give bytes
                "prepare_threshold": None,  # until the connection is known to be direct
                "keepalives_idle": 30,
                "tcp_user_timeout": 30_000,
            },
        )
        event.listen(engine, "connect", self._set_up_if_direct, insert=True)  # SQLAlchemy itself sends statements then
        return engine

    def _set_up_if_direct(self, connection: psycopg.Connection, record: ConnectionPoolEntry) -> None:
        """Set the limits of a direct connection, and let it prepare statements; leave a pooled one as it is.

        A pooler tells each connection a process id of its own making, 4711 for instance, while `pg_backend_pid()`
        returns that of the server's process, 812. On a direct connection the two are the same.
        """
        with connection.cursor() as cursor:
            row = cursor.execute(for_psycopg("boot/session_of_role")).fetchone()
            if row and row[0] == connection.info.backend_pid:
                record.info[OF_ROLE] = {"search_path": row[1], "row_security": row[2]}
                connection.prepare_threshold = PREPARE_AFTER
                cursor.execute(for_psycopg("boot/limit"), {**self._limits, "local": False})
                record.info[DIRECT] = True
        connection.commit()  # else the limits would be rolled back


def look_as_role(session: Session) -> None:
    """Look up names as the session's role does, until the session's transaction ends; a pooled session does anyway."""
    connection = session.connection()
    if OF_ROLE in connection.info:
        connection.execute(statement("boot/look_as_role"), connection.info[OF_ROLE])


def _psycopg_url(url: str) -> URL:
    """Parse a URL of Postgres, and let psycopg be its driver."""
    if url.startswith("postgres://"):  # as some hosts write it; SQLAlchemy refuses it
        url = url.replace("postgres://", "postgresql://", 1)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"bridge_database_url is not a URL: {error}") from error
    if parsed.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"bridge_database_url names {parsed.get_backend_name()}: the bridge needs postgresql://"
        )
    return parsed.set(drivername="postgresql+psycopg")
