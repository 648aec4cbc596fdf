"""Whatever the log can hold is handled or parked, and nothing of it stops anything else: on both brokers (G7, G10).

Events are made by hypothesis and written in every way there is: INSERT, COPY, `fq.publish`, `fq.schedule` and
`bridge.publish`. `BRIDGE_TEST_FUZZ=2000` makes more of them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from redis import Redis

import bridge
from bridge.errors import IdTaken, InvalidEvent
from bridge.log.plan import ID_TAKEN
from tests.conftest import WORKERS
from tests.support.stage import Stage
from tests.support.waiting import wait_until

EVENTS = int(os.environ.get("BRIDGE_TEST_FUZZ", "150"))
SEED = int(os.environ.get("BRIDGE_TEST_FUZZ_SEED", "1"))
DONE_SECONDS = 90.0 + EVENTS / 10

FLEET = """
import os
from celery import Celery
from redis import Redis

app = Celery("fuzzed", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, accept_content=["json", "yaml"])
notebook = Redis.from_url(os.environ["NOTEBOOK_URL"])

@app.task(name="fuzzed.handle", bind=True)
def handle(self, *args, **kwargs):
    notebook.rpush("handled", self.request.bridge_client)
"""

NUMBERS = ["0", "-0", "1e5", "-1E-5", "1e308", "1e309", "-1e5000", "1e-5000", "9" * 400, "9" * 4301, "0." + "1" * 400]
NUMBERS += ["18446744073709551616", "1.0", "123456789.123456789e-30", "9" * 310 + ".5"]
TYPED = ['{"__type__": "decimal", "__value__": "1"}', '{"__type__": "x", "__value__": [1]}', '{"__type__": 1}']
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    [
        "\u2028",
        "@@bridge-offset@@",
        "%s %(x)s",
        "\x7f",
        "\r\n",
        "\\u0000",
        "\U0001d518",
        "'; --",
        "x" * 5000,
        "__type__",
    ]
)
JSON = st.recursive(
    st.sampled_from(["null", "true", *NUMBERS, *TYPED]) | TEXTS.map(json.dumps) | st.floats(allow_nan=False).map(repr),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda them: f"[{', '.join(them)}]")
        | st.dictionaries(TEXTS.map(json.dumps), inner, max_size=4).map(
            lambda them: "{" + ", ".join(f"{name}: {it}" for name, it in them.items()) + "}"
        )
    ),
    max_leaves=10,
) | st.integers(1, 1200).map(lambda deep: "[" * deep + "]" * deep)
TRACES = st.sampled_from(["traceparent", "tracestate", "baggage", "sentry-trace", "b3", "x-datadog-trace-id", "tenant"])
HEADERS = st.dictionaries((TRACES | TEXTS).map(json.dumps), JSON, max_size=4).map(
    lambda them: "{" + ", ".join(f"{name}: {it}" for name, it in them.items()) + "}"
)
TOPICS = st.sampled_from(["a", "a.b.c", "é.日本", 'a."%s"', "x" * 255, "\x7f.\u200b"]) | TEXTS
KEYS = st.none() | st.sampled_from(["", "k", "k", "%s", "\u2028", "x" * 512, "😀" * 512]) | TEXTS
MOMENTS = ["now", "epoch", "infinity", "-infinity", "0044-03-15 BC", "1000-01-01 UTC", "9998-12-31", "294276-12-31"]
EVENT = st.fixed_dictionaries(
    {
        "way": st.sampled_from(["insert", "copy", "fq.publish", "fq.schedule", "bridge.publish"]),
        "topic": TOPICS,
        "payload": JSON,
        "headers": HEADERS,
        "key": KEYS,
        "id": st.none() | st.sampled_from(["", "x" * 513, "%s"]) | TEXTS,
        "at": st.sampled_from(MOMENTS),
    }
)
CLIENTS: dict[str, dict[str, Any]] = {
    "event": {},
    "payload": {"call": "payload", "headers": ["tenant", "copy:tenant"]},
    "kwargs": {"call": "kwargs"},
    "cloudevent": {"call": "cloudevent", "ordering": "strict"},
    "list": {"batch": 5, "ordering": "none"},
    "calls": {"batch": 5, "batch_as": "calls"},
    "yaml": {"serializer": "yaml", "batch": 3},
}
REFUSALS = (psycopg.errors.IntegrityError, psycopg.errors.DataError, InvalidEvent, IdTaken)


def write(eyes: psycopg.Connection[Any], event: dict[str, Any]) -> None:
    """Write one event in its way; one that the log can't hold is refused."""
    values = [event["topic"], event["payload"], event["key"], event["headers"]]
    with eyes.transaction():
        if event["way"] == "insert":
            statement = "INSERT INTO fq.events (topic, payload, key, headers, created_at) VALUES (%s, %s, %s, %s, %s)"
            eyes.execute(statement, [*values, event["at"]])
        elif event["way"] == "copy":
            with eyes.cursor().copy("COPY fq.events (topic, payload, key, headers) FROM STDIN") as copy:
                copy.write_row(values)
        elif event["way"] == "fq.publish":
            eyes.execute("SELECT fq.publish(%s, %s, %s, %s, %s)", [*values, event["id"]])
        elif event["way"] == "fq.schedule":
            topic, payload, key, headers = values
            due = "now" if event["at"].startswith(("9", "2")) else event["at"]  # the rest is far away, and stays there
            eyes.execute("SELECT fq.schedule(%s, %s, %s, %s, %s, %s)", [topic, payload, due, key, headers, event["id"]])
        else:
            payload, headers = json.loads(event["payload"]), json.loads(event["headers"])
            bridge.publish(eyes, event["topic"], payload, key=event["key"], headers=headers, id=event["id"])


