"""A database after a fail-over: sessions have ended, and new ones take no writes for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from tests.support.world import World


def end_sessions(world: World) -> None:
    """End all sessions of the database but our own."""
    world.eyes.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """Let every new session of the database be read-only, and end those that are there."""
    name = sql.Identifier(world.eyes.info.dbname)
    world.eyes.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    end_sessions(world)
    try:
        yield
    finally:
        world.eyes.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
