"""A connection that a RabbitMQ short of memory does not read is kept, but not for ever: its broker may vanish (G10)."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urlsplit

import amqp
import pytest
from celery import Celery
from kombu import Connection

from bridge.broker import unread
from bridge.broker.internals.connections import drop
from bridge.broker.unread import Patience
from bridge.collector.publishing import Publishing
from bridge.errors import BrokerRefuses
from bridge.sender.connection import Connected, Unread, connect
from tests.support.link import Link
from tests.support.rabbit import alarm
from tests.support.waiting import wait_until


def test_each_connection_that_is_not_read_is_kept_twice_as_long_as_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(unread, "time", SimpleNamespace(monotonic=lambda: now))
    patience = Patience()
    kept = []
    for _ in range(5):
        patience.begin()
        began = now
        while not patience.is_over():
            now += 1
        kept.append(now - began)
    assert kept == [60, 120, 240, 480, 600]
    patience.end()
    patience.begin()
    now += 60
    assert patience.is_over()


@pytest.fixture
def link(amqp_url: str) -> Link:
    """Return a link before the broker."""
    return Link(urlsplit(amqp_url).port or 0)


def test_g10_a_broker_that_vanishes_while_it_is_short_of_memory_is_found_again(
    amqp_url: str, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "PATIENT_SECONDS", 1.0)
    monkeypatch.setattr(unread, "LONGEST_SECONDS", 1.0)
    monkeypatch.setattr("bridge.collector.publishing.CONFIRM_SECONDS", 0.5)
    with Connection(amqp_url) as connection:
        connection.default_channel.queue_declare("bridge.ticks", durable=True, auto_delete=False)
    url = amqp_url.replace(f":{urlsplit(amqp_url).port}/", f":{link.port}/")
    with Celery("patient", broker=url, set_as_current=False) as app:
        kept, publishing = Unread(), Publishing(app)

        def reach() -> Connected | None:
            try:
                return connect(app, queue="bridge", connect_timeout_seconds=5, answer_timeout_seconds=0.5, unread=kept)
            except TimeoutError:
                return None

        def publish() -> bool:
            try:
                publishing.publish([amqp.Message("a")], to="bridge.ticks")
            except BrokerRefuses:
                return False
            return True

        with alarm(amqp_url):
            assert reach() is None
            assert not publish()
            link.lose()
        wait_until(publish, what="the collector publishes")
        connected = wait_until(reach, what="the pump has a connection")
        assert connected is not None
        drop(connected.producer.connection)
        publishing.close()
    link.close()
