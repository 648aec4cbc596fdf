"""What differs between trees: names that an older one has for the same thing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple


class Names(NamedTuple):
    """What differs between trees, as the newest one has it."""

    servers: Any
    with_log: str
    has_reached: str
    empty_broker: Any
    collect: Any
    start_bridge: Any
    limit: str
    report_by: str


def names() -> Names:
    """Return the names that the tree at hand has."""
    settle: Any = import_module("benchmarks.figures.settle")
    running: Any = import_module("benchmarks.running")
    if find_spec("benchmarks.bench") is None:  # up to 23d8f42
        world: Any = import_module("benchmarks.world")
        return Names(
            servers=world.Servers,
            with_log="world_with_log",
            has_reached="is_done",
            empty_broker=lambda bench: bench.redis.flushall(),
            collect=settle.collect,
            start_bridge=running.start_bridge,
            limit="bridge_batch",
            report_by="commit",
        )
    bench: Any = import_module("benchmarks.bench")
    return Names(
        servers=bench.Servers,
        with_log="bench_with_log",
        has_reached="has_reached",
        empty_broker=lambda bench: bench.empty_broker() if hasattr(bench, "empty_broker") else bench.redis.flushall(),
        collect=settle.collect,
        start_bridge=lambda bench, _: running.start_bridge(bench),
        limit="bridge_pass_limit",
        report_by="report_by",
    )
