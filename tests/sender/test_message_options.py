"""Priority, headers and time limits of a client: on its messages, whichever writer makes them, and nobody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from kombu import Connection

from bridge.contract import celery_link, sign
from bridge.model import Delivery
from bridge.sender.parcels import headers_of
from bridge.settings.headers import CELERYS, NAME, TRACES, message_headers, problem_of_headers
from bridge.tracing.context import MOST_CHARACTERS
from tests.sender.test_messages import FLEETS_OWN, WRITERS, app, client, delivery, flat, sending, sent
from tests.support.world import World

__all__ = ["app"]  # a fixture

WANTED: dict[str, Any] = {
    "priority": 6,
    "headers": ("tenant", "x_correlation_id:correlation_id", "source=the bridge"),
    "time_limit_seconds": 90,
    "soft_time_limit_seconds": 60.5,
}
PASSED = {"tenant": 'a"%s\u2028ü', "x_correlation_id": "17"}


@WRITERS
def test_what_a_client_asks_for_is_on_its_messages_as_send_task_would_put_it_there(
    app: Celery, redis_url: str, *, writer: str
) -> None:
    to = client(call="payload", **WANTED)
    out = delivery(to, headers=PASSED)
    with sending(app, writer) as sender:
        assert sender.send(to, [out]) == []
    signed = ("c", 42, 1, 1, sign("s", ("c", 42, 1, 1), generation=1))
    own = {"client": "c", "offset": 42, "attempt": 1, "epoch": 1, "generation": 1}
    app.send_task(
        "fleet.handle",
        args=[json.loads(out.body)],
        task_id=out.task_id,
        queue="celery",
        link=celery_link("bridge.commit", "bridge", signed),
        link_error=celery_link("bridge.fail", "bridge", signed),
        headers={**{f"bridge_{name}": value for name, value in own.items()}, **PASSED, "source": "the bridge"},
        priority=6,
        time_limit=90,
        soft_time_limit=60.5,
        **FLEETS_OWN,
    )
    ours, celerys = sent(redis_url, "celery\x06\x166")
    assert flat(ours) == flat(celerys)
    assert sent(redis_url) == []


@WRITERS
def test_a_message_gets_the_headers_that_its_event_has_and_a_stencil_is_made_for_each_set(
    app: Celery, redis_url: str, *, writer: str
) -> None:
    to = client(headers=("tenant", "b"))
    some: list[dict[str, str]] = [{"tenant": "1", "b": "2"}, {"tenant": "3"}, {}, {"b": "4"}, {"tenant": "5", "b": "6"}]
    with sending(app, writer) as sender:
        sender.send(to, [delivery(to, offset=n, headers=headers) for n, headers in enumerate(some)])
    found = [{k: v for k, v in message["headers"].items() if k in ("tenant", "b")} for message in sent(redis_url)]
    assert found == some


def test_a_batch_gets_only_the_headers_in_which_its_events_agree() -> None:
    to = client(headers=("tenant", "b"), batch=10)
    parcel = [delivery(to, headers={"tenant": "1", "b": str(n)}) for n in range(3)]
    assert headers_of(parcel) == {"tenant": "1"}
    assert headers_of([*parcel, delivery(to)]) == {}
    assert headers_of(parcel[:1]) == {"tenant": "1", "b": "0"}


def test_a_pass_reads_the_headers_that_a_client_wants_bounded_and_as_text(world: World) -> None:
    world.client(headers=("tenant", "x_correlation_id:correlation_id", "fixed=1"))
    world.client("plain")
    for headers in (
        {"tenant": "acme", "correlation_id": 17, "other": "x"},
        {"tenant": "x" * 513, "correlation_id": True},
        {"tenant": {"id": 1}},
        {"tenant": "two\nlines", "correlation_id": None},
        {},
    ):
        statement = "INSERT INTO fq.events (topic, headers) VALUES ('order', %s)"
        world.eyes.execute(statement, [json.dumps(headers)])
    assert [dict(it.headers) for it in world.hand_over()] == [
        {"tenant": "acme", "x_correlation_id": "17"},
        {"x_correlation_id": "true"},
        {"tenant": '{"id": 1}'},
        {},
        {},
    ]
    assert [it.headers for it in world.hand_over("plain")] == [{}] * 5
    world.fail(world.sent[0])
    world.succeed(*world.sent[1:])
    world.make_due()
    assert [dict(it.headers) for it in world.hand_over()] == [{"tenant": "acme", "x_correlation_id": "17"}]


def test_no_header_can_take_the_place_of_one_that_celery_the_broker_or_the_bridge_reads() -> None:
    with Celery("any", broker="memory://", set_as_current=False) as it:
        celerys = set(it.amqp.as_task_v2("id", "name").headers)
    attributes = {name.lower() for name in vars(Context) if NAME.fullmatch(name) and not name.startswith("_")}
    others = {"bridge_client", "BRIDGE_x", "x-death", "CC", "compression", *MOST_CHARACTERS}
    for name in celerys | attributes | others:
        assert problem_of_headers([name]), name
        assert problem_of_headers([f"{name}=1"]), name
    assert {name.lower() for name in celerys} <= CELERYS
    assert {*MOST_CHARACTERS} == TRACES
    assert problem_of_headers({"tenant": "acme"}) == ""
    assert message_headers(("a", "b:c", "d=e:f=g")) == ({"d": "e:f=g"}, {"a": "a", "b": "c"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([f"h{n}" for n in range(17)], "at most 16 headers"),
        (["tenant", "TENANT=1"], "is there twice"),
        (["a=" + "x" * 513], "longer than 512 characters"),
        (["a=b\x1b[31m"], "must be printable"),
        (["a="], "has nothing after '='"),
        ("tenant", "must be a list of names"),
        ({"a": 1}, "must be a mapping of names and texts"),
        (["two words"], "is not a header"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_headers_that_can_t_be_are_refused_with_the_reason(value: Any, said: str) -> None:
    assert said in problem_of_headers(value)


def test_rabbitmq_hands_out_what_has_the_higher_priority_first(amqp_url: str) -> None:
    with Celery("bridge", broker=amqp_url, set_as_current=False) as it, Connection(amqp_url) as connection:
        queue = connection.SimpleQueue("bills", queue_args={"x-max-priority": 9})
        with sending(it, "kombu") as sender:
            for id, priority in (("slow", 0), ("quick", 7)):
                to = client(id=id, queue="bills", priority=priority)
                sender.send(to, [delivery(to)])
        first, second = queue.get(timeout=30), queue.get(timeout=30)
        assert [it.headers["bridge_client"] for it in (first, second)] == ["quick", "slow"]
        assert (first.properties["priority"], second.properties.get("priority")) == (7, 0)
        queue.clear()
        queue.close()


def test_a_client_s_deliveries_have_no_headers_unless_it_asks() -> None:
    assert Delivery(client(), 1, 1, 1, "t", "{}").headers == {}


def test_what_a_pass_hands_over_has_its_key_and_no_headers_that_its_client_did_not_ask_for(world: World) -> None:
    world.client()
    world.publish("k", None)
    assert [(it.key, it.headers) for it in world.hand_over()] == [("k", {}), (None, {})]
