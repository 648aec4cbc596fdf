"""Settle outcomes that came without the reasons of their failures; the result backend may know these.

Only a fleet that uses the same result backend as the bridge has its reasons told. Successes never wait for them, and
failures wait for less than a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.app import Bridge
from bridge.model import Failure, Outcome, task_id_of
from bridge.settle.apply import Applied, apply
from bridge.settle.ask_backend import asker_of


def settle_with_reasons(bridge: Bridge, outcomes: Sequence[Outcome]) -> Applied:
    """Settle outcomes, failures with their reasons as far as these are known in time.

    Raises:
        Unavailable, SchemaError: some may be settled; settle the same outcomes again, which does no harm.
    """
    failures = [outcome for outcome in outcomes if outcome.failure is not None]
    asker = asker_of(bridge.app) if failures else None
    question = asker.begin(list(dict.fromkeys(map(task_id_of, failures)))) if asker else None
    if asker is None or question is None:
        return apply(bridge.store, outcomes)
    try:
        # Successes first: of the same attempt a success wins over a failure.
        applied = apply(bridge.store, [outcome for outcome in outcomes if outcome.failure is None])
    finally:
        found = asker.end(question)
    applied.add(apply(bridge.store, [replace(it, failure=found.get(task_id_of(it), Failure())) for it in failures]))
    return applied
