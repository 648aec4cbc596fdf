"""CloudEvents 1.0: what handlers get is one, by the package's own check, and what comes in is stored once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.v1.event import CloudEvent

import bridge
from bridge.errors import InvalidEvent
from tests.conftest import Connect
from tests.support.world import World

PAID = {
    "specversion": "1.0",
    "type": "com.example.order.paid",
    "source": "/shop",
    "id": "17",
    "subject": "order-17",
    "time": "2026-01-31T12:00:00Z",
    "datacontenttype": "application/json",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tenant": "acme",
    "data": {"total": "9.50"},
}


def checked(body: str | bytearray) -> CloudEvent:
    """Read it as the package reads what arrives by HTTP, which checks every attribute."""
    headers = {"content-type": "application/cloudevents+json"}
    data = body.encode() if isinstance(body, str) else bytes(body)
    event = from_structured_event(HTTPMessage(headers, data))
    assert isinstance(event, CloudEvent)
    return event


def test_a_handler_gets_a_cloudevent(world: World) -> None:
    world.client("c", call="cloudevent")
    big = "x" * 20_000  # does not come along with its slice
    for payload, key in [({"total": "9.50"}, 'order-"17"'), (None, None), (big, "")]:
        bridge.publish(world.eyes, "order.paid", payload, key=key, headers={"traceparent": "00-1", "tracestate": 5})
    [(log,)] = world.eyes.execute("SELECT id::text FROM fq.log").fetchall()
    deliveries = world.hand_over("c")
    found = [checked(delivery.body) for delivery in deliveries]
    assert [event.get_id() for event in found] == ["1-1", "1-2", "1-3"], "generation and offset"
    assert {(event.get_source(), event.get_type()) for event in found} == {(f"urn:uuid:{log}", "order.paid")}
    assert [event.get_subject() for event in found] == ['order-"17"', None, None]
    assert [event.get_data() for event in found] == [{"total": "9.50"}, None, big]
    assert {event.get_datacontenttype() for event in found} == {"application/json"}
    [(created,)] = world.eyes.execute('SELECT created_at FROM fq.events WHERE "offset" = 1').fetchall()
    assert found[0].get_time() == created
    more = [found[0].get_extension(name) for name in ("traceparent", "client", "offset", "generation", "attempt")]
    assert more == ["00-1", "c", "1", 1, 1]
    assert "tracestate" not in json.loads(deliveries[0].body)


def test_its_handler_can_use_bridge_transaction(world: World, database: str) -> None:
    world.client("c", call="cloudevent")
    world.publish("k")
    [delivery] = world.hand_over("c")
    with (
        psycopg.connect(database, autocommit=True) as connection,
        bridge.transaction(json.loads(delivery.body), connection) as mine,
    ):
        mine.execute("SELECT 1")
    assert world.rows("deliveries", "state") == ["done"]


@pytest.mark.parametrize("kind", ["a mapping", "an object of the package"])
def test_a_cloudevent_that_comes_in_is_stored_once(world: World, kind: str) -> None:
    event: Any = PAID if kind == "a mapping" else checked(json.dumps(PAID))
    first = bridge.publish_cloudevent(world.eyes, event)
    assert bridge.publish_cloudevent(world.eyes, event) == first
    query = """SELECT e.topic, key, payload, id, headers ->> 'traceparent', headers -> 'cloudevent'
                 FROM fq.events e JOIN fq.event_ids USING ("offset")"""
    [(topic, key, payload, id, traceparent, other)] = world.eyes.execute(query).fetchall()
    assert (topic, key, payload) == ("com.example.order.paid", "order-17", {"total": "9.50"})
    assert (id, traceparent) == ("/shop 17", PAID["traceparent"])
    assert datetime.fromisoformat(other.pop("time")) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert other == {
        "id": "17",
        "source": "/shop",
        "subject": "order-17",
        "datacontenttype": "application/json",
        "tenant": "acme",
    }
    world.client("c", call="cloudevent")
    out = checked(world.hand_over("c")[0].body)
    assert (out.get_extension("originid"), out.get_extension("originsource")) == ("17", "/shop")


def test_a_partition_key_goes_before_the_subject_and_the_source_counts(connect: Connect, database: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(database) as target:
            await bridge.apublish_cloudevent(target, {**PAID, "partitionkey": "p"})
            await bridge.apublish_cloudevent(target, {**PAID, "source": "/other", "subject": None})

    asyncio.run(main())
    found = (
        connect()
        .execute("""SELECT key, id FROM fq.events JOIN fq.event_ids USING ("offset") ORDER BY "offset" """)
        .fetchall()
    )
    assert found == [("p", "/shop 17"), (None, "/other 17")]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({**PAID, "specversion": "2.0"}, "specversion '2.0' is none"),
        ({**PAID, "id": ""}, "a CloudEvent needs its id"),
        ({**PAID, "type": None}, "a CloudEvent needs its type"),
        ({**PAID, "type": "order paid"}, "topic 'order paid' is malformed"),
        ({**PAID, "source": "/the shop"}, "is a URI reference"),
        ({**PAID, "id": "x" * 600}, "id '/shop xxxxxxxxxxxxxx'… has 606 characters"),
        ({**PAID, "data_base64": "AAAA"}, "is binary"),
        (CloudEvent({"type": "a", "source": "b", "id": "c", "specversion": "1.0"}, data=b"x"), "is binary"),
        ("text", "a str is no CloudEvent"),
    ],
)
def test_what_is_no_cloudevent_or_no_event_is_refused(connect: Connect, event: Any, told: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        bridge.publish_cloudevent(connect(), event)
    assert told in str(caught.value)
