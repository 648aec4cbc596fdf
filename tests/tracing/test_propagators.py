"""Whatever propagators a process has, what they write goes along with an event, and into its message (decision 61)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from celery import Celery
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator, default_getter, default_setter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span
from redis import Redis

import bridge
from bridge.bounds import TRACE_CHARACTERS, TRACE_HEADERS
from bridge.demo.process import inherited
from bridge.sender.sender import Sender
from bridge.settings.headers import CELERYS, OTHER_TRACE_NAMES, problem_of_headers
from bridge.tracing.context import with_trace
from tests.sender.test_messages import TRACE, WRITERS, client, delivery, flat, sending, sent
from tests.support.world import World

B3 = {"x-b3-traceid": "4bf92f3577b34da6a3ce929d0e0e4736", "x-b3-spanid": "00f067aa0ba902b7", "x-b3-sampled": "1"}
DATADOG = {"x-datadog-trace-id": "17", "x-datadog-parent-id": "18", "x-datadog-tags": "_dd.p.dm=-0"}
AMAZONS = {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}


@pytest.fixture
def span() -> Iterator[Span]:
    with TracerProvider().get_tracer("tests").start_as_current_span("order") as it:
        yield it


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        yield app
        app.close()


class Own(TextMapPropagator):
    """A propagator of the shop's own, as odd as it gets."""

    def __init__(self, written: dict[Any, Any]) -> None:
        self.written = written

    @property
    def fields(self) -> set[str]:
        return {*map(str, self.written)}

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        for name, text in self.written.items():
            setter.set(carrier, name, text)

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        return context or Context()


def with_propagator(monkeypatch: pytest.MonkeyPatch, it: TextMapPropagator) -> None:
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", it)


@pytest.mark.parametrize("kind", [B3MultiFormat, B3SingleFormat])
def test_b3_goes_into_the_event_and_into_the_message_of_a_client(
    world: World, monkeypatch: pytest.MonkeyPatch, span: Span, kind: type[TextMapPropagator]
) -> None:
    with_propagator(monkeypatch, kind())
    bridge.publish(world.eyes, "t", {}, headers={"tenant": "acme"})
    bridge.publish_many(world.eyes, [("t", {}), bridge.NewEvent("t", {}, "k", {"b3": "mine"})])
    world.client("c", ordering="none", headers=["tenant"])
    trace_id = f"{span.get_span_context().trace_id:032x}"
    first, second, third = world.hand_over()
    assert first.headers["tenant"] == "acme"
    for one in (first, second):
        assert [text for name, text in one.headers.items() if "b3" in name and trace_id in text], one.headers
        assert one.trace == {}
    assert third.headers == {"b3": "mine"}, "what the caller gave is not mixed with another trace"


def test_what_a_propagator_of_the_shop_s_own_writes_is_in_the_event_as_far_as_it_can_be_a_header(
    monkeypatch: pytest.MonkeyPatch, span: Span
) -> None:
    good = {"my-trace": "1", "uberctx-tenant": "2", **AMAZONS}
    bad = {
        "id": "x", "Task": "x", "bridge_signature": "x", "_x": "x", "x-death": "x", "two words": "x", 7: "x", "": "x",
        "number": 7, "list": ["x"], "lines": "a\r\nb: c", "é": "x", "accent": "é", "nul": "a\0b", "empty": "",
        "long": "x" * (TRACE_CHARACTERS + 1), "n" * 65: "x", "traceparent": ["x"],
    }  # fmt: skip
    with_propagator(monkeypatch, Own(good | bad))
    assert with_trace({"tenant": 1}) == {**good, "x-death": "x", "tenant": 1}
    with_propagator(monkeypatch, Own({f"h{nth}": "x" for nth in range(1000)}))
    assert len(with_trace(None) or {}) == TRACE_HEADERS


def test_from_sql_each_of_the_names_is_enough_and_what_is_no_header_stays_behind(world: World) -> None:
    named = {name: f"of {name}" for name in sorted(OTHER_TRACE_NAMES)}
    odd: list[Any] = [7, ["x"], {"a": "b"}, True, None, "é", "a\r\nb: c", "\u2028", "", "x" * (TRACE_CHARACTERS + 1)]
    rows: list[dict[str, Any]] = [named, {"B3": "x", "other": "x"}, *({"b3": it, "traceparent": it} for it in odd)]
    for row in rows:
        world.eyes.execute("INSERT INTO fq.events (topic, headers) VALUES ('t', %s)", [json.dumps(row)])
    world.client("c", ordering="none")
    found = world.hand_over()
    assert found[0].headers == named
    assert [dict(it.headers) for it in found[1:]] == [{}] * (len(rows) - 1)
    assert [dict(it.trace) for it in found] == [
        *({},) * 2,
        {"traceparent": "7"},  # a number and its digits are one in SQL
        {"traceparent": '["x"]'},
        {"traceparent": '{"a": "b"}'},
        {"traceparent": "true"},
        *({},) * 6,
    ], "no worker has trouble with a traceparent that is none"


