"""Handing over on RabbitMQ: only what the broker has confirmed is remembered, and a missing queue is noticed (G1)."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from celery import Celery
from kombu import Connection, Queue

from bridge.app import Bridge
from bridge.broker.confirms import Confirms
from bridge.errors import BrokerRefuses, BrokerUnavailable, QueueMissing
from bridge.pump.loop import pump_of
from bridge.sender.sender import Sender
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World, offsets

MakeSender = Callable[..., Sender]
NUMBER = 20


@pytest.fixture
def broker(amqp_url: str) -> Iterator[Connection]:
    """The broker, by a connection of the test's own; it has the queue `celery`."""
    with Connection(amqp_url) as connection:
        declare(connection, "celery")
        yield connection


@pytest.fixture
def link(amqp_url: str, broker: Connection) -> Iterator[Link]:
    """The senders' way to the broker."""
    port = urlsplit(amqp_url).port
    assert port is not None
    it = Link(port)
    yield it
    it.close()


@pytest.fixture
def sender(amqp_url: str, link: Link) -> Iterator[MakeSender]:
    """A factory of senders whose way to the broker is the link."""
    with ExitStack() as stack:

        def make(*, patience_seconds: float = 60, **conf: Any) -> Sender:
            url = amqp_url.replace(f":{urlsplit(amqp_url).port}/", f":{link.port}/")
            app = stack.enter_context(Celery("bridge", broker=url, set_as_current=False))
            app.conf.update(conf)
            it = Sender(app, queue="bridge", secret="secret", connect_timeout_seconds=patience_seconds / 2)
            stack.callback(it.close)
            return it

        yield make
        link.unmute()  # or closing would wait for ever for an answer


def declare(broker: Connection, name: str, **arguments: Any) -> None:
    with broker.channel() as channel:
        Queue(name, exchange="", routing_key=name, queue_arguments=arguments)(channel).queue_declare()


def taken(broker: Connection, queue: str) -> list[str]:
    """Take all messages off a queue; return the ids of their tasks."""
    ids = list[str]()
    with broker.channel() as channel:
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            ids.append(message.headers["id"])
    return ids


def waiting(broker: Connection, queue: str = "celery") -> int:
    """How many messages wait in a queue."""
    with broker.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


class Pass(threading.Thread):
    """A pass in the background."""

    def __init__(self, world: World, sender: Sender) -> None:
        super().__init__(daemon=True)
        self.world, self.sender = world, sender
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.world.one_pass(send=self.sender.send)
        except Exception as error:
            self.error = error


def begun_but_not_confirmed(world: World, sender: Sender, link: Link, broker: Connection) -> Pass:
    """A pass whose messages the broker has, and whose confirms are held back."""
    world.client("c", start="now")
    world.publish("of another pass")
    world.one_pass(send=sender.send)  # connects
    world.publish(*[None] * NUMBER)
    before, found = world.row()["dispatched"], waiting(broker)
    link.mute()
    it = Pass(world, sender)
    it.start()
    wait_until(lambda: waiting(broker) == found + NUMBER, what="the broker has all messages")
    assert it.is_alive()
    assert world.row()["dispatched"] == before, "not yet: they are not confirmed"
    return it


def test_a_pass_is_remembered_when_the_broker_has_confirmed_all_of_it(
    world: World, sender: MakeSender, link: Link, broker: Connection
) -> None:
    begun = begun_but_not_confirmed(world, sender(), link, broker)
    link.unmute()
    begun.join(60)
    assert begun.error is None
    assert len(world.rows("deliveries")) == NUMBER + 1


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_g1_of_a_pass_that_the_broker_left_in_the_middle_nothing_is_remembered(
    how: str, world: World, sender: MakeSender, link: Link, broker: Connection
) -> None:
    used = sender(patience_seconds=60 if how == "gone" else 4)
    begun = begun_but_not_confirmed(world, used, link, broker)
    if how == "gone":
        link.cut()
    begun.join(60)
    assert isinstance(begun.error, BrokerUnavailable)
    assert how == "gone" or f"{NUMBER} messages were not confirmed in 4 s" in str(begun.error)
    assert len(world.rows("deliveries")) == 1
    link.cut()
    world.one_pass(send=used.send)
    assert len(world.rows("deliveries")) == NUMBER + 1
    assert waiting(broker) == 1 + 2 * NUMBER, "all of it again"


@pytest.mark.parametrize(
    "conf", [{"task_send_sent_event": True}, {"broker_transport_options": {"confirm_publish": True}}]
)
def test_whatever_else_is_published_on_the_way_is_counted(
    conf: dict[str, Any], world: World, sender: MakeSender, broker: Connection
) -> None:
    used = sender(**conf)
    world.client()
    for _ in range(3):
        world.publish(None, None)
        world.one_pass(send=used.send)
    assert waiting(broker) == 6


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("conf", [{}, {"task_send_sent_event": True}])
def test_g10_of_a_queue_that_fills_up_what_it_took_is_remembered_and_only_the_rest_goes_out_again(
    batch: int, conf: dict[str, Any], world: World, sender: MakeSender, broker: Connection
) -> None:
    declare(broker, "small", **{"x-max-length": 2, "x-overflow": "reject-publish"})
    used = sender(**conf)
    world.client(queue="small", batch=batch)
    world.client("other")
    world.publish(*[None] * 6 * batch)
    ids: list[str] = []
    for _ in range(3):
        done = world.one_pass(send=used.send)
        assert done is not None
        assert done.sent == 2 * batch
        ids += taken(broker, "small")
        world.make_not_taken_due()
    assert ids == [f"c:{offset}" for offset in range(1, 6 * batch + 1, batch)], "each once, as its first attempt"
    assert set(world.rows("deliveries", "state, attempt")) == {("sent", 1)}
    world.one_pass("other", send=used.send)
    assert waiting(broker) == 6 * batch, "the connection is still good"


