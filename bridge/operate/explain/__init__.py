"""Why a client stands where it stands, in plain words. Pure: facts in, causes out, what matters most first."""

from __future__ import annotations

from bridge.operate.explain import client, deliveries, log, processes
from bridge.operate.explain.cause import Cause
from bridge.operate.workers import Workers
from bridge.store.facts import Facts

__all__ = ["Cause", "explain"]


def explain(
    facts: Facts, fleet: Workers | None = None, *, bridge_queue: str = "bridge", lingers: bool = True
) -> list[Cause]:
    """Say why a client stands where it stands.

    Args:
        facts: What the database knows.
        fleet: What the broker says; None if it was not asked.
        bridge_queue: The queue of the bridge's own tasks.
        lingers: Whether pumps linger, and so leave a trace even when there is nothing to do.

    Returns:
        At least one cause, what matters most first.
    """
    if facts.task is None:
        return [*log.rewound(facts), *log.horizon(facts), client.reader(facts)]
    causes = [
        *log.rewound(facts),
        *client.state(facts),
        *processes.pump(facts, lingers=lingers),
        *client.trouble(facts),
        *(processes.fleet(facts, fleet, bridge_queue) if fleet else ()),
        *log.horizon(facts),
        *deliveries.window(facts),
        *deliveries.keys(facts),
        *deliveries.retries(facts),
        *client.asked(facts),
        *client.parked(facts),
    ]
    return [*causes, *client.ordinary(facts, quiet=not causes)]
