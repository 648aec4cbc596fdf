"""On RabbitMQ the doctor sees how queues are made and who consumes them, and leaves them as they are."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection, Queue

import bridge
from bridge.operate.doctor import Finding
from tests.support.world import World


def examine(database: str, broker: str) -> list[Finding]:
    app = Celery("shop", broker=broker, set_as_current=False)
    app.conf.bridge_database_url = database
    with bridge.Operator(app) as operator:
        found = operator.doctor(timeout_seconds=1)
    app.close()
    return found


def of(found: list[Finding], check: str) -> list[Finding]:
    return [it for it in found if it.check == check]


def test_a_queue_that_a_restart_loses_is_found_and_so_is_one_that_nobody_consumes(
    world: World, database: str, amqp_url: str
) -> None:
    made: dict[str, dict[str, Any]] = {
        "fragile": {"durable": False},
        "solid": {},
        "quorum": {"queue_arguments": {"x-queue-type": "quorum"}},
        "limited": {"queue_arguments": {"x-max-length": 10}},
    }
    for name in (*made, "absent"):
        world.client(f"client-{name}", queue=name)
    with Connection(amqp_url) as connection:
        for name, options in made.items():
            Queue(name, **options)(connection.default_channel).declare()
        consumer = connection.Consumer([Queue("solid", no_declare=True)], callbacks=[print])
        consumer.consume()  # by a program that answers no questions
        found = examine(database, amqp_url)
        assert connection.default_channel.queue_declare("solid", passive=True).consumer_count == 1

    [product] = of(found, "broker")
    assert (product.level, product.text.split()[0]) == ("ok", "RabbitMQ")
    [lost] = of(found, "queues")
    assert (lost.level, lost.data["queue"]) == ("at-risk", "fragile")
    unread = [it.text.split("'")[1] for it in of(found, "consumers")]
    assert sorted(unread) == ["absent", "fragile", "limited", "quorum"]
    assert {it.level for it in of(found, "consumers")} == {"at-risk"}
    assert [it.level for check in ("persistence", "eviction", "visibility-timeout") for it in of(found, check)] == [
        "ok",
        "ok",
        "ok",
    ]

    with Connection(amqp_url) as connection:  # it has made none, and changed none
        channel = connection.default_channel
        with channel.connection.channel() as other:
            try:
                other.queue_declare("absent", passive=True)
                raise AssertionError("the doctor has made a queue")
            except connection.channel_errors:
                pass
        channel.queue_delete("fragile")
    again = of(examine(database, amqp_url), "queues")
    assert [it.level for it in again] == ["ok"]
    assert "limited (of some type)" in again[0].text and "quorum (quorum)" in again[0].text
    assert "solid (classic)" in again[0].text
