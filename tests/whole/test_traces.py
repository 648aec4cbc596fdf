"""One trace from `bridge.publish` to the settled outcome, through an unchanged fleet that is instrumented (G8)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import bridge
from tests.conftest import WORKERS
from tests.support import fleets
from tests.support.fleets import offsets
from tests.support.stage import Stage
from tests.support.waiting import wait_until

SENTRY_TRACE = "5" * 32


class Traced(Stage):
    """A stage whose bridge and fleet write their spans to a file."""

    @property
    def _path(self) -> Path:
        return self.directory / "spans"

    def start(self) -> None:
        self.fleet(app="traced", env={"SPANS": str(self._path)})
        self.bridge(app="traced_bridge", directory=fleets.DIRECTORY, SPANS=str(self._path))

    def spans(self, **wanted: str) -> list[dict[str, Any]]:
        """Return the spans that have ended by now, of which these fields are so."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        for span in (it for it in found if "context" in it):
            span |= {name: span["context"][name][2:] for name in ("trace_id", "span_id")}
            span["parent_id"] = (span["parent_id"] or "")[2:]
        return [span for span in found if wanted.items() <= span.items()]

    def ours(self) -> list[dict[str, Any]]:
        """Return those that the bridge made, and not the instrumentation of Celery."""
        spans = [span for span in self.spans() if "attributes" in span]
        return [span for span in spans if "bridge.client" in span["attributes"] or span["name"] == "settle"]


@pytest.fixture(params=["redis", "amqp"])
def stage(request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path) -> Iterator[Traced]:
    broker_url = request.getfixturevalue("amqp_url") if request.param == "amqp" else redis_url
    it = Traced(database, redis_url, tmp_path, broker_url=broker_url)
    request.node.stash[WORKERS] = it.workers
    yield it
    it.close()


def test_publish_handler_and_settling_are_in_one_trace_also_where_messages_are_cut_from_a_stencil(
    stage: Traced,
) -> None:
    stage.client("once", ordering="none")
    stage.start()
    wait_until(lambda: len(stage.spans(name="run/bridge.pump")) > 1, what="some ticks have ended")
    assert stage.ours() == [], "a tick that does nothing leaves no span of the bridge"
    tracer = TracerProvider().get_tracer("publisher")
    with tracer.start_as_current_span("order") as order:
        first = stage.publish("once.event")
        with tracer.start_as_current_span("again"):
            second = stage.publish("once.event", {"do": "fail once"})
    stage.publish("once.event")  # of no trace
    bridge.publish(stage.eyes, "once.event", {}, headers={"sentry-trace": f"{SENTRY_TRACE}-{'1' * 16}-1"})
    wait_until(lambda: len(stage.handled()) == 4, what="all are handled")
    stage.redis.rpush(f"go-on:{second}", "go on")
    stage.redis.rpush(f"go-on:{second}", "go on")
    stage.wait_until_done("once")
    trace_id = f"{order.get_span_context().trace_id:032x}"
    wait_until(lambda: len(stage.spans(name="settle once", trace_id=trace_id)) == 3, what="all spans have ended")
    mine = {(name, attempt): span for name, attempt, span in told(stage, trace_id, first)}
    assert mine.keys() == {("send fleet", 1), ("run/plain.handle", 1), ("settle once", 1)}
    publisher = f"{order.get_span_context().span_id:016x}"
    assert mine["send fleet", 1]["parent_id"] == mine["run/plain.handle", 1]["parent_id"] == publisher
    assert mine["settle once", 1]["attributes"]["bridge.outcome"] == "success"
    retried = [(name, attempt) for name, attempt, _ in told(stage, trace_id, second)]
    assert sorted(retried) == [
        (name, attempt) for name in ("run/plain.handle", "send fleet", "settle once") for attempt in (1, 2)
    ]
    assert sorted(offsets(stage.handled())) == [first, second, second, second + 1, second + 2]
    [continued] = stage.spans(sentry="plain.handle", trace_id=SENTRY_TRACE)
    assert continued, "Sentry goes on with its own trace"
    assert stage.spans(name="apply_async/plain.handle") == [], "no message was made by Celery, which costs more"
    batches = [span for span in stage.ours() if "messaging.batch.message_count" in span["attributes"]]
    linked = [{link["context"]["trace_id"][2:] for link in span["links"]} for span in batches]
    assert trace_id in set.union(*linked)
    assert stage.spans(name="apply_async/trial") == [], "nor is there a span of what is published as a trial"
    assert all(span["trace_id"] != trace_id for span in batches), "each is a trace of its own"
    system = mine["send fleet", 1]["attributes"]["messaging.system"]
    assert system == ("rabbitmq" if stage.broker_url.startswith("amqp") else "redis")


def told(stage: Traced, trace_id: str, offset: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield name, attempt and span of what was done in a trace with one event, but for the publishing of callbacks."""
    for span in stage.spans(trace_id=trace_id):
        id = span["attributes"].get("messaging.message.id", "")
        if id.startswith(f"once:{offset}") and not span["name"].startswith("apply_async"):
            yield span["name"], int(id.partition(":a")[2] or 1), span
