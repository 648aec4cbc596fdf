"""Fixtures of the tests of what people do."""

from __future__ import annotations

import pytest

from bridge.store import rounds
from tests.support.world import World


@pytest.fixture
def pumped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a pump linger, as far as its turn says; only the test says which broker there is."""
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.delenv(name, raising=False)
    rounds.take_turn(world.store, holder="pump", seconds=600)
