"""How property tests run: the same examples each time, however long one takes on a machine under load."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

EXAMPLES = settings(
    deadline=None, derandomize=True, database=None, max_examples=100, suppress_health_check=list(HealthCheck)
)
FEW_EXAMPLES = settings(EXAMPLES, max_examples=30)
