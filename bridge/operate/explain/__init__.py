"""Say in plain words why a client stands where it stands. Pure: facts in, causes out, what matters most first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.operate.explain import client, database, deliveries, log, lost, marks, processes
from bridge.operate.explain.cause import Cause, Severity
from bridge.store.facts import ClientFacts

if TYPE_CHECKING:
    from bridge.operate.workers import WorkersSeen


__all__ = ["Cause", "Severity", "explain"]

STOPS_THE_PUMP = ("read-only", "standby", "rewound", *marks.STOPS, "locked", "broker-away")


def explain(
    facts: ClientFacts, seen: WorkersSeen | None = None, *, bridge_queue: str = "bridge", lingers: bool = True
) -> list[Cause]:
    """Say why a client stands where it stands.

    Args:
        facts: What the database knows.
        seen: What the broker and its workers say; None if they were not asked.
        bridge_queue: The queue of the bridge's own tasks, which is its name.
        lingers: Whether pumps linger, and so leave a trace even when there is nothing to do.

    Returns:
        At least one cause, the one that matters most first.
    """
    if facts.task is None:
        return [*log.explain_rewind(facts), *log.explain_horizon(facts), client.explain_reader(facts)]
    # What stops the pump comes before the pump, which would be blamed for it.
    causes = [
        *database.explain_read_only(facts),
        *database.explain_standby(facts.standby),
        *log.explain_rewind(facts),
        *marks.explain_marks(facts),
        *client.explain_locked(facts),
        *database.explain_locks(facts),
        *client.explain_state(facts),
        *client.explain_bridge(facts, bridge_queue),
        *processes.explain_broker(facts, seen),
    ]
    stopped = any(cause.kind in STOPS_THE_PUMP for cause in causes)
    causes += [
        *(() if stopped else processes.explain_pump(facts, seen, lingers=lingers)),
        *client.explain_trouble(facts),
        *(processes.explain_workers(facts, seen, bridge_queue) if seen and not seen.trouble else ()),
        *(processes.explain_unreadable(seen, bridge_queue) if seen else ()),
        *lost.explain_ignorant(facts, seen),
        *lost.explain_without_bridge(facts, seen),
        *lost.explain_lost(facts, seen),
        *log.explain_horizon(facts),
        *log.explain_scheduled(facts),
        *deliveries.explain_window(facts),
        *client.explain_rate(facts),
        *deliveries.explain_keys(facts),
        *deliveries.explain_retries(facts),
        *client.explain_requests(facts),
        *client.explain_parked(facts),
        *lost.explain_topics(facts),
        *database.explain_clocks(facts),
    ]
    return [
        *causes,
        *client.explain_ordinary(facts, quiet=all(cause.kind in ("other-bridge", "unmatched") for cause in causes)),
    ]
