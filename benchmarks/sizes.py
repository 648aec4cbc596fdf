"""Sizes of every benchmark: enough for figures that hold, little enough to try, or next to nothing for a test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of events, rows and seconds; `rounds` is how often contenders take turns.

    Attributes:
        pump: Events of one round of the pump.
        slow: Events of one round of what handles one event at a time.
        tasks: Tasks of one round from end to end.
        batched: Events of one round from end to end in batches.
        log: Rows of the big log.
        backlog: Events behind a client in the memory figure.
        drained: How many of them are drained.
        large: Events of a megabyte.
        latencies: Events whose latency is measured.
        idle_seconds: How long CPU time is counted.
        clients: Caught-up clients; ten times as many of which few are active.
        writer_seconds: How long writers write in one round.
        hot: Events without the hot key, and as many with it.
        deliveries: Deliveries of the bloat figure.
        snapshot_seconds: Longest that an old snapshot is held.
    """

    rounds: int
    pump: int
    slow: int
    tasks: int
    batched: int
    log: int
    backlog: int
    drained: int
    large: int
    latencies: int
    idle_seconds: float
    clients: int
    writer_seconds: int
    hot: int
    deliveries: int
    snapshot_seconds: float


FULL = Sizes(
    rounds=5,
    pump=40_000,
    slow=3_000,
    tasks=10_000,
    batched=100_000,
    log=10_000_000,
    backlog=5_000_000,
    drained=500_000,
    large=1_000,
    latencies=400,
    idle_seconds=20,
    clients=100,
    writer_seconds=8,
    hot=4_000,
    deliveries=8_000_000,
    snapshot_seconds=150,
)
QUICK = Sizes(
    rounds=3,
    pump=20_000,
    slow=1_000,
    tasks=2_000,
    batched=20_000,
    log=200_000,
    backlog=150_000,
    drained=50_000,
    large=200,
    latencies=100,
    idle_seconds=5,
    clients=100,
    writer_seconds=3,
    hot=1_000,
    deliveries=100_000,
    snapshot_seconds=15,
)
TINY = Sizes(
    rounds=1,
    pump=200,
    slow=20,
    tasks=50,
    batched=200,
    log=20_000,
    backlog=9_000,
    drained=1_000,
    large=20,
    latencies=5,
    idle_seconds=0.5,
    clients=3,
    writer_seconds=1,
    hot=20,
    deliveries=2_000,
    snapshot_seconds=1,
)
BY_NAME = {"full": FULL, "quick": QUICK, "tiny": TINY}
