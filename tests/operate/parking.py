"""Parked events in a test's world."""

from __future__ import annotations

from typing import Any

from bridge.model import Delivery, Failure
from bridge.operate.parked import redrive
from bridge.settle.settle import Settled, settle
from bridge.store.parked import Selection
from tests.support.world import World, outcome

BY = "me@here"


def park(world: World, *keys: str | None, error_types: tuple[str, ...] = (), **settings: Any) -> None:
    """Make a client that has parked an event of each of these keys."""
    world.client(**{"max_attempts": 1} | settings)
    before = len(world.rows("parked"))
    world.publish(*keys)
    while deliveries := world.hand_over():
        for delivery in deliveries:
            types = error_types or ("ValueError",)
            fail(world, delivery, types[(delivery.offset - 1) % len(types)])
    assert len(world.rows("parked")) == before + len(keys)


def fail(world: World, delivery: Delivery, type: str) -> Settled:
    """Report this attempt as a failure of this type."""
    return settle(world.store, [outcome(delivery, failure=Failure(type=type, message="no"))])


def redriven(world: World, **selection: Any) -> list[int]:
    """Redrive the parked events that fit; their offsets."""
    return redrive(world.store, "c", Selection(**selection), by=BY)


def journal_of(world: World) -> list[tuple[Any, ...]]:
    """Return the journal, the oldest entry first."""
    return world.eyes.execute(
        "SELECT action, details FROM fq.journal WHERE action NOT IN ('register', 'change') ORDER BY id"
    ).fetchall()
