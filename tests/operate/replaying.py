"""Replays in a test's world."""

from __future__ import annotations

from typing import Any

from bridge.model import Position
from bridge.operate.replay import Replay, replay
from tests.support.world import World


def start_replay(world: World, start: str, end: str, *, client: str = "c", **options: Any) -> Replay:
    """Start a replay that is as fast as it can be unless told otherwise."""
    given: dict[str, Any] = {"per_second": 1e6, "by": "me@here"} | options
    return replay(world.store, client, start=Position.parse(start), end=Position.parse(end), **given)


def finished(world: World, *keys: str | None, **settings: Any) -> None:
    """Make a client that has finished an event of each of these keys."""
    world.client(**settings)
    world.publish(*keys)
    while deliveries := world.hand_over():
        world.succeed(*deliveries)


def replays(world: World) -> list[tuple[Any, ...]]:
    """Return where each replay stands: next, upto, sent."""
    return world.eyes.execute("SELECT next, upto, sent FROM fq.replays ORDER BY id").fetchall()


def later(world: World, *, seconds: int) -> None:
    """Let the replays have started this much earlier."""
    world.eyes.execute("UPDATE fq.replays SET started_at = started_at - make_interval(secs => %s)", [seconds])
