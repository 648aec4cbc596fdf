"""The sender asks how long a queue is, and has workers drop what was replaced; it does both on its own connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue

from bridge.errors import BrokerUnavailable
from bridge.sender.sender import Sender
from tests.support.waiting import wait_until


@pytest.fixture(params=["redis_url", "amqp_url"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of either broker."""
    url: str = request.getfixturevalue(request.param)
    return url


def sender_on(app: Celery) -> Sender:
    """Make a sender of an app."""
    return Sender(app, queue="bridge", secret="s", connect_timeout_seconds=5)


@pytest.fixture
def app(broker_url: str) -> Iterator[Celery]:
    """Return an app on either broker."""
    with Celery("bridge", broker=broker_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def sender(app: Celery) -> Iterator[Sender]:
    """Return a sender of the app."""
    sender = sender_on(app)
    yield sender
    sender.close()


def test_g10_the_length_of_a_queue_is_what_nobody_has_taken(sender: Sender, broker_url: str) -> None:
    assert sender.length("fleet") == 0, "there is no such queue"
    with Connection(broker_url) as connection, connection.channel() as channel:
        queue = Queue("fleet", Exchange(""), "fleet", durable=True, channel=channel)
        queue.declare()
        assert sender.length("fleet") == 0
        for priority in (0, 0, 9):
            Producer(channel).publish({}, routing_key="fleet", priority=priority)
        wait_until(lambda: sender.length("fleet") == 3, what="three messages wait, of whatever priority")
        taken = wait_until(queue.get, what="one of them")
        assert sender.length("fleet") == 2, "one is in somebody's hands"
        taken.ack()
        assert sender.length("fleet") == 2
        queue.purge()
        assert sender.length("fleet") == 0


def test_g10_a_revocation_reaches_every_worker_s_mailbox(app: Celery, sender: Sender, broker_url: str) -> None:
    exchange = app.control.mailbox.exchange
    found: list[Any] = []
    with Connection(broker_url) as connection, connection.channel() as channel:
        mailbox = Queue("listening.pidbox", exchange, exclusive=False, auto_delete=True, durable=False)
        with connection.Consumer(
            [mailbox], channel=channel, callbacks=[lambda body, _: found.append(body)], no_ack=True
        ):

            def heard() -> bool:
                sender.revoke(["c:1", "c:2:e3:a4"])  # again and again: a subscription to Redis takes a moment
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    return False
                return bool(found)

            wait_until(heard, timeout=60, what="the message is heard")
        assert found[0]["method"] == "revoke"
        assert found[0]["arguments"]["task_id"] == ["c:1", "c:2:e3:a4"]
        assert found[0]["arguments"]["terminate"] is False
    assert sender.length("fleet") == 0, "the connection is as good as before"


def test_g10_a_broker_that_is_away_is_nobody_s_fault_for_a_revocation_and_no_answer_for_a_look() -> None:
    with Celery("bridge", broker="redis://127.0.0.1:1/0", set_as_current=False) as app:
        sender = sender_on(app)
        sender.revoke(["c:1"])
        with pytest.raises(BrokerUnavailable):
            sender.length("fleet")


def test_g10_a_transport_that_keeps_no_order_is_not_asked(tmp_path: Any) -> None:
    with Celery("bridge", broker="filesystem://", set_as_current=False) as app:
        app.conf.broker_transport_options = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path)}
        sender = sender_on(app)
        assert sender.length("fleet") is None
        sender.close()
