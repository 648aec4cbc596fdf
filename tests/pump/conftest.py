"""A bridge on a broker of this test's own, whose ticks do not linger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from bridge.app import Bridge
from tests.support.world import World


@pytest.fixture
def bridge(world: World, database: str, redis_url: str) -> Iterator[Bridge]:
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=0)
        bridge = Bridge(app)
        yield bridge
        bridge.sender.close()
        bridge.store.close()