def test_g10_a_queue_that_takes_nothing_is_the_broker_s_refusal_and_nothing_is_remembered(
    world: World, sender: MakeSender, broker: Connection
) -> None:
    declare(broker, "small", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    used = sender()
    world.client(queue="small")
    world.publish(None, None, None)
    world.one_pass(send=used.send)
    before = world.rows("deliveries", '"offset", state, attempt')
    assert before == [(1, "sent", 1), (2, "retrying", 0), (3, "retrying", 0)]
    world.make_not_taken_due()
    with pytest.raises(BrokerUnavailable, match="is the queue full"):
        world.one_pass(send=used.send)
    assert world.rows("deliveries", '"offset", state, attempt') == before
    world.client("other")
    world.one_pass("other", send=used.send)
    assert waiting(broker) == 3, "the connection is still good"


def test_g10_a_message_that_the_driver_refuses_to_write_makes_nobody_wait_for_its_confirmation(
    world: World, sender: MakeSender, broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.settings.client.QUEUE_BYTES", 1000)
    used = sender()
    world.client("bad")
    world.client("good")
    world.publish(None, None)
    world.eyes.execute("ALTER DOMAIN fq.client_queue DROP CONSTRAINT clients_queue")
    world.eyes.execute("UPDATE fq.clients SET queue = repeat('q', 256) WHERE id = 'bad'")
    for _ in range(2):
        with pytest.raises(struct.error):
            world.one_pass("bad", send=used.send)
        world.one_pass("good", send=used.send)
        assert waiting(broker) == 2


@pytest.mark.parametrize("option", [{}, {"confirm_publish": True}], ids=["plain", "confirm_publish"])
def test_g10_answers_are_waited_for_whichever_way_the_shop_has_set_the_channel_up(
    amqp_url: str, broker: Connection, option: dict[str, Any]
) -> None:
    with Connection(amqp_url, transport_options=option) as connection:
        channel = connection.channel()
        confirms = Confirms(channel)
        for _ in range(2):
            channel.basic_publish(amqp.Message("{}"), routing_key="celery")
            with pytest.raises(struct.error):
                channel.basic_publish(amqp.Message("{}"), routing_key="q" * 256)
            channel.basic_publish(amqp.Message("{}"), routing_key="celery")
            assert confirms.wait(5) == set()
        assert confirms.taken_since(0) == {0, 1, 2, 3}
    assert waiting(broker) == 4


def test_g1_what_a_missing_queue_dropped_is_not_taken_for_delivered_because_others_were_refused(
    amqp_url: str, broker: Connection
) -> None:
    declare(broker, "small", **{"x-max-length": 0, "x-overflow": "reject-publish"})
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        confirms = Confirms(channel)
        for _ in range(2):
            for queue in ("small", "nowhere"):
                channel.basic_publish(amqp.Message("{}"), routing_key=queue, mandatory=True)
            assert confirms.wait(5) == {"nowhere"}
        channel.basic_publish(amqp.Message("{}"), routing_key="small", mandatory=True)
        with pytest.raises(BrokerRefuses):
            confirms.wait(5)


def test_a_queue_that_is_missing_is_named_and_nothing_is_remembered(
    world: World, sender: MakeSender, broker: Connection
) -> None:
    used = sender()
    world.client(queue="no-such-queue")
    world.publish(None, None)
    with pytest.raises(QueueMissing, match="'no-such-queue': start a worker") as caught:
        world.one_pass(send=used.send)
    assert caught.value.queue == "no-such-queue"
    assert world.rows("deliveries") == []
    declare(broker, "no-such-queue")
    world.one_pass(send=used.send)
    assert waiting(broker, "no-such-queue") == 2
    assert offsets(world.hand_over()) == [], "all of it is remembered"


def test_a_missing_queue_is_its_own_client_s_trouble_and_in_the_same_tick_the_others_are_served(
    world: World, database: str, amqp_url: str, broker: Connection
) -> None:
    with Celery("bridge", broker=amqp_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=0)
        bridge = Bridge(app)
        world.client("a-lost-one", queue="no-such-queue")
        world.client("good")
        world.publish("k")
        done = pump_of(bridge).tick()
        assert (done.sent, done.troubled) == (1, 1)
        assert "no queue 'no-such-queue'" in world.row("a-lost-one")["trouble"]
        assert world.row("a-lost-one")["dispatched"] == -1
        assert waiting(broker) == 1
        declare(broker, "no-such-queue")
        wait_until(lambda: pump_of(bridge).tick().sent == 1, what="the client is served once its queue is there")
        assert waiting(broker, "no-such-queue") == 1
        bridge.sender.close()
        bridge.store.close()


def test_the_bridge_s_own_queue_is_declared_as_the_app_declares_it(
    world: World, sender: MakeSender, broker: Connection
) -> None:
    declare(broker, "bridge", **{"x-max-priority": 5})
    used = sender(task_queue_max_priority=5)
    world.client()
    world.publish(None)
    world.one_pass(send=used.send)
    assert waiting(broker) == 1
