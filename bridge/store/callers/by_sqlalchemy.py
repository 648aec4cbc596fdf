"""SQLAlchemy, whatever its driver: a connection, a session or a scoped session, also an asynchronous one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.orm import Session, scoped_session

from bridge.sql import statement
from bridge.store.callers.way import Binds, Rows, Way

# The caller's connection may stream its results, by a cursor on the server, and Postgres has none for an INSERT.
AT_ONCE: dict[str, Any] = {"stream_results": False, "yield_per": None}


def way_of(cls: type) -> Way | None:
    """Return the way for a class of SQLAlchemy; None if nothing can be run on it."""
    if issubclass(cls, Connection | Session | scoped_session):
        return Way(_run, lambda target: _autocommits(_connection(target)))
    if cls.__module__.startswith("sqlalchemy.ext.asyncio") or _is_asynchronous(cls):
        return _asynchronous_way_of(cls)
    return None


def _is_asynchronous(cls: type) -> bool:
    return any(base.__module__.startswith("sqlalchemy.ext.asyncio") for base in cls.__mro__)


def _asynchronous_way_of(cls: type) -> Way | None:
    """Return the way for an asynchronous class; its module is imported only where the caller uses it."""
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    if issubclass(cls, AsyncConnection):
        return Way(_arun, _aautocommits, asynchronous=True)
    if issubclass(cls, AsyncSession | async_scoped_session):
        return Way(_arun_in_session, _session_aautocommits, asynchronous=True)
    return None


def _connection(target: Connection | Session | scoped_session[Any]) -> Connection:
    """Return the connection on which a session's transaction runs."""
    return target if isinstance(target, Connection) else target.connection()


def _rows(result: Any) -> Rows:
    return result.all() if isinstance(result, CursorResult) and result.returns_rows else []


def _run(target: Connection | Session | scoped_session[Any], name: str, binds: Binds) -> Rows:
    return _rows(_connection(target).execute(statement(name), binds, execution_options=AT_ONCE))


async def _arun(connection: Any, name: str, binds: Binds) -> Rows:
    return _rows(await connection.execute(statement(name), binds, execution_options=AT_ONCE))


async def _arun_in_session(session: Any, name: str, binds: Binds) -> Rows:
    return await _arun(await session.connection(), name, binds)


def _autocommits(connection: Connection) -> bool:
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


async def _aautocommits(connection: Any) -> bool:
    return bool(await connection.run_sync(_autocommits))


async def _session_aautocommits(session: Any) -> bool:
    return await _aautocommits(await session.connection())
