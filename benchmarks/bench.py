"""Where a figure is measured: an installation on throw-away servers, which all figures of a run share."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from amqp import NotFound
from celery import Celery
from kombu import Connection
from psycopg import sql
from redis import Redis

from benchmarks.fleet import QUEUE
from benchmarks.log import fill
from bridge.app import Bridge
from bridge.demo.installation import Installation
from bridge.demo.process import Process
from bridge.demo.servers import run_postgres, run_redis
from bridge.demo.workers import worker_command
from bridge.model import Position
from bridge.store import Store
from bridge.store.migrate import migrate

POSTGRES = {"max_connections": "300", "shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
TASK = "fleet.noop"
REPOSITORY = Path(__file__).parent.parent
WORKER_OPTIONS = ["--without-heartbeat"]  # as a fleet of fast tasks would set it


def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


class Bench(Installation):
    """An installation where a figure is measured: the bridge runs in this process, or in processes of its own.

    Args:
        database_url: A migrated database.
        redis_url: An empty Redis.
        directory: For logs.
        broker_url: A RabbitMQ; by default the Redis is the broker.
    """

    def __init__(self, database_url: str, redis_url: str, directory: Path, *, broker_url: str = "") -> None:
        # Every process gets the database's URL: the fleet with the bridge installed in it needs it.
        environment = {"PYTHONPATH": str(REPOSITORY), "BRIDGE_DATABASE_URL": database_url, "NOTES_URL": redis_url}
        super().__init__(
            database_url,
            broker_url or redis_url,
            directory,
            redis_url=redis_url,
            role="benchmark",
            environment=environment,
        )
        self._rabbit = Connection(broker_url) if broker_url else None
        if self._rabbit is not None:  # what is sent to a queue that does not exist is refused
            self._rabbit.default_channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        self._bridges: list[Bridge] = []
        self._clients = (f"c{number}" for number in itertools.count(1))
        self._number = itertools.count(1)

    def app(self, **settings: Any) -> Celery:
        """Return a Celery app on this broker, which knows the no-op task."""
        app = Celery("benchmark", broker=self.broker_url, set_as_current=False)
        app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, **settings)
        app.task(noop, name=TASK, shared=False)
        return app

    def bridge(self, **settings: Any) -> Bridge:
        """Return a bridge in this process; its ticks return as soon as everything is handed over."""
        given = {"bridge_database_url": self.database_url, "bridge_linger_seconds": 0, **settings}
        self._bridges.append(Bridge(self.app(**given)))
        return self._bridges[-1]

    def start_worker(
        self, app: str, *, queue: str, concurrency: int = 2, pool: str = "prefork", **environment: str
    ) -> Process:
        """Start a Celery worker; does not wait for it."""
        name = f"{app}-{next(self._number)}"
        command = worker_command(
            app, node=name, queues=[queue], concurrency=concurrency, pool=pool, options=WORKER_OPTIONS
        )
        return self.processes.start(name, command, environment=environment)

    def start_python(self, *args: str, name: str = "", **environment: str) -> Process:
        """Start `python -m ARGS`; does not wait for it."""
        name = f"{name or args[0]}-{next(self._number)}"
        return self.processes.start(name, [sys.executable, "-m", *args], environment=environment)

    def client(self, *, start: int = -1, id: str = "", **given: Any) -> str:
        """Register a client whose cursor stands at `start`; return its id."""
        given = {"task": TASK, "queue": QUEUE, **given}
        return self.register(id or next(self._clients), start=Position(offset=start), **given)

    def forget(self, *clients: str) -> None:
        """Remove clients with all that is theirs, also in the broker, and leave no dead rows to the next figure."""
        self.eyes.execute("DELETE FROM fq.clients WHERE id = ANY (%s)", (list(clients),))
        self.eyes.execute("VACUUM fq.deliveries, fq.clients, fq.lanes")
        self.empty_broker()

    def waiting(self) -> int:
        """Return how many messages wait in the fleet's queue."""
        if self._rabbit is None:
            length: Any = self.redis.llen(QUEUE)
            return int(length)
        return int(self._rabbit.default_channel.queue_declare(QUEUE, passive=True).message_count)

    def empty_broker(self) -> None:
        """Drop all messages; a RabbitMQ keeps the bridge's mark."""
        self.redis.flushall()
        if self._rabbit is not None:
            for queue in (QUEUE, "bridge", "bridge.ticks"):
                with self._rabbit.channel() as channel, suppress(NotFound):
                    channel.queue_purge(queue)

    def has_reached(self, client: str, upto: int) -> bool:
        """Tell whether a client's cursor stands at this offset or beyond."""
        return bool(self.ask('SELECT "offset" >= %s FROM fq.clients WHERE id = %s', upto, client))

    def is_lingering(self) -> bool:
        """Tell whether a pump waits for events."""
        return bool(self.ask("SELECT EXISTS (SELECT FROM fq.turns WHERE name = 'linger')"))

    def close(self) -> None:
        """Stop the processes and close all connections, also those of the bridges in this process."""
        for bridge in self._bridges:
            opened = vars(bridge)  # a cached property is there once it was used
            for name in ("sender", "store"):
                if name in opened:
                    opened[name].close()
        if self._rabbit is not None:
            self._rabbit.release()
        super().close()


