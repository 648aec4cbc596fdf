"""A session of the bridge keeps the memory that its statements use (G5)."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from sqlalchemy import text

from bridge.store import Store
from tests.support.world import World

EVENTS = 6000
MOST_FAULTS_AN_EVENT = 0.1  # it is 0.06; 0.25 where memory goes back after each slice


def faults(store: Store) -> int:
    """How many pages of memory the session's process has asked the system for."""
    with store.reading() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_a_pass_does_not_ask_the_system_for_its_memory_again(world: World) -> None:
    world.client(window=10 * EVENTS)
    counted = []
    for turn in range(4):
        world.publish(*(f"key-{turn}-{number}" for number in range(EVENTS)))
        before = faults(world.store)
        assert len(world.hand_over(limit=EVENTS)) == EVENTS
        counted.append(faults(world.store) - before)
    assert min(counted) < MOST_FAULTS_AN_EVENT * EVENTS, counted
