"""A test's own connection, in a transaction that is rolled back, and an app whose handlers note their calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import bridge
from bridge import declare
from bridge.testing import Recording
from tests.support.databases import Databases
from tests.testing.shop import Shop


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(declare, "_declared", {})
    return Shop()


@pytest.fixture(scope="module")
def database(_databases: Databases) -> Iterator[str]:
    """One for all tests of the module: they roll back."""
    with _databases.clone() as url:
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def recording(connection: psycopg.Connection[Any], shop: Shop) -> Recording:
    bridge.publish(connection, "order.before", {})
    return Recording(connection, shop.app)
