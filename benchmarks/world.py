"""Where a figure is measured: a database, a broker, a Celery app with the bridge in this process, and eyes on all of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from celery import Celery
from psycopg import sql
from redis import Redis

from benchmarks.fleet import QUEUE
from benchmarks.log import fill
from benchmarks.processes import Processes
from bridge.app import Bridge
from bridge.demo import servers as embedded
from bridge.model import Position, Registration
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.migrate import migrate

POSTGRES = {"max_connections": "300", "shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
TASK = "fleet.noop"


def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


class World:
    """One database and one broker.

    Args:
        database_url: A migrated database.
        redis_url: An empty Redis.
        directory: For logs.
    """

    def __init__(self, database_url: str, redis_url: str, directory: Path) -> None:
        self.database_url, self.redis_url, self.directory = database_url, redis_url, directory
        self.redis = Redis.from_url(redis_url)
        self.eyes = psycopg.connect(database_url, autocommit=True)
        self.store = Store(database_url, role="benchmark")
        self._bridges: list[Bridge] = []
        self._names = (f"c{number}" for number in itertools.count(1))

    def app(self, **settings: Any) -> Celery:
        """A Celery app on this broker, which knows the no-op task."""
        app = Celery("benchmark", broker=self.redis_url, set_as_current=False)
        app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, **settings)
        app.task(noop, name=TASK, shared=False)
        return app

    def bridge(self, **settings: Any) -> Bridge:
        """A bridge in this process; its ticks return as soon as everything is handed over."""
        given = {"bridge_database_url": self.database_url, "bridge_linger_seconds": 0, **settings}
        self._bridges.append(Bridge(self.app(**given)))
        return self._bridges[-1]

    def client(self, *, start: int = -1, id: str = "", **given: Any) -> str:
        """Register a client whose cursor stands at `start`."""
        id = id or next(self._names)
        given = {"task": TASK, "queue": QUEUE, **given}
        register(self.store, Registration(id=id, given=given, start=Position(offset=start)))
        return id

    def forget(self, *clients: str) -> None:
        """Remove clients with all that is theirs, also in the broker, and leave no dead rows to whoever comes next."""
        self.eyes.execute("DELETE FROM fq.clients WHERE id = ANY (%s)", (list(clients),))
        self.eyes.execute("VACUUM fq.deliveries, fq.clients, fq.lanes")
        self.redis.flushall()

    def ask(self, query: str, *values: Any) -> Any:
        """The first column of the first row."""
        row = self.eyes.execute(query.encode(), values or None).fetchone()
        return row[0] if row else None

    def last(self) -> int:
        """The log's last offset."""
        return int(self.ask('SELECT coalesce(max("offset"), -1) FROM fq.events'))

    def is_done(self, client: str, upto: int) -> bool:
        """Whether a client's cursor has come this far."""
        return bool(self.ask('SELECT "offset" >= %s FROM fq.clients WHERE id = %s', upto, client))

    def is_lingering(self) -> bool:
        """Whether a pump waits for events."""
        return bool(self.ask("SELECT EXISTS (SELECT FROM fq.turns WHERE name = 'linger')"))

    def processes(self) -> Processes:
        """Processes that reach this database and this broker."""
        return Processes(
            self.directory, {"BRIDGE_DATABASE_URL": self.database_url, "CELERY_BROKER_URL": self.redis_url}
        )

    def close(self) -> None:
        """Close all connections."""
        for bridge in self._bridges:
            with suppress(KeyError):
                bridge.__dict__["sender"].close()
            with suppress(KeyError):
                bridge.__dict__["store"].close()
        self.store.close()
        self.eyes.close()
        self.redis.close()


class Servers:
    """An embedded Postgres and an embedded Redis.

    Args:
        postgres_url: The superuser's.
        redis_url: Ours alone.
        directory: For logs.
    """

    def __init__(self, postgres_url: str, redis_url: str, directory: Path) -> None:
        self.postgres_url, self.redis_url, self.directory = postgres_url, redis_url, directory
        self._number = itertools.count(1)
        self._logs: dict[int, str] = {}

    @contextmanager
    def world(self) -> Iterator[World]:
        """A world with an empty log."""
        name = self._create()
        try:
            with self._enter(name) as world:
                yield world
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def world_with_log(self, rows: int) -> Iterator[World]:
        """A world with a log of so many events, filled by the first figure that asks; the clients are one's own."""
        if rows not in self._logs:
            name = self._create()
            with self._enter(name) as world:
                fill(world.eyes, rows)
            self._logs[rows] = name
        with self._enter(self._logs[rows]) as world:
            try:
                yield world
            finally:
                world.eyes.execute("DELETE FROM fq.clients")
                world.eyes.execute("VACUUM fq.deliveries, fq.clients, fq.lanes")

    def settings(self) -> dict[str, str]:
        """What of Postgres' settings decides about speed."""
        names = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "jit"]
        with psycopg.connect(self.postgres_url) as connection:
            query = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
            return dict(connection.execute(query, (names,)).fetchall())

    def version(self) -> str:
        """Postgres' own."""
        with psycopg.connect(self.postgres_url) as connection:
            row = connection.execute("SELECT current_setting('server_version')").fetchone()
        return str(row[0]) if row else ""

    def _create(self) -> str:
        name = f"benchmark_{next(self._number)}"
        self._execute("CREATE DATABASE {}", name)
        store = Store(self._url(name))
        migrate(store.engine)
        store.close()
        return name

    @contextmanager
    def _enter(self, name: str) -> Iterator[World]:
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()
        world = World(self._url(name), self.redis_url, self.directory)
        try:
            yield world
        finally:
            world.close()

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))

    def _execute(self, statement: Any, name: str) -> None:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """Run both servers."""
    with embedded.postgres(directory, settings=POSTGRES) as postgres_url, embedded.redis(directory) as redis_url:
        yield Servers(postgres_url, redis_url, directory)