def fuzz(eyes: psycopg.Connection[Any]) -> Counter[str]:
    """Write so many events; return how many were stored, and how many were refused."""
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(
        max_examples=EVENTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(EVENT)
    def one(event: dict[str, Any]) -> None:
        try:
            write(eyes, event)
        except (*REFUSALS, RecursionError, ValueError, psycopg.OperationalError) as error:
            assert getattr(error, "sqlstate", None) in {None, ID_TAKEN} or isinstance(error, REFUSALS)
            counts[f"refused: {type(error).__name__}"] += 1
        else:
            counts["stored"] += 1

    one()
    return counts


@pytest.fixture(params=["redis", pytest.param("amqp", marks=pytest.mark.slow)])
def stage(request: pytest.FixtureRequest, database: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    broker_url = request.getfixturevalue("amqp_url") if request.param == "amqp" else redis_url
    it = Stage(database, redis_url, tmp_path, broker_url=broker_url)
    request.node.stash[WORKERS] = it.workers
    (tmp_path / "fuzzed.py").write_text(FLEET)
    yield it
    it.close()


@pytest.mark.timeout(DONE_SECONDS + 120)
def test_g10_every_event_that_the_log_can_hold_is_handled_or_parked(stage: Stage) -> None:
    for id, columns in CLIENTS.items():
        mine = {"task": "fuzzed.handle", "topics": ["#"], "queue": "fuzzed", "max_attempts": 2, **columns}
        stage.client(id, **mine)
    counts = fuzz(stage.eyes)
    assert counts["stored"] > EVENTS / 5, counts
    stage.fleet(app="fuzzed", queue="fuzzed", directory=stage.directory)
    it = stage.bridge()
    bridge.publish(stage.eyes, "the.last", {})

    def is_done() -> bool:
        last = stage.last()
        return all(stage.ask(f"SELECT \"offset\" FROM fq.clients WHERE id = '{id}'") == last for id in CLIENTS)

    wait_until(is_done, timeout=DONE_SECONDS, what="every client is at the end of the log")
    wait_until(lambda: not stage.ask("SELECT count(*) FROM fq.scheduled WHERE due_at < now()"), what="nothing is due")
    unanswered = stage.eyes.execute("SELECT client_id, \"offset\", error FROM fq.parked WHERE error !~ 'undeliverable'")
    assert unanswered.fetchall() == [], "what is parked was never sent"
    with Redis.from_url(stage.redis_url) as notebook:
        handled = Counter(id.decode() for id in notebook.lrange("handled", 0, -1))
    for id in CLIENTS:
        parked = stage.ask(f"SELECT count(*) FROM fq.parked WHERE client_id = '{id}'")
        assert handled[id] or parked, id
    assert "Traceback" not in it.log
