"""What the bridge does with events, as OpenTelemetry spans: one for each batch, and one in the trace of each event.

A batch that is sent or settled belongs to many traces, so its span is the root of a trace of its own, with a link to
each event's. A short span in the event's own trace, with the times of its batch, leads back to it. Both are bounded.
Attempts of an event share its context, so a retry is found in the same trace. Nothing here does anything before the
process has a tracer provider; which spans are kept is its sampler's business.

A tracer that is slow, because its exporter waits for a server that hangs, is left alone for a while: events and
outcomes do not wait for it, nor does the client's row, which is locked meanwhile.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from bridge import wording
from bridge.bounds import QUOTED_CHARACTERS, TRACE_CHARACTERS, TRACED_EVENTS, TRACING_PAUSE_SECONDS, TRACING_SECONDS
from bridge.model import Client, Delivery, Outcome, task_id
from bridge.tracing.context import OPENTELEMETRY, TRACEPARENT
from bridge.trouble import Trouble
from bridge.wording import said

logger = logging.getLogger("bridge")

NAME = "celery-event-bridge"
LOG, EVENTS = "celery_event_bridge", "fq.events"  # outcomes are settled there, whatever the broker
SYSTEMS = {"amqp": "rabbitmq", "sqs": "aws_sqs", "gcpubsub": "gcp_pubsub"}  # where kombu and OpenTelemetry differ
CONTEXT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?", re.ASCII)
SAMPLED = 1

_slow = Trouble(logger, what="no spans are made", over="spans are made again")
_clock = time.monotonic
_pause = {"until": 0.0}  # by this clock


class Traced(NamedTuple):
    """An event with a trace that is kept: its context, and what its span is called and says."""

    trace: Mapping[str, str]
    name: str
    attributes: Mapping[str, Any]


class Batch:
    """What is known of a batch when it ends.

    Attributes:
        attributes: More to say of it.
        left_out: Its events that were not sent or settled after all: offsets, or clients and offsets.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.left_out: set[object] = set()


@contextmanager
def sending(client: Client, deliveries: Sequence[Delivery], *, transport: Callable[[], str]) -> Iterator[Batch]:
    """Keep the hand-over of deliveries as spans.

    Args:
        client: Whose they are.
        deliveries: All that is sent.
        transport: Returns kombu's name for the kind of broker.
    """
    batch = Batch()
    tracer = _tracer() if deliveries else None
    if tracer is None:
        yield batch
        return
    system = transport()
    about = {
        "messaging.system": SYSTEMS.get(system, system),
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": client.queue,
        "bridge.client": client.id,
    }

    def traced() -> Iterator[Traced]:
        for it in deliveries:
            if it.trace and it.offset not in batch.left_out and _is_sampled(it.trace.get(TRACEPARENT)):
                mine = {"messaging.message.id": it.task_id, "bridge.offset": it.offset, "bridge.attempt": it.attempt}
                yield Traced(it.trace, f"send {client.queue}", about | mine | {"bridge.topic": it.topic})

    with _Spans(tracer, "PRODUCER", traced).of(f"send {client.queue}", about, number=len(deliveries), batch=batch):
        yield batch


@contextmanager
def settling(outcomes: Sequence[Outcome]) -> Iterator[Batch]:
    """Keep the settling of outcomes as spans."""
    batch = Batch()
    tracer = _tracer() if outcomes else None
    if tracer is None:
        yield batch
        return
    about = {
        "messaging.system": LOG,
        "messaging.operation.name": "settle",
        "messaging.operation.type": "settle",
        "messaging.destination.name": EVENTS,
    }

    def traced() -> Iterator[Traced]:
        for it in outcomes:
            if it.trace and (it.client, it.offset) not in batch.left_out and _is_sampled(it.trace):
                yield Traced({TRACEPARENT: it.trace}, f"settle {it.client}", about | _about_outcome(it))

    with _Spans(tracer, "CLIENT", traced).of("settle", about, number=len(outcomes), batch=batch):
        yield batch


