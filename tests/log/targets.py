"""What people publish on: connections, cursors and sessions of the real drivers, each with its own way to commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import psycopg2
from psycopg2.extras import RealDictCursor
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

Url = str


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to publish on, and how its caller ends a transaction or goes back to a savepoint."""

    it: Any
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    savepoint: Callable[[], Any]  # begins one, and returns what goes back to it


@contextmanager
def of_psycopg(url: Url, *, cursor: bool = False) -> Iterator[Target]:
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        yield Target(
            it=connection.cursor() if cursor else connection,
            commit=connection.commit,
            rollback=connection.rollback,
            savepoint=lambda: _savepoint(connection.execute),
        )


@contextmanager
def of_psycopg2(url: Url, *, cursor: bool = False) -> Iterator[Target]:
    connection = psycopg2.connect(url, cursor_factory=RealDictCursor)
    try:
        yield Target(
            it=connection.cursor("named") if cursor else connection,
            commit=connection.commit,
            rollback=connection.rollback,
            savepoint=lambda: _savepoint(connection.cursor().execute),
        )
    finally:
        connection.close()


@contextmanager
def of_sqlalchemy(url: Url, kind: str, driver: str) -> Iterator[Target]:
    engine = create_engine(_dialect(url, driver))
    try:
        with engine.connect() as connection:
            if kind == "connection":
                yield Target(
                    it=connection,
                    commit=connection.commit,
                    rollback=connection.rollback,
                    savepoint=lambda: connection.begin_nested().rollback,
                )
                return
        with Session(engine) if kind == "session" else _scoped(engine) as session:
            yield Target(
                it=session,
                commit=session.commit,
                rollback=session.rollback,
                savepoint=lambda: session.begin_nested().rollback,
            )
    finally:
        engine.dispose()


@contextmanager
def _scoped(engine: Any) -> Iterator[Any]:
    session = scoped_session(sessionmaker(engine))
    yield session
    session.remove()


def _savepoint(execute: Callable[[str], Any]) -> Callable[[], Any]:
    execute("SAVEPOINT here")
    return lambda: execute("ROLLBACK TO SAVEPOINT here")


def _dialect(url: Url, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


Opened = Callable[[Url], Any]
SYNCHRONOUS: dict[str, Opened] = {
    "psycopg connection": of_psycopg,
    "psycopg cursor": lambda url: of_psycopg(url, cursor=True),
    "psycopg2 connection": of_psycopg2,
    "psycopg2 cursor, named": lambda url: of_psycopg2(url, cursor=True),
    "SQLAlchemy connection": lambda url: of_sqlalchemy(url, "connection", "psycopg"),
    "SQLAlchemy connection on psycopg2": lambda url: of_sqlalchemy(url, "connection", "psycopg2"),
    "SQLAlchemy session": lambda url: of_sqlalchemy(url, "session", "psycopg"),
    "SQLAlchemy scoped session": lambda url: of_sqlalchemy(url, "scoped", "psycopg"),
}


@asynccontextmanager
async def of_async_psycopg(url: Url, *, cursor: bool = False) -> AsyncIterator[Target]:
    async with await psycopg.AsyncConnection.connect(url) as connection:

        async def savepoint() -> Callable[[], Awaitable[Any]]:
            await connection.execute("SAVEPOINT here")
            return lambda: connection.execute("ROLLBACK TO SAVEPOINT here")

        yield Target(
            it=connection.cursor() if cursor else connection,
            commit=connection.commit,
            rollback=connection.rollback,
            savepoint=savepoint,
        )


@asynccontextmanager
async def of_asyncpg(url: Url, *, pooled: bool = False) -> AsyncIterator[Target]:
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
    async with pool, pool.acquire() as lent:
        # A codec of the caller's own, as many have: it must not get hold of our JSON.
        await lent.set_type_codec("jsonb", schema="pg_catalog", encoder=_refuse, decoder=str)
        connection: Any = lent if pooled else await asyncpg.connect(url)
        await connection.execute("BEGIN")

        async def end(command: str) -> None:
            await connection.execute(f"{command}; BEGIN")

        async def savepoint() -> Callable[[], Awaitable[Any]]:
            await connection.execute("SAVEPOINT here")
            return lambda: connection.execute("ROLLBACK TO SAVEPOINT here")

        yield Target(it=connection, commit=lambda: end("COMMIT"), rollback=lambda: end("ROLLBACK"), savepoint=savepoint)
        await connection.execute("ROLLBACK")
        if not pooled:
            await connection.close()


def _refuse(value: Any) -> str:
    raise AssertionError(f"the caller's codec was asked for {value!r}")


@asynccontextmanager
async def of_async_sqlalchemy(url: Url, kind: str, driver: str) -> AsyncIterator[Target]:
    engine = create_async_engine(_dialect(url, driver))
    try:
        if kind == "connection":
            async with engine.connect() as connection:
                yield _target(connection)
            return
        session: Any = AsyncSession(engine)
        if kind == "scoped":
            session = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)
        yield _target(session)
        await session.close()
    finally:
        await engine.dispose()


def _target(it: Any) -> Target:
    async def savepoint() -> Callable[[], Awaitable[Any]]:
        return (await it.begin_nested()).rollback  # type: ignore[no-any-return]

    return Target(it=it, commit=it.commit, rollback=it.rollback, savepoint=savepoint)


ASYNCHRONOUS: dict[str, Opened] = {
    "psycopg": of_async_psycopg,
    "psycopg cursor": lambda url: of_async_psycopg(url, cursor=True),
    "asyncpg": of_asyncpg,
    "asyncpg, of a pool": lambda url: of_asyncpg(url, pooled=True),
    "SQLAlchemy connection": lambda url: of_async_sqlalchemy(url, "connection", "psycopg"),
    "SQLAlchemy connection on asyncpg": lambda url: of_async_sqlalchemy(url, "connection", "asyncpg"),
    "SQLAlchemy session on asyncpg": lambda url: of_async_sqlalchemy(url, "session", "asyncpg"),
    "SQLAlchemy scoped session": lambda url: of_async_sqlalchemy(url, "scoped", "psycopg"),
}
