"""What every session of the bridge is like, and when one is given up.

Postgres itself ends what the bridge may have forgotten: a statement or a wait for a lock that takes too long, a
transaction whose process is frozen or gone, a session whose machine has vanished (G10). A session is discarded after
any error that is not its statement's own fault, and looked at before it is used after a rest: a fail-over leaves
sessions behind that answer and take no writes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from bridge.errors import StoreReadOnly
from bridge.sql import for_psycopg, statement

PREPARE_AFTER = 2  # executions of a statement on a direct connection
LOCK_SHARE = 0.9  # of the time of a statement, that its wait for a lock may take at most
RESTED_SECONDS = 10.0  # a session that nobody used for so long is looked at before its next use

READ_ONLY_WHY = (
    "it is a standby, or default_transaction_read_only is on: let bridge_database_url name the primary, or promote it"
)

# Marks in the `info` of a connection.
DIRECT = "direct"
READ_ONLY = "read only"
USED_AT = "used at"  # time.monotonic()
GENERATION = "generation"
OF_ROLE = "of role"  # how its role looks up names
STARTED = "started"  # the start of its server

# Errors that are their statement's own fault, or another transaction's: the session is as good as before. They are:
# wrong data (21, 22, 23), SQL or rights (42, 44), too complex (54), no lock at once (55), a deadlock, a time-out, and
# what functions raise (FQ, P0). After any other the session is discarded: that costs a connection and is always safe.
HARMLESS = ("21", "22", "23", "42", "44", "54", "55", "40P01", "57014", "FQ", "P0")

# A server that has lost its client's machine notices within a minute. A Unix socket ignores these.
TCP_SETTINGS = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# The same on our side, as libpq names it.
CLIENT_TCP_OPTIONS = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# What the role or the database says of these is meant for the shop's own sessions. A serializable statement would never
# see the work that it waits for: it sees nothing that comes while it runs. A session that rests would be ended, and the
# next handler with it.
OWN_SETTINGS = {"default_transaction_isolation": "read committed", "idle_session_timeout": "0"}
# How values are written as text: the driver reads no other style of dates, and a list's NULL must stay one. `ISO`
# leaves the order of day and month as it is.
TEXT_SETTINGS = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
}


def session_settings(
    *, statement_seconds: float, idle_seconds: float | None, lock_seconds: float | None = None
) -> dict[str, str]:
    """Return what is set for every session; behind a pooler, for every transaction.

    Args:
        statement_seconds: Longest that one statement, or one wait for a lock, may take.
        idle_seconds: Longest that a transaction may stand still between two statements; None: no limit of ours.
        lock_seconds: Longest that one wait for a lock may take, where that is to be shorter than a statement may take.
    """
    settings = {
        **TEXT_SETTINGS,
        "search_path": "pg_catalog, pg_temp",  # whatever the role or the database says: see decision 30
        "row_security": "off",  # it would hide rows: now it is an error
        "restrict_nonsystem_relation_kind": "",  # of newer servers: it would refuse the schema's own views
        "statement_timeout": _milliseconds(statement_seconds),
        "lock_timeout": _milliseconds(
            statement_seconds if lock_seconds is None else sooner(lock_seconds, statement_seconds)
        ),
    }
    if idle_seconds is not None:
        settings["idle_in_transaction_session_timeout"] = _milliseconds(idle_seconds)
        settings["transaction_timeout"] = "0"  # of PostgreSQL 17 on: it would end a pass or a batch again and again
    return settings


def lock_settings(seconds: float) -> dict[str, str]:
    """Return what bounds a wait for a lock alone."""
    return {"lock_timeout": _milliseconds(seconds)}


def sooner(lock_seconds: float, statement_seconds: float) -> float:
    """Return how long to wait for a lock, so that the error says it was one: the statement has more time than that."""
    return min(lock_seconds, LOCK_SHARE * statement_seconds)


def attend(engine: Engine, settings: Mapping[str, str]) -> None:
    """Give every session of an engine these settings, and discard the sessions that are of no use any more."""
    attendant = _Attendant(settings)
    event.listen(engine, "connect", attendant.set_up, insert=True)  # SQLAlchemy itself sends statements then
    event.listen(engine, "checkin", attendant.note_use)
    event.listen(engine, "checkout", attendant.look_after_rest)
    event.listen(engine, "handle_error", attendant.discard)


def limit(connection: Connection, settings: Mapping[str, str], *, writes: bool, anywhere: bool = False) -> None:
    """Set what a transaction behind a pooler may do: it may run in another session than the one before.

    Args:
        connection: In a transaction.
        settings: Names and values.
        writes: Whether there is something to write.
        anywhere: Set them on a direct connection too, whose session has other values.

    Raises:
        StoreReadOnly: the session takes no writes, and there are some to do.
    """
    if DIRECT in connection.info and not anywhere:
        return
    found = connection.execute(statement("boot/limit"), _binds(settings, local=True)).one()
    connection.info[STARTED] = found.started
    if writes and found.read_only == "on":
        raise read_only()


def look_as_role(connection: Connection) -> None:
    """Look up names as the session's role does, until the transaction ends; a pooled session does anyway."""
    if OF_ROLE in connection.info:
        connection.execute(statement("boot/look_as_role"), connection.info[OF_ROLE])


