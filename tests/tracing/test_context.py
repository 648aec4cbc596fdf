"""The trace context goes along with an event, where there is one, and never at the event's expense."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

import bridge
from bridge.bounds import BAGGAGE_CHARACTERS, HEADERS_BYTES, TRACE_CHARACTERS
from bridge.errors import InvalidEvent
from bridge.tracing.context import with_trace, with_trace_each
from tests.support.world import World


@pytest.fixture
def span() -> Iterator[Span]:
    with TracerProvider().get_tracer("tests").start_as_current_span("order") as it:
        yield it


def with_baggage(name: str, value: str) -> Any:
    return context.attach(baggage.set_baggage(name, value))


def test_without_a_trace_headers_are_what_the_caller_gave() -> None:
    given = {"tenant": 7}
    assert with_trace(given) is given
    assert with_trace(None) is None
    events: list[Any] = [("t", {})]
    assert with_trace_each(events) is events


def test_the_current_context_and_its_baggage_go_into_the_log_and_out_again(world: World, span: Span) -> None:
    token = with_baggage("tenant", "é 1")
    try:
        bridge.publish(world.eyes, "t", {}, headers={"tenant": 7})
        bridge.publish_many(world.eyes, [("t", {}), ("t", {}, "k"), bridge.NewEvent("t", {}, None, {"tenant": 8})])
    finally:
        context.detach(token)
    world.client("c", ordering="none")
    logged = [headers for (headers,) in world.eyes.execute('SELECT headers FROM fq.events ORDER BY "offset"')]
    trace_id = f"{span.get_span_context().trace_id:032x}"
    assert [headers.get("tenant") for headers in logged] == [7, None, None, 8]
    for delivery in world.hand_over():
        assert delivery.trace["traceparent"].split("-")[1] == trace_id
        assert delivery.trace["baggage"] == "tenant=%C3%A9+1"


def test_it_goes_along_whichever_way_an_event_is_published(world: World, span: Span, database: str) -> None:
    named: Any = ("t", {}, None, None, "2")  # as the fields of a NewEvent
    bridge.publish(world.eyes, "t", {}, headers={"tenant": uuid4()}, id="1")
    bridge.publish_many(world.eyes, [named, bridge.NewEvent("t", {}, None, {"at": datetime.now(UTC)}, 3)])

    async def publish() -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await bridge.apublish(connection, "t", {})
            await bridge.apublish_many(connection, [("t", {})])

    asyncio.run(publish())
    scheduled = bridge.publish(world.eyes, "t", {}, deliver_after=60)
    rows = world.eyes.execute("SELECT headers ->> 'traceparent' FROM fq.events").fetchall()
    rows += world.eyes.execute("SELECT headers ->> 'traceparent' FROM fq.scheduled").fetchall()
    assert scheduled.number and len(rows) == 6
    trace_id = f"{span.get_span_context().trace_id:032x}"
    assert {traceparent.split("-")[1] for (traceparent,) in rows} == {trace_id}


@pytest.mark.usefixtures("span")
def test_what_the_caller_gave_is_never_overwritten_nor_mixed_with_another_trace() -> None:
    token = with_baggage("a", "1")
    try:
        assert with_trace({"traceparent": "mine"}) == {"traceparent": "mine", "baggage": "a=1"}
        mine = {"tracestate": "b=2", "baggage": None}
        assert with_trace(mine) == mine
        assert set(with_trace({}) or ()) == {"traceparent", "baggage"}
        no_mapping: Any = [("no", "mapping")]
        assert with_trace(no_mapping) is no_mapping
    finally:
        context.detach(token)


@pytest.mark.usefixtures("span")
def test_headers_that_were_small_enough_stay_so_and_too_much_baggage_is_left_out(connect: Any) -> None:
    large = {"x": "y" * (HEADERS_BYTES - 20)}
    assert with_trace(large) == large
    endless: dict[str, Any] = {}
    endless["x"] = endless
    assert with_trace(endless) is endless
    for unwritable in ({"x": object()}, endless):
        with pytest.raises(InvalidEvent, match=r"^headers"):
            bridge.publish(connect(), "t", {}, headers=unwritable)
    token = context.attach(context.set_value("x", 1))
    for nth in range(300):
        context.attach(baggage.set_baggage(f"name-{nth}", "v" * 40))
    found = with_trace(None) or {}
    context.detach(token)
    assert "traceparent" in found and len(found.get("baggage", "")) <= BAGGAGE_CHARACTERS


@pytest.mark.usefixtures("span")
def test_a_propagator_that_fails_costs_the_trace_and_not_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(propagate, "inject", fail)
    assert with_trace({"a": 1}) == {"a": 1}
    for nonsense in ("two\nlines", "é", 7, "x" * (TRACE_CHARACTERS + 1)):
        monkeypatch.setattr(propagate, "inject", lambda carrier, it=nonsense: carrier.update(traceparent=it))
        assert with_trace(None) is None


SENTRY = """
import json, sys
from bridge.tracing.context import with_trace
assert with_trace(None) is None
import sentry_sdk
assert with_trace(None) is None, "it is imported, and not set up"
sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, default_integrations=False,
                auto_enabling_integrations=False)
from opentelemetry import baggage, context
context.attach(baggage.set_baggage("tenant", "1"))
with sentry_sdk.start_transaction(name="order") as it:
    print(json.dumps([it.trace_id, with_trace({"a": 1})]))
"""


def test_sentry_s_context_goes_along_where_sentry_is_set_up_beside_the_baggage_of_others() -> None:
    run = subprocess.run([sys.executable, "-c", SENTRY], capture_output=True, text=True, check=True, timeout=60)
    trace_id, headers = json.loads(run.stdout)
    assert headers["sentry-trace"].startswith(trace_id)
    assert headers["baggage"].startswith("tenant=1,sentry-trace_id=")
    assert headers["a"] == 1


def test_from_sql_the_header_s_names_are_enough_and_what_is_too_long_stays_behind(world: World, connect: Any) -> None:
    sql: psycopg.Connection[Any] = connect()
    names = {"traceparent": "p", "tracestate": "s", "baggage": "b", "sentry-trace": "t", "other": "o"}
    long = {name: "x" * (BAGGAGE_CHARACTERS + 1) for name in names}
    headers: list[dict[str, Any]] = [names, {}, {"baggage": "b"}, long, {"tracestate": "s"}, {"traceparent": {"a": 1}}]
    for each in headers:
        sql.execute("INSERT INTO fq.events (topic, headers) VALUES ('t', %s)", [json.dumps(each)])
    world.client("c", ordering="none")
    found = [dict(delivery.trace) for delivery in world.hand_over()]
    assert found == [
        {name: text for name, text in names.items() if name != "other"},
        {},
        {"baggage": "b"},
        {},
        {},
        {"traceparent": '{"a": 1}'},
    ]
