"""What an event may be made of: refused by name before anything is sent, by the database too, and never later (G10)."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bridge
from bridge import bounds
from bridge.errors import InvalidEvent
from bridge.log import encoding
from tests.conftest import Connect
from tests.support.world import World, offsets

WIDE = "".join(random.Random(10).choices([chr(0x1F300 + nth) for nth in range(700)], k=4000))  # 4 bytes each

TOO_LARGE = [
    ({"key": WIDE[:513]}, "has 513 characters: at most 512"),
    ({"key": "k" * 3000}, "has 3,000 characters: at most 512"),
    ({"topic": "t" * 256}, "has 256 characters: at most 255"),
    ({"topic": "a." * 1000 + "a"}, "has 2,001 characters: at most 255"),
    ({"headers": {"traceparent": "x" * 70_000}}, "headers has 70,018 bytes as JSON: at most 65,536"),
    ({"headers": {"h": ["é"] * 20_000}}, "headers has"),
    ({"headers": {"h": [1e300] * 1000}}, "headers has about"),
    ({"payload": "é" * (17 * 2**20)}, "payload has 35,651,586 bytes as JSON: at most 33,554,432"),
]


@pytest.mark.parametrize(("event", "told"), TOO_LARGE, ids=[told for _, told in TOO_LARGE])
def test_g10_what_is_too_large_is_refused_by_name_and_the_transaction_stays_usable(
    connect: Connect, event: dict[str, Any], told: str
) -> None:
    connection = connect(autocommit=False)
    topic, payload = event.get("topic", "a.b"), event.get("payload", {})
    rest = {name: value for name, value in event.items() if name in ("key", "headers")}
    with pytest.raises(InvalidEvent, match=re.escape(told)):
        bridge.publish(connection, topic, payload, **rest)
    many = [bridge.NewEvent("a", {}), bridge.NewEvent(topic, payload, rest.get("key"), rest.get("headers"))]
    with pytest.raises(InvalidEvent, match="event 1: .*" + re.escape(told)):
        bridge.publish_many(connection, many)
    assert connection.execute("SELECT count(*) FROM fq.events").fetchone() == (0,)


# 72 kB for Postgres, and 120 MB as text; with numbers that are as long as can be, it could not be written at all.
OF_FEW_BYTES = "SELECT jsonb_agg(to_jsonb(1e20000)) FROM generate_series(1, 6000)"


@pytest.mark.parametrize("table", ["events", "scheduled"])
def test_g10_no_payload_that_nobody_can_read_as_text_comes_in_compressed(connect: Connect, table: str) -> None:
    publisher = connect()
    publisher.execute(f"CREATE TEMP TABLE mine AS {OF_FEW_BYTES}".encode())
    packed = publisher.execute("SELECT pg_column_size(jsonb_agg) FROM mine").fetchone()
    assert packed and 256 < packed[0] < 65_536
    columns, others = ("topic, payload", "'a'") if table == "events" else ("due_at, topic, payload", "now(), 'a'")
    with pytest.raises(psycopg.errors.CheckViolation, match="events_payload_length"):
        publisher.execute(f"INSERT INTO fq.{table} ({columns}) SELECT {others}, jsonb_agg FROM mine".encode())
    publisher.execute(f"INSERT INTO fq.{table} ({columns}) SELECT {others}, to_jsonb(repeat('x', 1000000))".encode())


@pytest.mark.parametrize(
    ("constraint", "column", "value"),
    [
        ("events_topic_length", "topic", "repeat('t', 256)"),
        ("events_key_length", "key", "repeat('é', 513)"),
        *(("events_headers", "headers", f"'{no}'") for no in ("[]", "[{}]", "null", "1", '"{}"')),
        ("events_headers_length", "headers", "jsonb_build_object('h', repeat('x', 65536))"),
        ("events_payload_length", "payload", f"({OF_FEW_BYTES})"),
        ("events_created_at", "created_at", "'infinity'"),
        ("events_created_at", "created_at", "'-infinity'"),
        ("events_created_at", "created_at", "'9999-12-31 23:59 UTC'"),
        ("events_created_at", "created_at", "'0044-03-15 BC'"),
    ],
)
def test_g10_the_database_refuses_it_too(connect: Connect, constraint: str, column: str, value: str) -> None:
    connection = connect()
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(f"INSERT INTO fq.events ({column}) VALUES ({value})")
    assert caught.value.diag.constraint_name == constraint


def test_g10_the_bounds_of_the_schema_are_those_of_the_code(connect: Connect) -> None:
    found = connect().execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname LIKE 'events\\_%'"
    )
    rules = dict(found.fetchall())
    for name, bound in {
        "events_topic_length": bounds.TOPIC_CHARACTERS,
        "events_key_length": bounds.KEY_CHARACTERS,
        "events_headers_length": bounds.HEADERS_BYTES,
        "events_payload_length": bounds.BODY_BYTES,
    }.items():
        assert re.findall(r"<= (\d+)", rules[name])[-1] == str(bound)
    assert re.findall(r"'(\d{4}-\d\d-\d\d)", rules["events_created_at"]) == [
        bounds.CREATED_FROM,
        bounds.CREATED_UNTIL,
    ]
    body = connect().execute("SELECT pg_get_functiondef('fq.message_of'::regproc)").fetchone()
    assert body is not None
    assert set(re.findall(r"<= (\d+)", body[0])) == {str(bounds.INLINE_BYTES)}


def test_g10_the_longest_key_of_the_longest_client_goes_through_every_table(world: World) -> None:
    client, key = "c" * bounds.CLIENT_CHARACTERS, WIDE[: bounds.KEY_CHARACTERS]
    topic = WIDE[: bounds.TOPIC_CHARACTERS]
    world.client(client, max_attempts=1, on_exhausted="hold-key")
    world.publish(key, key, topic=topic)
    world.publish("other")
    first = world.hand_over(client)
    assert offsets(first) == [1, 3]
    assert world.rows("lanes", "key") == [key]
    world.fail(first[0])
    world.succeed(first[1])
    assert world.rows("parked", "key") == [key]
    assert world.cursor(client) == 1


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(
    value=st.recursive(
        st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text("a,:é\n", max_size=9)),
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=3), inner, max_size=5)),
    )
)
def test_g10_headers_are_measured_no_shorter_than_postgres_writes_them(value: Any) -> None:
    text = encoding.measured({"h": value})
    written = json.dumps({"h": value}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert text >= len(written)


def test_g10_headers_of_long_numbers_that_are_accepted_are_stored(connect: Connect) -> None:
    connection = connect()
    for values in ([1e300] * 170, [1e-300] * 170, [5e-324] * 170, [1.7976931348623157e308] * 170):
        bridge.publish(connection, "a", {}, headers={"h": values})
    longest = connection.execute("SELECT max(octet_length(headers::text)) FROM fq.events").fetchone()
    assert longest is not None
    assert 50_000 < longest[0] <= bounds.HEADERS_BYTES


def test_g10_many_events_that_are_too_much_for_one_statement_go_in_several(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PAYLOAD_BYTES", 1000)
    connection = connect(autocommit=False)
    events = [bridge.NewEvent("a", {"n": nth, "text": "x" * (nth % 700)}) for nth in range(500)]
    assert len(encoding.arrays_of(encoding.checked_together(events))) > 100
    offsets = bridge.publish_many(connection, events)
    found = connection.execute("""SELECT "offset", payload -> 'n' FROM fq.events ORDER BY "offset" """).fetchall()
    assert found == [(offset, nth) for nth, offset in enumerate(offsets)]