def renew_if_read_only(connection: Connection) -> bool:
    """Take another session where this one takes no writes, for a new one may; tell whether one is had that does."""
    if READ_ONLY in connection.info:
        connection.invalidate()
    return READ_ONLY not in connection.info


def read_only() -> StoreReadOnly:
    """Return the error that says that the database takes no writes."""
    return StoreReadOnly(f"Postgres takes no writes: {READ_ONLY_WHY}")


class _Attendant:
    """What an engine does when its pool makes a connection, takes one back, gives one out, or meets an error.

    Sessions have a generation, because SQLAlchemy's way to discard all that rest in a pool compares times of day: where
    the clock is set back, it would discard every session for that long.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._generation = 0

    def set_up(self, connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
        """Set the limits of a direct connection, let it prepare statements and keep memory; leave a pooled one alone.

        A pooler tells each connection a process id of its own making, 4711 for instance, while `pg_backend_pid()`
        returns that of the server's process, 812. On a direct connection the two are the same.
        """
        try:
            connection.autocommit = True  # else the limits would be rolled back
            pid, mode, search_path, row_security, started = _look(connection)
            record.info[STARTED] = started
            if pid == connection.info.backend_pid:
                connection.prepare_threshold = PREPARE_AFTER
                binds = _binds({**self._settings, **OWN_SETTINGS, **TCP_SETTINGS}, local=False)
                connection.execute(for_psycopg("boot/limit"), binds)
                connection.execute(for_psycopg("boot/keep_memory"))
                record.info[DIRECT] = True
                record.info[OF_ROLE] = {"search_path": search_path, "row_security": row_security}
                _mark(record, mode)
            record.info[GENERATION] = self._generation
            connection.autocommit = False
        except BaseException:
            connection.close()  # the pool does not know it yet
            raise

    def note_use(self, connection: psycopg.Connection[Any] | None, record: ConnectionPoolEntry) -> None:
        """Remember when a connection was used last."""
        record.info[USED_AT] = time.monotonic()

    def look_after_rest(
        self, connection: psycopg.Connection[Any], record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        """Ask a session that has rested whether it is still there, and whether it takes writes by now.

        Raises:
            DisconnectionError: it is not; the pool makes another.
        """
        if record.info.get(GENERATION) != self._generation:
            raise DisconnectionError
        if time.monotonic() - record.info.get(USED_AT, float("inf")) < RESTED_SECONDS:
            return
        try:
            connection.autocommit = True
            mode = _look(connection)[1]
            connection.autocommit = False
        except psycopg.Error as error:
            raise DisconnectionError from error
        if DIRECT in record.info:
            _mark(record, mode)

    def discard(self, context: ExceptionContext) -> None:
        """Let the pool drop a connection after an error that is not the statement's fault.

        The others that rest in the pool are dropped too, when they are next asked for: they were made in the same
        times.
        """
        error = context.original_exception
        if isinstance(error, psycopg.Error) and not is_harmless(error):
            context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
        if context.is_disconnect:
            self._generation += 1


def is_harmless(error: psycopg.Error) -> bool:
    """Tell whether a session is as good after an error as it was before."""
    if error.sqlstate is None:  # of the driver: wrong arguments, or no connection any more
        return not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(HARMLESS)


def _look(connection: psycopg.Connection[Any]) -> tuple[int, str, str, str, str]:
    """Return the server's process id, `on` if it takes no writes, how names are found, and the server's start."""
    row = connection.execute(for_psycopg("boot/look_at_session")).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3], row[4]


def _mark(record: ConnectionPoolEntry, read_only: str) -> None:
    record.info.pop(READ_ONLY, None)
    if read_only == "on":
        record.info[READ_ONLY] = True


def _binds(settings: Mapping[str, str], *, local: bool) -> dict[str, Any]:
    return {"names": list(settings), "values": list(settings.values()), "local": local}


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