def _about_outcome(outcome: Outcome) -> dict[str, Any]:
    about = {
        "messaging.message.id": task_id(outcome.client, outcome.offset, outcome.epoch, outcome.attempt),
        "messaging.consumer.group.name": outcome.client,
        "bridge.client": outcome.client,
        "bridge.offset": outcome.offset,
        "bridge.attempt": outcome.attempt,
        "bridge.outcome": "failure" if outcome.failure else "success",
    }
    return about | {"error.type": outcome.failure.type or "_OTHER"} if outcome.failure else about


def _tracer() -> Any:
    """Return the process' tracer; None where nobody has set one up. It never raises."""
    if OPENTELEMETRY not in sys.modules or _clock() < _pause["until"]:
        return None
    try:
        from opentelemetry import trace

        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            return None
        return provider.get_tracer(NAME)
    except Exception as error:
        logger.debug("nothing is traced: %s", said(error))
        return None


class _Spans:
    """The spans of one batch; none of its methods lets an error of the tracer through.

    Args:
        tracer: The process' own.
        kind: Of all of its spans, as OpenTelemetry calls it.
        traced: Yields the events that have a trace.
    """

    def __init__(self, tracer: Any, kind: str, traced: Callable[[], Iterator[Traced]]) -> None:
        self._tracer, self._kind, self._traced = tracer, kind, traced
        self._began = time.time_ns()
        self._left_seconds = TRACING_SECONDS

    @contextmanager
    def of(self, name: str, about: Mapping[str, Any], *, number: int, batch: Batch) -> Iterator[None]:
        """Keep what happens within as the span of the batch, and then as a span in the trace of each event."""
        with self._timed():
            links = [it.trace for it in self._first()]
            span = self._start(name, {**about, "messaging.batch.message_count": number}, links=links)
        try:
            yield
        except BaseException as error:
            with self._timed():
                _end(span, error=error)
            raise
        for it in self._first():
            with self._timed():
                _end(self._start(it.name, it.attributes, within=it.trace, beside=span))
            if self._left_seconds < 0:
                return
        with self._timed():
            _end(span, batch.attributes)
        if self._left_seconds > 0:
            _slow.back()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Take what the tracer takes from its time; where none is left, there are no spans for a while."""
        began = _clock()
        try:
            yield
        finally:
            self._left_seconds -= _clock() - began
            if self._left_seconds < 0:
                _pause["until"] = _clock() + TRACING_PAUSE_SECONDS
                taken = wording.span(TRACING_SECONDS - self._left_seconds)
                _slow.went(
                    f"the tracer of this process took {taken} for those of one batch: is its exporter's server there? "
                    "Take a BatchSpanProcessor, which exports in a thread"
                )

    def _first(self) -> list[Traced]:
        return list(islice(self._traced(), TRACED_EVENTS))

    def _start(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        links: Sequence[Mapping[str, str]] = (),
        within: Mapping[str, str] | None = None,
        beside: Any = None,
    ) -> Any:
        """Start a span, in the trace of an event or, by default, in one of its own; None if the tracer fails."""
        try:
            from opentelemetry import trace

            linked = [trace.get_current_span(_context(each)).get_span_context() for each in links]
            if beside is not None:
                linked.append(beside.get_span_context())
            return self._tracer.start_span(
                name,
                context=_context(within or {}),
                kind=trace.SpanKind[self._kind],
                attributes=dict(attributes),
                links=[trace.Link(context) for context in linked if context.is_valid],
                start_time=self._began,
            )
        except Exception as error:
            logger.debug("a span can't be made: %s", said(error))
            return None


def _end(span: Any, attributes: Mapping[str, Any] | None = None, *, error: BaseException | None = None) -> None:
    if span is None:
        return
    try:
        if attributes:
            span.set_attributes(dict(attributes))
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, str(error)[:QUOTED_CHARACTERS]))
        span.end()
    except Exception as why:
        logger.debug("a span can't be ended: %s", said(why))


def _context(trace: Mapping[str, str]) -> Any:
    """Read a context as W3C writes it, whatever propagators the process has; an empty one is the root of a trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(trace, context=Context())


def _is_sampled(traceparent: object) -> bool:
    """Tell whether those who began a trace keep it: only then is a link to it worth anything."""
    if not isinstance(traceparent, str) or len(traceparent) > TRACE_CHARACTERS:
        return False
    found = CONTEXT.fullmatch(traceparent)
    return bool(found and int(found[1], 16) & SAMPLED)
