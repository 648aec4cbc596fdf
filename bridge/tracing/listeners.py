"""Tell listeners of Celery's publish signals that only add trace headers from all others.

`opentelemetry-instrumentation-celery` puts the current context into the headers of each message that is published.
Where the bridge hands events over, that is the pump's. The stencil puts each event's own context there, which is what
the headers are for, so these listeners need not be called for each message.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import ReferenceType

from bridge.settings.headers import CELERYS, OTHER_TRACE_NAMES
from bridge.tracing.context import MOST_CHARACTERS, OPENTELEMETRY
from bridge.wording import said

logger = logging.getLogger("bridge")

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


def only_trace(headers: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    """Return a message's headers with those of its event, and no trace context that a listener has put there."""
    names = OTHER_TRACE_NAMES.union(MOST_CHARACTERS, _written())
    return {name: value for name, value in headers.items() if name not in names} | dict(own)


def _written() -> Iterable[str]:
    """Return the headers that the process' propagators write, whatever they are called."""
    if OPENTELEMETRY not in sys.modules:
        return ()
    try:
        from opentelemetry.propagate import get_global_textmap

        return frozenset(get_global_textmap().fields) - CELERYS
    except Exception as error:  # a propagator of the host's own may raise anything
        logger.debug("what the propagators write can't be told: %s", said(error))
        return ()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Let the spans that begin within be part of a trace that nobody keeps: what is published is only a pattern."""
    with _current(_nowhere), _as_pattern():
        yield


@contextmanager
def continued(trace: Mapping[str, str]) -> Iterator[None]:
    """Make an event's trace context the current one, so that a listener of Celery's signals goes on with it."""
    if not trace or _is_pattern.get():
        yield
        return
    with _current(lambda: _extracted(trace)):
        yield


def _nowhere() -> Any:
    from opentelemetry import context, trace

    nowhere = trace.SpanContext(trace_id=1, span_id=1, is_remote=True)
    return trace.set_span_in_context(trace.NonRecordingSpan(nowhere), context.Context())


def _extracted(trace: Mapping[str, str]) -> Any:
    from opentelemetry.propagate import extract

    return extract(trace)


@contextmanager
def _as_pattern() -> Iterator[None]:
    token = _is_pattern.set(True)
    try:
        yield
    finally:
        _is_pattern.reset(token)


@contextmanager
def _current(make: Callable[[], Any]) -> Iterator[None]:
    """Make a context of OpenTelemetry's the current one; where a tracer fails, nothing is, and messages go out."""
    token = None
    if OPENTELEMETRY in sys.modules:
        try:
            from opentelemetry import context

            token = context.attach(make())
        except Exception as error:  # `OTEL_PROPAGATORS` may name one that is not installed
            logger.debug("a trace can't be continued: %s", said(error))
    try:
        yield
    finally:
        if token is not None:
            context.detach(token)
