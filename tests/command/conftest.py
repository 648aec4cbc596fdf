"""Fixtures of the tests of commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.command.running import ROOT, Run, Start, runner
from tests.conftest import Connect
from tests.support.databases import Databases
from tests.support.world import World


@pytest.fixture(autouse=True)
def _only_the_test_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "CELERY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("bridge.declare._declared", {})


@pytest.fixture
def run(database: str) -> Run:
    return runner(database)


@pytest.fixture
def eyes(connect: Connect) -> psycopg.Connection[Any]:
    return connect()


@pytest.fixture
def start(database: str) -> Iterator[Start]:
    """Start commands in processes of their own, and end those that still run after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *args],
            cwd=ROOT,
            env=os.environ | {"BRIDGE_DATABASE_URL": database, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


@pytest.fixture
def parked(world: World) -> World:
    """Client `c` has parked events 1 to 3, of keys a, b and none."""
    world.client(max_attempts=1)
    world.publish("a", "b", None)
    world.fail(*world.hand_over())
    return world


@pytest.fixture(scope="module")
def untouched(_databases: Databases, template: str) -> Iterator[str]:
    """The URL of a database that many tests share, because none of them may change it."""
    with _databases.clone() as url:
        yield url
