"""What RabbitMQ refuses of a collector that passes messages on harms only these messages (G10)."""

from __future__ import annotations

from typing import Any

import amqp
import pytest
from celery import Celery

from bridge.collector import onward
from bridge.collector.publishing import Publishing
from bridge.collector.settling import Held
from bridge.collector.waiting import WaitingRoom
from bridge.errors import BrokerRefuses, StoreLocked
from bridge.model import Outcome
from tests.collector.collecting import SECONDS, OnRabbit, collecting, genuine
from tests.support.rabbit import alarm, connections, no_more
from tests.support.waiting import wait_until
from tests.support.world import World

TICK, OTHER = "bridge.pump", "bridge.prune"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward, "AGAIN_SECONDS", 0.1)


class Rabbit(OnRabbit):
    def send(self, task: str, *args: Any, headers: dict[str, Any] | None = None) -> None:
        """Put a call on the bridge's queue."""
        with (
            Celery("publisher", broker=self.url, set_as_current=False) as app,
            app.amqp.Producer(self.connection) as it,
        ):
            app.send_task(task, args=args, queue="bridge", producer=it, headers=headers, declare=[])

    def make(self, queue: str, **arguments: Any) -> None:
        with self.connection.channel() as channel:
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)

    def is_read(self) -> bool:
        with self.connection.channel() as channel:
            return bool(channel.queue_declare("bridge", passive=True).consumer_count)

    def tasks(self, queue: str) -> list[str]:
        """Take all messages off a queue; return what they call."""
        found: list[str] = []
        with self.connection.channel() as channel:
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(message.headers.get("task", ""))
        return found


def test_g10_outcomes_are_settled_while_rabbitmq_takes_no_more_connections(
    world: World, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.client(ordering="none")
    world.publish("a")
    [delivery] = world.hand_over()
    broker = Rabbit(amqp_url)
    broker.make("bridge")
    with collecting(world, amqp_url):
        wait_until(broker.is_read, timeout=SECONDS, what="the collector reads")
        with no_more(amqp_url, "connections"):
            broker.send(TICK)
            broker.send("bridge.commit", *genuine(delivery))
            wait_until(lambda: not world.rows("deliveries"), timeout=SECONDS, what="it is settled")
        wait_until(lambda: broker.waiting("bridge.ticks") == 1, timeout=SECONDS, what="the tick is passed on")
    broker.close()
    assert "ticks are not passed on: the broker takes no messages for queue 'bridge.ticks': " in caplog.text


def test_g10_queues_of_the_bridge_that_were_made_in_another_way_serve_as_they_are(world: World, amqp_url: str) -> None:
    world.client(ordering="none")
    world.publish("a")
    [delivery] = world.hand_over()
    broker = Rabbit(amqp_url)
    broker.make("bridge", **{"x-max-length": 1000})
    broker.make("bridge.ticks", **{"x-max-length": 1000})
    broker.send(TICK)
    broker.send("bridge.commit", *genuine(delivery))
    with collecting(world, amqp_url):
        wait_until(lambda: not world.rows("deliveries"), timeout=SECONDS, what="it is settled")
        wait_until(lambda: broker.waiting("bridge.ticks") == 1, timeout=SECONDS, what="the tick is passed on")
    broker.close()


def test_g10_what_a_full_queue_has_taken_is_not_passed_on_again(
    world: World, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Rabbit(amqp_url)
    broker.make("bridge")
    broker.make("bridge.ticks", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    broker.send(OTHER)
    broker.send(TICK)
    with collecting(world, amqp_url):
        wait_until(lambda: "ticks are not passed on" in caplog.text, timeout=SECONDS, what="the second is refused")
        assert broker.tasks("bridge.ticks") == [OTHER]
        wait_until(lambda: broker.waiting("bridge.ticks") == 1, timeout=SECONDS, what="there is room for the second")
        assert broker.tasks("bridge.ticks") == [TICK]
    broker.close()
    assert "queue 'bridge.ticks': the broker refuses messages (basic.nack)" in caplog.text


@pytest.mark.parametrize(("body", "kept"), [(None, "bridge.ticks"), (b"garbage", "bridge.unreadable")])
def test_g10_a_message_that_asks_for_a_copy_on_the_bridge_s_queue_does_not_come_for_ever(
    world: World, amqp_url: str, body: bytes | None, kept: str
) -> None:
    broker, seen = Rabbit(amqp_url), []
    broker.make("bridge")

    def is_passed_on() -> bool:
        seen.extend(broker.tasks("bridge.ticks"))
        return TICK in seen

    with collecting(world, amqp_url):
        if body is None:
            broker.send(OTHER, headers={"CC": ["bridge"]})
        else:
            broker.put("bridge", body, application_headers={"CC": ["bridge"]})
        wait_until(lambda: broker.waiting(kept) > 0, timeout=SECONDS, what="it is taken")
        broker.send(TICK)  # behind the copy
        wait_until(is_passed_on, timeout=SECONDS, what="what came behind it is taken")
        assert seen == ([TICK] if body else [OTHER, TICK])
        assert broker.waiting("bridge.unreadable") == (1 if body else 0)
    broker.close()


def test_g10_blocked_connections_do_not_pile_up_while_rabbitmq_is_short_of_memory(
    amqp_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.collector.publishing.CONFIRM_SECONDS", 0.5)
    broker = Rabbit(amqp_url)
    broker.make("bridge.ticks")
    with Celery("collector", broker=amqp_url, set_as_current=False) as app:
        publishing = Publishing(app)
        with alarm(amqp_url):
            for _ in range(4):
                with pytest.raises(BrokerRefuses, match="short of memory or disk"):
                    publishing.publish([amqp.Message("a")], to="bridge.ticks")
            publishing.keep([amqp.Message(b"b")], on="bridge.unreadable", why="it is refused")
            assert connections(amqp_url) == 2, "the test's and the collector's"
        wait_until(lambda: published(publishing), timeout=SECONDS, what="it takes messages again")
        assert broker.messages("bridge.ticks") == [b"c"]
        publishing.close()
    broker.close()
    assert "1 message is dropped, it can't be set aside on bridge.unreadable" in caplog.text


def published(publishing: Publishing) -> bool:
    try:
        publishing.publish([amqp.Message("c")], to="bridge.ticks")
    except BrokerRefuses:
        return False
    return True


def test_g10_outcomes_that_rabbitmq_does_not_take_back_stay_in_hand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.collector.waiting.HELD_MESSAGES", 1)

    class Full:
        def put_back(self, messages: list[str]) -> None:
            raise BrokerRefuses("it is short of memory")

    reader: Any = Full()
    with world.bridge() as bridge:
        room = WaitingRoom(bridge, reader)
        held = [
            Held(it, [Outcome(client="c", offset=1, epoch=0, attempt=1)], StoreLocked("c is held")) for it in ("a", "b")
        ]
        room.hold(held)
        assert room.messages == ["a", "b"]
        assert room.is_full
