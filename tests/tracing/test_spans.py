"""Spans of what the bridge does: bounded, linked, in the events' own traces, and never in the way."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bridge.bounds import TRACED_EVENTS, TRACING_PAUSE_SECONDS
from bridge.collector.reader import parse
from bridge.collector.settling import read_reports
from bridge.contract import TRACES_HEADER, sign
from bridge.errors import BrokerUnavailable
from bridge.model import Failure, Outcome
from bridge.settle.apply import apply
from bridge.tracing import spans
from bridge.tracing.context import trace_of_task
from bridge.tracing.spans import sending
from bridge.trouble import Trouble
from bridge.worker.callbacks import CallbackPublisher
from tests.sender.test_messages import client, delivery, sent
from tests.support.world import World

UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"


def traceparent(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def outcome(offset: int, trace: str | None = None, **values: Any) -> Outcome:
    return Outcome(client="c", offset=offset, epoch=1, attempt=2, trace=trace, **values)


def named(kept: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in kept.get_finished_spans() if span.name == name]


def of_batches(kept: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in kept.get_finished_spans() if "messaging.batch.message_count" in (span.attributes or {})]


def hand_over(*traces: str, left_out: set[object] = set()) -> None:  # noqa: B006 - it is only read
    to = client(queue="fleet")
    events = [delivery(to, offset=nth, trace={"traceparent": text} if text else {}) for nth, text in enumerate(traces)]
    with sending(to, events, transport=lambda: "amqp") as batch:
        batch.left_out = left_out


def test_a_batch_says_what_it_was_and_each_event_has_a_span_in_its_own_trace(kept: InMemorySpanExporter) -> None:
    hand_over(traceparent(7), "", UNSAMPLED, "no context", traceparent(8), left_out={4})
    [batch] = of_batches(kept)
    assert dict(batch.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "fleet",
        "messaging.batch.message_count": 5,
        "bridge.client": "c",
    }
    assert [link.context.trace_id for link in batch.links] == [7, 8]
    assert batch.parent is None
    [mine] = [span for span in named(kept, "send fleet") if span is not batch]
    assert mine.parent is not None and (mine.parent.trace_id, mine.parent.span_id) == (7, 7)
    assert [link.context for link in mine.links] == [batch.context]
    said = dict(mine.attributes or {})
    assert (said["messaging.message.id"], said["bridge.offset"], said["bridge.attempt"]) == ("c:0", 0, 1)
    assert mine.start_time == batch.start_time


def test_a_batch_has_a_bounded_number_of_links_and_spans(kept: InMemorySpanExporter) -> None:
    hand_over(*[traceparent(nth) for nth in range(1, 1001)])
    [batch] = of_batches(kept)
    assert len(batch.links) == TRACED_EVENTS
    assert len(kept.get_finished_spans()) == TRACED_EVENTS + 1


def test_what_is_not_sent_is_in_no_event_s_trace_and_the_batch_says_why(kept: InMemorySpanExporter) -> None:
    to = client()
    events = [delivery(to, trace={"traceparent": traceparent(7)})]
    with pytest.raises(BrokerUnavailable), sending(to, events, transport=lambda: "redis"):
        raise BrokerUnavailable("x" * 1000)
    [batch] = kept.get_finished_spans()
    assert batch.status.status_code is StatusCode.ERROR
    assert len(batch.status.description or "") == 300
    assert dict(batch.attributes or {})["error.type"] == "BrokerUnavailable"


def test_nothing_to_send_and_nothing_to_settle_leave_no_span(world: World, kept: InMemorySpanExporter) -> None:
    hand_over()
    assert apply(world.store, []).settled.succeeded == 0
    assert kept.get_finished_spans() == ()


def test_settling_is_in_the_traces_of_its_outcomes(world: World, kept: InMemorySpanExporter) -> None:
    reported = [outcome(1, traceparent(7)), outcome(2, traceparent(8), failure=Failure(type="Oops")), outcome(3)]
    apply(world.store, reported)
    [batch] = of_batches(kept)
    assert [link.context.trace_id for link in batch.links] == [7, 8]
    assert dict(batch.attributes or {})["bridge.ignored"] == 3
    good, bad = (dict(span.attributes or {}) for span in named(kept, "settle c"))
    assert (good["bridge.outcome"], good["messaging.message.id"]) == ("success", "c:1:a2")
    assert (bad["bridge.outcome"], bad["error.type"]) == ("failure", "Oops")


@pytest.mark.parametrize("broken", ["get_tracer", "start_span", "end"])
def test_a_tracer_that_fails_keeps_nothing_from_being_sent(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    span = SimpleNamespace(end=fail, set_attributes=fail, get_span_context=lambda: trace.INVALID_SPAN_CONTEXT)
    tracer = SimpleNamespace(start_span=(lambda *_, **__: span) if broken == "end" else fail)
    provider = SimpleNamespace(get_tracer=fail if broken == "get_tracer" else lambda _: tracer)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    hand_over(traceparent(7))


def test_g10_a_tracer_that_hangs_is_left_alone_and_one_line_says_so(
    kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spans, "_pause", {"until": 0.0})
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(spans, "_clock", lambda: clock.now)
    monkeypatch.setattr(spans, "_slow", Trouble(logging.getLogger("bridge"), what="no spans are made", over="over"))

    class Slow(SpanProcessor):
        """Waits for a server that does not answer."""

        def on_end(self, span: ReadableSpan) -> None:
            clock.now += 10

    slow: Any = trace.get_tracer_provider()
    slow.add_span_processor(Slow())
    hand_over(*[traceparent(nth) for nth in range(1, 51)])
    assert len(kept.get_finished_spans()) == 1, "the first one took all the time that there is"
    hand_over(traceparent(51))
    apply_nothing = [outcome(1, traceparent(7))]
    with spans.settling(apply_nothing):
        pass
    assert len(kept.get_finished_spans()) == 1
    [line] = [text for text in caplog.messages if "no spans are made" in text]
    assert "took 10 s" in line and "BatchSpanProcessor" in line
    clock.now += TRACING_PAUSE_SECONDS
    hand_over(traceparent(52))
    assert len(kept.get_finished_spans()) == 2, "then it is tried again"


def test_joined_callbacks_bring_the_traces_of_their_tasks_along_bounded(redis_url: str) -> None:
    def callback(offset: int) -> Any:
        signed = sign("s", ("c", offset, 1, 1), generation=1)
        it: Any = TracedPair(("bridge.commit", ["c", offset, 1, 1, signed]))
        it.task_id, it.trace = f"c:{offset}", traceparent(offset) if offset % 2 else None
        return it

    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        CallbackPublisher(app, "bridge").publish([callback(offset) for offset in range(1, 402)])
        app.close()
    [message] = sent(redis_url, "bridge")
    assert len(message["headers"][TRACES_HEADER]) == TRACED_EVENTS
    call = parse(message["content-type"], message["headers"], _body(message))
    assert call is not None
    [reported] = read_reports([("it", call)], secret="s")
    assert [it.trace for it in reported.outcomes][:3] == [traceparent(1), None, traceparent(3)]
    assert len(reported.outcomes) == 401


class TracedPair(tuple[Any, ...]):
    """What a worker's outbox keeps of a callback."""

    task_id: str
    trace: str | None


def _body(message: dict[str, Any]) -> bytes:
    import base64

    return base64.b64decode(message["body"])


@pytest.mark.parametrize("trace", [7, ["x"], {"c:1": 7}, {"c:1": "x" * 999}, "nonsense", {1: 2}])
def test_a_trace_that_nobody_can_read_leaves_the_outcome_as_it_is(
    world: World, kept: InMemorySpanExporter, trace: Any
) -> None:
    body = json.dumps([["c", 1, 1, 1, sign("s", ("c", 1, 1, 1), generation=1)], {}, {}])
    headers = {"task": "bridge.commit", TRACES_HEADER: trace}
    call = parse("application/json", headers, body.encode())
    assert call is not None
    [reported] = read_reports([("it", call)], secret="s")
    assert len(reported.outcomes) == 1
    apply(world.store, reported.outcomes)
    assert named(kept, "settle c") == []


def test_a_task_belongs_to_the_trace_that_it_came_with() -> None:
    assert trace_of_task(SimpleNamespace(traceparent=traceparent(7))) == traceparent(7)
    assert trace_of_task(SimpleNamespace(traceparent=[1])) is None
    assert trace_of_task(SimpleNamespace()) is None
