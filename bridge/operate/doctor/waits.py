"""What keeps the bridge waiting: locks of others, and commits that wait for a standby."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.doctor.facts import Facts
from bridge.operate.doctor.finding import MOST_NAMED, Fault
from bridge.operate.explain.database import explain_waits


def find_waits(facts: Facts) -> Iterator[Fault]:
    """Yield each transaction that others wait for, and the standby."""
    for cause in explain_waits(facts.db.waits)[:MOST_NAMED]:
        yield Fault("at-risk", cause.text, cause.do, cause.data)
