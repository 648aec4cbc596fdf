"""Stages for tests of the whole loop: real workers between a database and a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from tests.conftest import WORKERS, StartWorker
from tests.support.databases import Databases, RedisDatabases
from tests.support.stage import Stage
from tests.support.world import World
from tests.whole.shop import Shop


@pytest.fixture
def stage(request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Return a stage of this test's own; nothing runs on it yet."""
    it = Stage(database, redis_url, tmp_path)
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def stage_without_fleet(
    request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path
) -> Iterator[Stage]:
    """Return a stage on either broker; the fleet's queue is there, and nobody consumes it."""
    broker_url = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else redis_url
    with Connection(broker_url) as broker, broker.channel() as channel:
        channel.queue_declare("fleet", durable=True, auto_delete=False)
    it = Stage(database, redis_url, tmp_path, broker_url=broker_url)
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()


@pytest.fixture(scope="module")
def _loop(
    _databases: Databases, _redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with _redis_databases.empty() as redis_url, _databases.clone() as database:
        it = Stage(database, redis_url, tmp_path_factory.mktemp("loop"))
        try:
            it.bridge(wait=False)
            it.fleet(concurrency=6)
            it.workers[0].wait_until_ready()
            yield it
        finally:
            it.close()


@pytest.fixture
def loop(request: pytest.FixtureRequest, _loop: Stage) -> Stage:
    """Return a stage where a bridge and a fleet run.

    The tests of a module share it. They disturb neither, and their clients are their own.
    """
    request.node.stash[WORKERS] = _loop.workers
    return _loop


@pytest.fixture
def shop(
    *, request: pytest.FixtureRequest, world: World, database: str, redis_url: str, worker: StartWorker, broker: str
) -> Shop:
    """Return a shop on the broker that the test's parameter `broker` names; nothing runs on it yet."""
    broker_url = request.getfixturevalue(f"{broker}_url")
    return Shop(world=world, database=database, notebook_url=redis_url, broker_url=broker_url, start=worker)
