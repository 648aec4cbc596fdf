"""Connections to Postgres, and what its errors mean here.

Works behind PgBouncer in transaction mode: there, no prepared statements, no session settings, no state between
transactions. On a direct connection statements are prepared, which halves what a small pass or batch of outcomes costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import (
    BridgeError,
    ConfigurationError,
    InvalidClient,
    LogRewound,
    SchemaMissing,
    StoreUnavailable,
    UsageError,
)
from bridge.sql import for_psycopg, statement

PREPARE_AFTER = 2  # executions of a statement on a direct connection
DIRECT = "direct"

# SQLSTATE classes after which the same call may succeed: connection, serialization, resources, operator, locks.
PASSING = ("08", "40", "53", "57", "55P03", "58")


class Store:
    """The event log and its clients; every other module of this package takes one.

    Args:
        url: `postgresql://…`; any driver in it is replaced by psycopg.
        connect_timeout_seconds: How long to wait for Postgres to answer.
        statement_timeout_seconds: Longest that one statement, or one wait for a lock, may take.
        role: What this process does, shown as its `application_name`.
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
        """This process's engine: a forked child must not speak on its parent's connections."""
        if self._engine is None or self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = self._create_engine()
            self._pid = os.getpid()
        return self._engine

    def _create_engine(self) -> Engine:
        engine = create_engine(
            self._url,
            isolation_level="READ COMMITTED",
            pool_size=2,
            max_overflow=8,
            connect_args={
                "connect_timeout": max(2, round(self._connect_timeout_seconds)),
                "application_name": f"celery-event-bridge {self._role}",
                "client_encoding": "utf8",  # of a SQL_ASCII database psycopg would give bytes
                "prepare_threshold": None,  # a prepared statement lives in a session, and PgBouncer changes sessions
                "keepalives_idle": 30,
                "tcp_user_timeout": 30_000,
            },
        )
        event.listen(engine, "connect", self._look_who_answers)
        return engine

    def _look_who_answers(self, connection: psycopg.Connection, record: Any) -> None:
        """Make the session our own where it is: a pooler in between gives itself away by a process id of its own making."""
        with connection.cursor() as cursor:
            pid = cursor.execute("SELECT pg_backend_pid()").fetchone()
            if pid == (connection.info.backend_pid,):
                connection.prepare_threshold = PREPARE_AFTER
                cursor.execute(for_psycopg("boot/limit"), {**self._limits, "local": False})
                record.info[DIRECT] = True
        connection.commit()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on any exception.

        Raises:
            StoreUnavailable: Postgres refused, dropped or timed out; nothing is committed.
        """
        with translated(), self.engine.begin() as connection:
            if DIRECT not in connection.info:
                connection.execute(statement("boot/limit"), {**self._limits, "local": True})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in autocommit mode: one round trip per statement, for looking and for single statements."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close this process's connections."""
        if self._engine is not None:
            self._engine.dispose(close=self._pid == os.getpid())
            self._engine = None


@contextmanager
def translated() -> Iterator[None]:
    """Turn a driver's error into ours, by its SQLSTATE or constraint."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error) from error
    except PoolTimeout as error:
        raise StoreUnavailable(f"no free connection to Postgres: {error}") from error


def _meaning(error: DBAPIError) -> BridgeError:
    cause = error.orig
    state = getattr(cause, "sqlstate", None) or ""
    diagnosis = getattr(cause, "diag", None)
    said = (getattr(diagnosis, "message_primary", None) or str(cause)).strip().replace("\n", "; ")
    hint = getattr(diagnosis, "message_hint", None)
    full = f"{said}: {hint}" if hint else said
    if state == "FQ003":
        return LogRewound(full)
    if state in ("FQ001", "FQ002"):
        return UsageError(full)
    if state in ("42P01", "3F000", "42883"):
        return SchemaMissing(f"{said}: run `bridge migrate`")
    if state == "23514" and (getattr(diagnosis, "constraint_name", "") or "").startswith("clients_"):
        return InvalidClient(said)
    if state.startswith(PASSING) or (not state and isinstance(cause, psycopg.OperationalError)):
        return StoreUnavailable(f"Postgres is not available: {said}")
    return BridgeError(f"Postgres refused ({state or type(cause).__name__}): {full}")


def _psycopg_url(url: str) -> URL:
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
    except ArgumentError as error:
        raise ConfigurationError(f"bridge_database_url is not a URL: {error}") from error
    if parsed.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"bridge_database_url names {parsed.get_backend_name()}: the bridge needs postgresql://"
        )
    return parsed.set(drivername="postgresql+psycopg")
