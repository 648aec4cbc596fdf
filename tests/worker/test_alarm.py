"""A RabbitMQ that is short of memory, or whose queue is full, and the callbacks of a fleet that asks for confirms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

import bridge
from bridge.broker.unread import SHORT
from bridge.errors import BrokerUnavailable
from bridge.operate.workers import ask_workers
from bridge.pump.ready import FirstTick
from bridge.worker.callbacks import CallbackPublisher
from tests.support.rabbit import alarm, connections
from tests.support.waiting import wait_until

CALLBACK = ["bridge.commit", ["c", 1, 1, 1, "s" * 32]]


@pytest.fixture
def app(amqp_url: str) -> Celery:
    """Return a fleet's app that asks for confirms."""
    app = Celery("fleet", broker=amqp_url, set_as_current=False)
    app.conf.update(broker_transport_options={"confirm_publish": True}, bridge_connect_timeout_seconds=2)
    bridge.install(app)
    return app


def make(url: str, **arguments: object) -> None:
    """Make the bridge's queue."""
    with Connection(url) as connection:
        connection.default_channel.queue_declare("bridge", durable=True, auto_delete=False, arguments=arguments)


def test_g10_a_queue_that_takes_no_more_callbacks_is_an_expected_trouble(app: Celery, amqp_url: str) -> None:
    make(amqp_url, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    publisher = CallbackPublisher(app, "bridge")
    publisher.publish([CALLBACK])
    with pytest.raises(BrokerUnavailable, match=r"queue 'bridge': .* is the queue full"):
        publisher.publish([CALLBACK])
    with Connection(amqp_url) as connection:
        connection.default_channel.queue_purge("bridge")
    publisher.publish([CALLBACK])
    publisher.close()


def test_g10_callbacks_of_a_fleet_pile_up_no_connections_while_rabbitmq_is_short_of_memory(
    app: Celery, amqp_url: str
) -> None:
    make(amqp_url)
    publisher = CallbackPublisher(app, "bridge")

    def publish() -> bool:
        try:
            publisher.publish([CALLBACK])
        except BrokerUnavailable as error:
            assert "short of memory or disk" in str(error)
            return False
        return True

    with alarm(amqp_url):
        publish()  # the first one is taken
        for _ in range(4):
            assert not publish()
        assert connections(amqp_url) == 1
    wait_until(publish, what="callbacks go out again")
    publisher.close()


@pytest.mark.slow
def test_g10_a_bridge_worker_that_starts_while_rabbitmq_is_short_of_memory_does_not_wait_for_the_end_of_it(
    app: Celery, amqp_url: str
) -> None:
    make(amqp_url)
    parent: Any = SimpleNamespace(app=app)
    with alarm(amqp_url):
        FirstTick.start(FirstTick.__new__(FirstTick), parent)


@pytest.mark.slow
def test_g10_who_asks_the_workers_while_rabbitmq_is_short_of_memory_is_told_so(app: Celery, amqp_url: str) -> None:
    make(amqp_url)
    with alarm(amqp_url):
        seen = ask_workers(app, queue="fleet", bridge_queue="bridge", timeout_seconds=0.5)
    assert seen.is_short
    assert str(seen.trouble).endswith(SHORT)
