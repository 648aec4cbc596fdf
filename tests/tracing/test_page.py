"""The page on traces, followed word by word: what it shows runs, and does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from tests.conftest import Connect
from tests.support.stage import REPOSITORY

PAGE = (REPOSITORY / "docs" / "tracing.md").read_text()
DROPPED = """
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(kept))
for name in ("run/bridge.pump", "apply_async/bridge.pump", "send fleet"):
    provider.get_tracer("x").start_span(name).end()
assert [span.name for span in kept.get_finished_spans()] == ["send fleet"]
assert traces_sampler({"celery_job": {"task": "bridge.pump"}}) == 0
assert traces_sampler({"celery_job": {"task": "shop.bill"}}) == traces_sampler({}) > 0
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(*code: str, **env: str) -> None:
    known = {"BRIDGE_DATABASE_URL": "postgresql://nobody@127.0.0.1/none", **env}
    subprocess.run([sys.executable, "-c", "\n".join(code)], env=known, check=True, timeout=60)


def test_what_the_page_shows_runs_and_puts_the_trace_into_the_log(database: str, connect: Connect) -> None:
    publisher, worker, *samplers = blocks("python")
    run(publisher, DATABASE_URL=database)
    run(worker, *samplers, DROPPED)
    eyes = connect()
    [insert] = blocks("sql")
    eyes.execute(insert.encode())
    found: Any = eyes.execute("SELECT payload ->> 'order', headers FROM fq.events ORDER BY \"offset\"").fetchall()
    assert [order for order, _ in found] == ["17", "18"]
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", headers["traceparent"]) for _, headers in found)


def test_the_headers_and_bounds_in_the_page_are_those_of_the_code() -> None:
    from bridge.tracing.context import MOST_CHARACTERS

    rows = re.findall(r"^\| `([a-z-]+)` \| .* \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert {name: int(most.replace(",", "")) for name, most in rows} == MOST_CHARACTERS
    assert json.dumps([*MOST_CHARACTERS]) == json.dumps([name for name, _ in rows])
