"""Batches: a task gets a list; success commits all, a batch that fails is split until the poison is alone (G4, G7)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from bridge.app import Bridge
from bridge.errors import InvalidClient
from bridge.model import Delivery, Failure, Outcome
from bridge.sender.parcels import pack
from bridge.sender.sender import Sender
from bridge.settle.read_callbacks import settle_callbacks
from bridge.settle.settle import settle
from bridge.store.effect import HandedOver, begin_effect, end_effect
from tests.sender.test_messages import client, delivery, flat
from tests.support.world import World, offsets


def parcels(deliveries: list[Delivery]) -> list[list[int]]:
    return [offsets(parcel) for _, parcel in pack(deliveries[0].client, deliveries)]


def outcomes(parcel: list[int], deliveries: list[Delivery], failure: Failure | None = None) -> list[Outcome]:
    found = {d.offset: d for d in deliveries}
    return [
        Outcome(
            client="c",
            offset=offset,
            epoch=1,
            attempt=found[offset].attempt,
            failure=failure,
            batch_offsets=tuple(parcel) if len(parcel) > 1 else (),
        )
        for offset in parcel
    ]


def test_deliveries_share_messages_up_to_the_batch_in_order(world: World) -> None:
    world.client(batch=4)
    world.publish(*[None] * 10)
    assert parcels(world.hand_over()) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_tasks_epochs_and_attempts_do_not_share_a_message() -> None:
    to = client(batch=10, routes=(("a.#", "other"),))
    mixed = [
        delivery(to, offset=1, topic="a.b"),
        delivery(to, offset=2, topic="b"),
        delivery(to, offset=3, topic="b", attempt=2),
        delivery(to, offset=4, topic="b", epoch=2),
        delivery(to, offset=5, topic="b", part=5),
        delivery(to, offset=6, topic="b"),
    ]
    assert [(task, offsets(parcel)) for task, parcel in pack(to, mixed)] == [
        ("other", [1]),
        ("fleet.handle", [2, 6]),
        ("fleet.handle", [3]),
        ("fleet.handle", [4]),
        ("fleet.handle", [5]),
    ]


def test_g7_a_failing_batch_is_split_until_the_poison_event_alone_is_parked(world: World) -> None:
    world.client(batch=16, max_attempts=2, backoff_seconds=0)
    world.publish(*[None] * 16)
    poison, handled, messages = 11, set(), 0
    for _ in range(20):
        deliveries = world.hand_over()
        for parcel in parcels(deliveries) if deliveries else []:
            messages += 1
            bad = poison in parcel
            handled |= set() if bad else set(parcel)
            settle(world.store, outcomes(parcel, deliveries, Failure(type="E") if bad else None))
    assert handled == set(range(1, 17)) - {poison}
    assert world.rows("parked", '"offset", reason') == [(poison, "failed 2 times")]
    assert world.cursor() == 16
    assert messages == 1 + 2 * 4 + 1, "halved four times, and the poison tried twice alone"


def test_what_a_handler_s_transaction_ended_is_done_although_its_batch_failed(world: World) -> None:
    world.client(batch=4)
    world.publish(*[None] * 4)
    deliveries = world.hand_over()
    with world.eyes.transaction():
        begin_effect(world.eyes, HandedOver("c", 1, generation=1, epoch=1, attempt=1))
        end_effect(world.eyes, HandedOver("c", 1, generation=1, epoch=1, attempt=1))
    settled = settle(world.store, outcomes([1, 2, 3, 4], deliveries, Failure(type="E")))
    assert (settled.succeeded, settled.retried) == (1, 3)
    assert world.cursor() == 1, "its key goes on at once, not when its lease ends"
    assert parcels(world.hand_over()) == [[2, 3], [4]]


def test_g4_keys_stay_in_order_inside_and_across_batches(world: World) -> None:
    world.client(batch=3)
    world.publish(*"aabbab")
    seen: list[int] = []
    while deliveries := world.hand_over():
        for parcel in parcels(deliveries):
            keys = [json.loads(d.body)["key"] for d in deliveries if d.offset in parcel]
            assert len(set(keys)) == len(keys)
            seen += parcel
        world.succeed(*deliveries)
    assert [n for n in seen if n in (1, 2, 5)] == [1, 2, 5]
    assert [n for n in seen if n in (3, 4, 6)] == [3, 4, 6]


def test_what_was_never_answered_goes_out_alone(world: World) -> None:
    world.client(batch=10)
    world.publish(None, None, None)
    assert parcels(world.hand_over()) == [[1, 2, 3]]
    world.make_due()
    assert parcels(world.hand_over()) == [[1], [2], [3]]


def test_a_batch_that_is_not_full_waits_for_more_but_not_for_ever(world: World) -> None:
    world.client(batch=3, batch_wait_ms=3_600_000)
    world.publish(None, None)
    assert world.hand_over() == []
    world.publish(None)
    assert parcels(world.hand_over()) == [[1, 2, 3]]
    world.publish(None)
    assert world.hand_over() == []
    world.client(batch_wait_ms=1)
    world.eyes.execute("SELECT pg_sleep(0.01)")
    assert parcels(world.hand_over()) == [[4]]


@pytest.mark.parametrize("later", ["1 hour", "1000 years"])  # the clock was set back; a publisher chose the time
def test_g10_a_batch_does_not_wait_for_the_time_that_its_events_say(world: World, later: str) -> None:
    world.client(batch=3, batch_wait_ms=3_600_000)
    statement = "INSERT INTO fq.events (topic, created_at) VALUES ('t', now() + CAST(%s AS interval))"
    world.eyes.execute(statement, [later])
    assert parcels(world.hand_over()) == [[1]]
    world.eyes.execute(statement, [later])
    world.publish(None)
    assert world.hand_over() == [], "one that says the present is waited with"


def test_a_batch_has_no_keyword_arguments() -> None:
    with pytest.raises(InvalidClient, match="a batch has no keyword arguments"):
        client(batch=2, call="kwargs")


@pytest.mark.parametrize("report_by", ["callback", "in-process"])
def test_both_paths_send_the_same_batch_and_its_callback_settles_it(
    world: World, redis_url: str, report_by: str
) -> None:
    world.client(batch=3, report_by=report_by)
    world.publish(*[None] * 4)
    sent: list[dict[str, Any]] = []
    deliveries = world.hand_over()
    with Celery("fleet", broker=redis_url, set_as_current=False) as app, Redis.from_url(redis_url) as redis:
        app.conf.update(
            bridge_database_url=world.store.engine.url.render_as_string(hide_password=False), bridge_secret="s"
        )
        for redis_writer in (True, False):
            sender = Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5, redis_writer=redis_writer)
            assert sender.send(deliveries[0].client, deliveries) == []
            sender.close()
            sent.append([flat(json.loads(m)) for m in reversed(redis.lrange("celery", 0, -1))])  # type: ignore[arg-type]
            shown = json.loads(redis.lindex("celery", -1))["headers"]["argsrepr"]
            assert shown.startswith("(<order.created #1..3 (3 events)> [")
            redis.delete("celery")
        assert sent[0] == sent[1]
        first = sent[0][0]  # type: ignore[index]
        [events], _, embedded = first["body"]
        assert [event["offset"] for event in events] == [1, 2, 3]
        bridge = Bridge(app)
        if report_by == "callback":
            reported = embedded["callbacks"][0]["args"]
        else:
            reported = [first[f"bridge_{name}"] for name in ("client", "offsets", "epoch", "attempt", "signature")]
        assert settle_callbacks(bridge, [("bridge.commit", reported)]).succeeded == 3
        forged = [reported[0], [1, 2, 3, 4], *reported[2:]]
        assert settle_callbacks(bridge, [("bridge.commit", forged)]).succeeded == 0
        bridge.store.close()
        app.close()
    assert world.cursor() == 3