class Servers:
    """An embedded Postgres and an embedded Redis.

    Args:
        postgres_url: The superuser's.
        redis_url: Ours alone.
        directory: For logs.
        broker_url: Returns the URL of an empty virtual host of a RabbitMQ; None where the Redis is the broker.
    """

    def __init__(
        self, postgres_url: str, redis_url: str, directory: Path, *, broker_url: Callable[[], str] | None = None
    ) -> None:
        self.postgres_url, self.redis_url, self.directory = postgres_url, redis_url, directory
        self._broker_url = broker_url
        self._number = itertools.count(1)
        self._logs: dict[int, str] = {}

    @contextmanager
    def bench(self) -> Iterator[Bench]:
        """Make a bench with an empty log, and drop its database afterwards."""
        name = self._create()
        try:
            with self._enter(name) as bench:
                yield bench
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def bench_with_log(self, rows: int) -> Iterator[Bench]:
        """Return a bench with a log of so many events.

        The first figure that asks fills the log, later ones share it. Clients are removed afterwards.
        """
        if rows not in self._logs:
            name = self._create()
            with self._enter(name) as bench:
                fill(bench.eyes, rows)
            self._logs[rows] = name
        with self._enter(self._logs[rows]) as bench:
            try:
                yield bench
            finally:
                bench.eyes.execute("DELETE FROM fq.clients")
                bench.eyes.execute("VACUUM fq.deliveries, fq.clients, fq.lanes")

    def settings(self) -> dict[str, str]:
        """Return those settings of Postgres that decide about speed."""
        names = ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "jit"]
        with psycopg.connect(self.postgres_url) as connection:
            query = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
            return dict(connection.execute(query, (names,)).fetchall())

    def version(self) -> str:
        """Return the version of Postgres."""
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
    def _enter(self, name: str) -> Iterator[Bench]:
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()
        broker_url = self._broker_url() if self._broker_url else ""
        bench = Bench(self._url(name), self.redis_url, self.directory, broker_url=broker_url)
        try:
            yield bench
        finally:
            bench.close()

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))

    def _execute(self, statement: Any, name: str) -> None:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextmanager
def servers(directory: Path, *, broker: str = "redis") -> Iterator[Servers]:
    """Run a Postgres and a Redis for all figures of a run; if asked, a RabbitMQ as well."""
    with (
        run_postgres(directory, settings=POSTGRES) as postgres_url,
        run_redis(directory) as redis_url,
        rabbitmq(directory) if broker == "rabbitmq" else nullcontext() as broker_url,
    ):
        yield Servers(postgres_url, redis_url, directory, broker_url=broker_url)


def rabbitmq(directory: Path) -> AbstractContextManager[Callable[[], str]]:
    """Run a RabbitMQ, and yield what makes an empty virtual host and returns its URL."""
    from tests.support import rabbit  # it needs the packages of the tests

    return rabbit.rabbitmq(directory)
