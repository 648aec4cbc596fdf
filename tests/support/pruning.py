"""A log whose old events a test removes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support.world import World

OLD = timedelta(days=40)


def age(world: World, *offsets: int, by: timedelta = OLD) -> None:
    """Let events be older than they are; all of them, if none are named."""
    world.eyes.execute("ALTER TABLE fq.events DISABLE TRIGGER USER")
    world.eyes.execute("ALTER TABLE fq.events DROP CONSTRAINT IF EXISTS events_offset")
    older = 'UPDATE fq.events SET created_at = created_at - %s WHERE "offset" = ANY (%s) OR %s'
    world.eyes.execute(older, (by, list(offsets), not offsets))
    world.eyes.execute("ALTER TABLE fq.events ENABLE TRIGGER USER")


def days_ago(days: float) -> datetime:
    """Return a moment in the past."""
    return datetime.now(UTC) - timedelta(days=days)


def left(world: World) -> list[int]:
    """Return the offsets that are still in the log."""
    return [int(offset) for offset in world.rows("events")]
