"""Tell listeners of Celery's publish signals that only add trace headers from all others.

`opentelemetry-instrumentation-celery` puts the current context into the headers of each message that is published.
Where the bridge hands events over, that is the pump's. The stencil puts each event's own context there, which is what
the headers are for, so these listeners need not be called for each message.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import ReferenceType

from bridge.tracing.context import MOST_CHARACTERS, OPENTELEMETRY

_is_pattern: ContextVar[bool] = ContextVar("bridge_is_pattern", default=False)  # of what is published at this moment
OF_TRACES_ALONE = ("opentelemetry.instrumentation.celery",)  # the modules of these listeners


def is_heard(signal: Any) -> bool:
    """Tell whether a signal of Celery's has a listener that wants more than trace headers."""
    return any(not _is_of_traces_alone(receiver) for _, receiver in signal.receivers or ())


def _is_of_traces_alone(receiver: Any) -> bool:
    if isinstance(receiver, ReferenceType):
        receiver = receiver()
        if receiver is None:  # it is gone, and will not be called
            return True
    return getattr(receiver, "__module__", "") in OF_TRACES_ALONE


def only_trace(headers: Mapping[str, Any], trace: Mapping[str, str]) -> dict[str, Any]:
    """Return a message's headers with this trace context, and no other that a listener has put there."""
    return {name: value for name, value in headers.items() if name not in MOST_CHARACTERS} | dict(trace)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Let the spans that begin within be part of a trace that nobody keeps: what is published is only a pattern."""
    if OPENTELEMETRY not in sys.modules:
        yield
        return
    from opentelemetry import context, trace

    nowhere = trace.SpanContext(trace_id=1, span_id=1, is_remote=True)
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(nowhere), context.Context()))
    mine = _is_pattern.set(True)
    try:
        yield
    finally:
        _is_pattern.reset(mine)
        context.detach(token)


@contextmanager
def continued(trace: Mapping[str, str]) -> Iterator[None]:
    """Make an event's trace context the current one, so that a listener of Celery's signals goes on with it."""
    if not trace or OPENTELEMETRY not in sys.modules or _is_pattern.get():
        yield
        return
    from opentelemetry import context
    from opentelemetry.propagate import extract

    token = context.attach(extract(trace))
    try:
        yield
    finally:
        context.detach(token)
