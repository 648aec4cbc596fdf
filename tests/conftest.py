"""Fixtures: one server of each kind for the session; a database, a broker and workers for each test.

`tests/README.md` says which fixture is for what.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from bridge.demo.servers import postgres_versions, run_postgres
from bridge.store import Store
from tests.support import pgbouncer, prometheus, rabbit, servers
from tests.support.databases import Databases, RedisDatabases
from tests.support.workers import Worker, start_worker
from tests.support.world import World

LOG_CHARACTERS = 6000
CHOICES = pytest.StashKey[tuple[servers.Choice, servers.Choice]]()
WORKERS = pytest.StashKey[list[Worker]]()
OLDEST_POSTGRES = 14


class Connect(Protocol):
    """Open a psycopg connection to the test's database, or to `url`; autocommit unless told otherwise."""

    def __call__(
        self, url: str | None = None, *, autocommit: bool = True, **options: Any
    ) -> psycopg.Connection[Any]: ...


class StartWorker(Protocol):
    """Start a worker in the background and wait until it consumes."""

    def __call__(
        self,
        app: str,
        *,
        directory: Path,
        env: Mapping[str, str] = ...,
        queues: Sequence[str] = ...,
        pool: str = ...,
        concurrency: int = ...,
        python: str | Path = ...,
        beat: bool = ...,
        name: str | None = ...,
        wait: bool = ...,
    ) -> Worker: ...


def _choices(config: pytest.Config) -> tuple[servers.Choice, servers.Choice]:
    if CHOICES not in config.stash:
        config.stash[CHOICES] = servers.choose_postgres(), servers.choose_redis()
    return config.stash[CHOICES]


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.option.collectonly:
        return []
    postgres, redis = _choices(config)
    return [
        f"Postgres: {postgres.description}",
        f"Redis: {redis.description}",
        f"RabbitMQ: {rabbit.installed()}",
        f"PgBouncer: {pgbouncer.installed()}",
        f"Prometheus: {prometheus.installed()}",
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for worker in item.stash.get(WORKERS, []):
            report.sections.append((f"log of worker {worker.name}", worker.log[-LOG_CHARACTERS:]))
    return report


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the person who runs the tests away from them."""
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "CELERY_")) and "_TEST_" not in name]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the superuser's URL of the Postgres that all tests share."""
    with _choices(request.config)[0].start(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def _databases(postgres_url: str) -> Iterator[Databases]:
    databases = Databases(postgres_url)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def template(_databases: Databases) -> str:
    """Return the name of a migrated database that takes no connections: clone it."""
    return _databases.template()


@pytest.fixture
def database(_databases: Databases, template: str) -> Iterator[str]:
    """Return the URL of a migrated database of this test's own."""
    with _databases.clone() as url:
        yield url


@pytest.fixture
def empty_database(_databases: Databases) -> Iterator[str]:
    """Return the URL of a database of this test's own in which nothing has been migrated."""
    with _databases.empty() as url:
        yield url


@pytest.fixture(
    scope="session",
    params=[version for version in postgres_versions() if version >= OLDEST_POSTGRES] or [0],
)
def _every_databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    servers.need_postgres_programs()
    with run_postgres(tmp_path_factory.mktemp("postgres"), version=request.param) as url:
        databases = Databases(url)
        yield databases
        databases.close()


@pytest.fixture
def every_database(_every_databases: Databases) -> Iterator[str]:
    """Run the test once on every version of Postgres at hand; otherwise like `database`."""
    with _every_databases.clone() as url:
        yield url


@pytest.fixture(scope="session")
def _redis_databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisDatabases]:
    with _choices(request.config)[1].start(tmp_path_factory.mktemp("redis")) as url:
        yield RedisDatabases(url)


@pytest.fixture
def redis_url(_redis_databases: RedisDatabases) -> Iterator[str]:
    """Return the URL of an empty Redis database that the tests just before have not used."""
    with _redis_databases.empty() as url:
        yield url


@pytest.fixture(scope="session")
def _rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    with rabbit.rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as next_host:
        yield next_host


@pytest.fixture
def amqp_url(_rabbitmq: Callable[[], str]) -> str:
    """Return the URL of an empty virtual host of a RabbitMQ."""
    return _rabbitmq()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Return a factory of psycopg connections, which are closed after the test."""
    with ExitStack() as stack:

        def connect(url: str | None = None, *, autocommit: bool = True, **options: Any) -> psycopg.Connection[Any]:
            target = url or request.getfixturevalue("database")
            connection = psycopg.connect(target, autocommit=autocommit, **options)
            stack.callback(connection.close)
            return connection

        yield connect


@pytest.fixture
def world(database: str, connect: Connect) -> Iterator[World]:
    """Return a log whose passes and outcomes the test drives itself."""
    store = Store(database)
    yield World(store, connect())
    store.close()


@pytest.fixture
def worker(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Return a factory of Celery workers in processes of their own.

    They are killed after the test: a warm shutdown takes seconds, and is a test of its own.
    """
    started: list[Worker] = []
    request.node.stash[WORKERS] = started

    def start(
        app: str,
        *,
        directory: Path,
        env: Mapping[str, str] = {},
        queues: Sequence[str] = ("celery",),
        pool: str = "prefork",
        concurrency: int = 2,
        python: str | Path = sys.executable,
        beat: bool = False,
        name: str | None = None,
        wait: bool = True,
    ) -> Worker:
        name = name or f"worker{len(started) + 1}"
        it = start_worker(
            app,
            name=name,
            directory=directory,
            log_path=tmp_path / f"{name}.log",
            env={"CELERY_BROKER_URL": redis_url, **env},
            queues=queues,
            pool=pool,
            concurrency=concurrency,
            python=python,
            beat=beat,
        )
        started.append(it)
        if wait:
            it.wait_until_ready()
        return it

    yield start
    for it in started:
        it.kill()
