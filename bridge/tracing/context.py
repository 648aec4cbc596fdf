"""The trace context of this moment, as headers: an event takes it along, and so does a callback.

It is what the propagators of the process write: W3C's by default (`traceparent`, `tracestate`, `baggage`), or others,
such as B3. Sentry's comes beside it (`sentry-trace`, and what Sentry adds to `baggage`), and Datadog's. A process that
has imported none of them pays for three look-ups.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import Any

from bridge.bounds import BAGGAGE_CHARACTERS, HEADERS_BYTES, TRACE_CHARACTERS, TRACE_HEADERS
from bridge.event import NewEvent
from bridge.settings.headers import NAME, OTHER_TRACE_NAMES, OTHER_TRACES, is_free
from bridge.wording import said

logger = logging.getLogger("bridge")

# Modules that are looked for, and not imported.
OPENTELEMETRY, SENTRY, DATADOG = "opentelemetry.context", "sentry_sdk", "ddtrace"
TRACEPARENT, TRACESTATE, BAGGAGE, SENTRY_TRACE = "traceparent", "tracestate", "baggage", "sentry-trace"
DATADOG_TRACE = "x-datadog-trace-id"
MOST_CHARACTERS = {  # of the trace headers, in the order in which the database returns them
    TRACEPARENT: TRACE_CHARACTERS,
    TRACESTATE: TRACE_CHARACTERS,
    BAGGAGE: BAGGAGE_CHARACTERS,
    SENTRY_TRACE: TRACE_CHARACTERS,
}
TOGETHER = (
    (TRACEPARENT, TRACESTATE),
    (SENTRY_TRACE,),
    (BAGGAGE,),
    *OTHER_TRACES,
)  # a caller who gives one of these gives all of them
NOTHING: Mapping[str, str] = {}


def with_trace(headers: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return an event's headers with the current trace context beside what the caller gave, which stays as it is."""
    merged: Mapping[str, Any] | None = _merged(headers, current_trace())
    return merged


def with_trace_each(events: Iterable[Any]) -> Iterable[Any]:
    """Return many events, of which each has the current trace context in its headers; other values stay as they are."""
    found = current_trace()
    return (_with(event, found) for event in events) if found else events


def current_trace() -> Mapping[str, str]:
    """Return the headers of the current trace context; none where nothing is traced. It never raises."""
    if OPENTELEMETRY not in sys.modules and SENTRY not in sys.modules and DATADOG not in sys.modules:
        return NOTHING
    try:
        found = _of_opentelemetry()
        _add_sentry_s(found)
        _add_datadog_s(found)
        if not found:
            return NOTHING
    except Exception as error:  # a propagator of the host's own may raise anything: the event is published without
        logger.debug("the trace context can't be read: %s", said(error))
        return NOTHING
    known = {name: found[name] for name, most in MOST_CHARACTERS.items() if _fits(found.get(name), most)}
    others = (
        (name, text)
        for name, text in found.items()
        if name not in MOST_CHARACTERS and _is_name(name) and _fits(text, TRACE_CHARACTERS)
    )
    return known | dict(islice(others, TRACE_HEADERS))


def trace_of_task(request: Any) -> str | None:
    """Return the `traceparent` of a task that runs here, of its own span if it has one; else the one that it came with.

    Args:
        request: The task's, of which Celery makes each header an attribute.
    """
    current = current_trace().get(TRACEPARENT) if OPENTELEMETRY in sys.modules else None
    given = current or getattr(request, TRACEPARENT, None)
    return given if _fits(given, TRACE_CHARACTERS) else None


def trace_headers(found: Sequence[str | None]) -> Mapping[str, str]:
    """Return the trace context of an event as headers of its message; what can't be one is left out.

    It comes from outside: SQL may have put anything there.

    Args:
        found: The values of the event's headers, in the order of `MOST_CHARACTERS`; None where there is none.
    """
    headers = {
        name: text
        for (name, most), text in zip(MOST_CHARACTERS.items(), found, strict=True)
        if text is not None and _fits(text, most)
    }
    if TRACEPARENT not in headers:
        headers.pop(TRACESTATE, None)
    return headers


