"""All figures; each has a module of its own that says what it measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.bench import Servers
from benchmarks.figures import (
    bloat,
    end_to_end,
    hot_key,
    idle,
    latency,
    memory,
    publishing,
    pump,
    scale,
    settle,
    side_by_side,
    writers,
)
from benchmarks.result import Figure
from benchmarks.sizes import Sizes

FIGURES: Mapping[str, Callable[[Servers, Sizes], Figure]] = {
    "pump": pump.measure,
    "settle": settle.measure,
    "end-to-end": end_to_end.measure,
    "publishing": publishing.measure,
    "writers": writers.measure,
    "scale": scale.measure,
    "memory": memory.measure,
    "latency": latency.measure,
    "idle": idle.measure,
    "hot-key": hot_key.measure,
    "side-by-side": side_by_side.measure,
    "bloat": bloat.measure,
}