@WRITERS
def test_it_is_in_the_message_whichever_way_that_is_written(app: Celery, redis_url: str, writer: str) -> None:
    to = client(headers=("tenant",))
    traced = [delivery(to, offset=nth, headers=each) for nth, each in enumerate([B3, DATADOG, AMAZONS, {}])]
    with sending(app, writer) as sender:
        assert sender.send(to, traced) == []
    messages = [flat(message) for message in sent(redis_url)]
    found = [{name: message[name] for name in OTHER_TRACE_NAMES if name in message} for message in messages]
    assert found == [B3, DATADOG, AMAZONS, {}]
    assert "headers" not in messages[0], "nobody looks there for it"
    nested = messages[1]["headers"]
    assert {name: nested[name] for name in DATADOG} == DATADOG, "Datadog's tracer looks nowhere else"


@WRITERS
def test_a_batch_has_the_trace_of_its_first_event(app: Celery, redis_url: str, writer: str) -> None:
    to = client(batch=3, headers=("tenant",))
    given = [{**B3, "tenant": "acme"}, {**AMAZONS, "tenant": "acme"}, {"tenant": "acme"}]
    with sending(app, writer) as sender:
        assert sender.send(to, [delivery(to, offset=nth, headers=each) for nth, each in enumerate(given)]) == []
    [message] = [flat(message) for message in sent(redis_url)]
    assert {name: message.get(name) for name in (*B3, *AMAZONS, "tenant")} == {
        **B3, "X-Amzn-Trace-Id": None, "tenant": "acme",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [B3MultiFormat(), Own({"my-trace": "of the listener"})])
def test_an_instrumented_bridge_puts_the_events_own_context_there_and_no_other(
    *,
    app: Celery,
    redis_url: str,
    instrumented: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    kind: TextMapPropagator,
) -> None:
    with_propagator(monkeypatch, kind)
    sender, to = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5), client(headers=("my-trace",))
    mine = {"my-trace": "mine"}
    assert sender.send(to, [delivery(to, offset=n, headers=h) for n, h in enumerate([B3, {}, mine])]) == []
    sender.close()
    messages = [flat(message) for message in sent(redis_url)]
    found = [{name: it[name] for name in (*B3, "b3", "my-trace") if name in it} for it in messages]
    assert found == [B3, {}, mine]
    assert [span.name for span in instrumented.get_finished_spans()] == ["send celery"]


def test_where_celery_makes_the_message_the_listener_goes_on_with_b3_too(
    app: Celery, redis_url: str, instrumented: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_propagator(monkeypatch, B3MultiFormat())
    sender, to = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5), client(serializer="yaml")
    assert sender.send(to, [delivery(to, headers=B3)]) == []
    sender.close()
    [message] = sent(redis_url)
    assert message["headers"]["x-b3-traceid"] == B3["x-b3-traceid"]
    assert message["headers"]["x-b3-spanid"] != B3["x-b3-spanid"], "that of the span that the listener began"


BROKEN = """
import sys
from celery import Celery, signals
from opentelemetry import context
context.attach(context.set_value("x", 1))
from bridge.sender.sender import Sender
from bridge.tracing.context import with_trace
from tests.sender.test_messages import TRACE, client, delivery
assert with_trace({"a": 1}) == {"a": 1}
app = Celery("fleet", broker=sys.argv[1])
signals.before_task_publish.connect(lambda **_: None, weak=False)  # so Celery makes each message
sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)
to = client()
assert sender.send(to, [delivery(to, trace=TRACE)]) == []
sender.close()
"""


def test_a_propagator_that_is_not_installed_keeps_no_event_from_being_sent(redis_url: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", BROKEN, redis_url],
        env={"OTEL_PROPAGATORS": "nowhere-to-be-found", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with Redis.from_url(redis_url) as redis:
        [message] = redis.lrange("celery", 0, -1)
    assert json.loads(message)["headers"]["traceparent"] == TRACE["traceparent"]


def test_no_client_can_ask_for_them_because_they_go_along_anyway() -> None:
    for name in OTHER_TRACE_NAMES:
        assert problem_of_headers([name]) and problem_of_headers([f"{name.upper()}=x"])
        assert name.lower() not in CELERYS


DATADOG_SHOP = """
import json
from bridge.tracing.context import with_trace
assert with_trace(None) is None
import ddtrace
assert with_trace(None) is None, "it is imported, and traces nothing"
from ddtrace.trace import tracer
with tracer.trace("order") as span:
    print(json.dumps([f"{span.trace_id:032x}", with_trace({"a": 1})]))
"""


def test_datadog_s_context_goes_along_where_its_tracer_publishes() -> None:
    if find_spec("ddtrace") is None:
        pytest.skip("ddtrace is not installed: pip install ddtrace")
    env = {**inherited(), "DD_TRACE_AGENT_URL": "http://127.0.0.1:9", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false"}
    run = subprocess.run(
        [sys.executable, "-c", DATADOG_SHOP], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    trace_id, headers = json.loads(run.stdout)
    assert headers["a"] == 1 and int(headers["x-datadog-trace-id"]) == int(trace_id[16:], 16)
    assert headers["traceparent"].split("-")[1] == trace_id and "x-datadog-parent-id" in headers