def other_headers(found: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the headers of other tracers than W3C's and Sentry's likewise.

    Args:
        found: As the database has found them in an event's headers; None where there is none.
    """
    return {name: text for name, text in found.items() if _fits(text, TRACE_CHARACTERS)} if found else NOTHING


def _of_opentelemetry() -> dict[str, str]:
    context: Any = sys.modules.get(OPENTELEMETRY)
    if context is None or not context.get_current():  # redis-py imports it, too: by itself it means nothing
        return {}
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier


def _add_sentry_s(found: dict[str, str]) -> None:
    """Add Sentry's context, unless its own OpenTelemetry propagator has done so."""
    sentry: Any = sys.modules.get(SENTRY)
    if sentry is None or SENTRY_TRACE in found or not sentry.get_client().is_active():
        return
    if context := sentry.get_traceparent():
        found[SENTRY_TRACE] = context
        found[BAGGAGE] = ",".join(filter(None, (found.get(BAGGAGE), sentry.get_baggage())))


def _add_datadog_s(found: dict[str, str]) -> None:
    """Add Datadog's context, in the styles that its tracer is set to; W3C's only where nobody else has written it."""
    if DATADOG not in sys.modules:
        return
    try:
        module = import_module(f"{DATADOG}.trace")
    except ImportError:  # before ddtrace 3
        module = sys.modules[DATADOG]
    context = module.tracer.current_trace_context()
    if context is None or context.trace_id is None:
        return
    carrier: dict[str, str] = {}
    import_module(f"{DATADOG}.propagation.http").HTTPPropagator.inject(context, carrier)
    if TRACEPARENT in found:
        carrier = {name: text for name, text in carrier.items() if name not in (TRACEPARENT, TRACESTATE)}
    found |= {name: text for name, text in carrier.items() if name not in found}


def _is_name(name: object) -> bool:
    """Tell whether a propagator may call a header so."""
    return isinstance(name, str) and (name in OTHER_TRACE_NAMES or (bool(NAME.fullmatch(name)) and is_free(name)))


def _fits(text: object, most: int) -> bool:
    """Tell whether this can be a header everywhere; all that propagators write can."""
    return isinstance(text, str) and 0 < len(text) <= most and text.isascii() and text.isprintable()


def _with(event: Any, found: Mapping[str, str]) -> Any:
    """Return an event, also one that is a tuple; what is neither is refused by whoever encodes it."""
    if isinstance(event, NewEvent):
        return event._replace(headers=_merged(event.headers, found))
    if isinstance(event, tuple) and 2 <= len(event) <= len(NewEvent._fields):
        headers = _merged(event[3] if len(event) > 3 else None, found)
        return (*event[:2], *(event[2:3] or (None,)), headers, *event[4:])
    return event


def _merged(given: Any, found: Mapping[str, str]) -> Any:
    if not found:
        return given
    if not given:
        return {**found} if given is None or isinstance(given, Mapping) else given
    if not isinstance(given, Mapping):
        return given
    left_out = {name for group in TOGETHER if any(name in given for name in group) for name in group}
    added = {name: text for name, text in found.items() if name not in left_out}
    return {**added, **given} if added and _has_room(given, added) else given


def _has_room(given: Mapping[str, Any], added: Mapping[str, str]) -> bool:
    """Tell whether headers stay clearly below their limit; those that are no JSON are refused with their own error.

    What becomes JSON later, such as a UUID, is about as long as its text is here.
    """
    try:
        return len(json.dumps(given, default=str)) + len(json.dumps(added)) < HEADERS_BYTES // 2
    except Exception:  # the text of a value of the host's own may raise anything
        return False
