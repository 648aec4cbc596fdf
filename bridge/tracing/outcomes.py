"""Outcomes get the traces of their events back: these come with the message that reports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge.model import Outcome, task_id_of


def with_traces(outcomes: Sequence[Outcome], trace: Any) -> list[Outcome]:
    """Return outcomes with the trace that each belongs to, as far as their message says so.

    Args:
        outcomes: What one message reports.
        trace: A `traceparent` for all of them, or one for each task by its id. It comes from outside: what is
            neither is left out here, and what is malformed when a span is made of it.
    """
    if isinstance(trace, str):
        return [replace(outcome, trace=trace) for outcome in outcomes]
    if not isinstance(trace, dict):
        return [*outcomes]
    found = [trace.get(task_id_of(outcome)) for outcome in outcomes]
    return [
        replace(outcome, trace=each) if isinstance(each, str) else outcome
        for outcome, each in zip(outcomes, found, strict=True)
    ]
