"""Listeners that only want trace headers leave the fast path on, and an event keeps its own trace (issue 12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from celery.utils.dispatch import Signal
from kombu import Connection
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge.sender.cutter import is_unheard
from bridge.sender.sender import Sender
from bridge.tracing.listeners import is_heard
from tests.sender.test_messages import TRACE, client, delivery, flat, sent

SENTRY = {"baggage": "a=1", "sentry-trace": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"}
TRACE_ID = int(TRACE["traceparent"].split("-")[1], 16)


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        yield app
        app.close()


def send(app: Celery, *traces: dict[str, str], **settings: Any) -> None:
    sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
    to = client(**settings)
    assert sender.send(to, [delivery(to, offset=nth, trace=trace) for nth, trace in enumerate(traces)]) == []
    sender.close()


def test_an_instrumented_bridge_cuts_the_same_messages_from_a_stencil(
    app: Celery, redis_url: str, instrumented: InMemorySpanExporter
) -> None:
    assert is_unheard(app)
    send(app, TRACE, {}, TRACE | SENTRY, {"baggage": "a=1"})
    messages = [flat(message) for message in sent(redis_url)]
    names = ("traceparent", "tracestate", "baggage", "sentry-trace")
    found = [{name: message[name] for name in names if name in message} for message in messages]
    assert found == [TRACE, {}, TRACE | SENTRY, {"baggage": "a=1"}]
    assert messages[2]["headers"] == {
        name: value for name, value in messages[2].items() if name.startswith("bridge_") or name in names
    }, "Sentry's integration reads what is in here"
    assert [message["headers"]["id"] for message in sent(redis_url)] == ["c:0", "c:1", "c:2", "c:3"]
    assert {span.name for span in instrumented.get_finished_spans()} == {"send celery"}, "no span of a message's making"


def test_on_rabbitmq_too(amqp_url: str, instrumented: InMemorySpanExporter) -> None:
    with Celery("fleet", broker=amqp_url, set_as_current=False) as app, Connection(amqp_url) as broker:
        queue = broker.default_channel.queue_declare("celery", durable=True, auto_delete=False).queue
        send(app, TRACE | SENTRY, {})
        got = [broker.default_channel.basic_get(queue, no_ack=True).headers for _ in range(2)]
        app.close()
    assert {name: got[0][name] for name in TRACE | SENTRY} == TRACE | SENTRY
    assert "traceparent" not in got[1]
    assert got[0]["headers"]["sentry-trace"] == SENTRY["sentry-trace"]
    assert {span.name for span in instrumented.get_finished_spans()} == {"send celery"}


def test_where_celery_makes_each_message_the_listener_goes_on_with_the_event_s_trace(
    app: Celery, redis_url: str, instrumented: InMemorySpanExporter
) -> None:
    send(app, TRACE, serializer="yaml")
    [message] = sent(redis_url)
    assert int(message["headers"]["traceparent"].split("-")[1], 16) == TRACE_ID
    spans = {span.name: span for span in instrumented.get_finished_spans()}
    made = spans["apply_async/fleet.handle"].context
    assert made is not None and made.trace_id == TRACE_ID


def test_any_other_listener_still_hears_of_every_message(app: Celery, instrumented: InMemorySpanExporter) -> None:
    heard: list[str] = []

    def hear(sender: str, **_: Any) -> None:
        heard.append(sender)

    signals.before_task_publish.connect(hear)
    try:
        assert not is_unheard(app)
        send(app, TRACE, {})
    finally:
        signals.before_task_publish.disconnect(hear)
    assert heard == ["fleet.handle", "fleet.handle"]
    assert len(instrumented.get_finished_spans()) > 2


def test_a_listener_that_is_gone_is_none() -> None:
    class Listener:
        def hear(self, **_: Any) -> None:
            pass

    signal, listener = Signal(), Listener()
    signal.connect(listener.hear)
    assert is_heard(signal)
    del listener
    assert not is_heard(signal)
