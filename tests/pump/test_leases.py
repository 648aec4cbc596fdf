"""A pass renews the leases of what may still wait, and replaces what can't (G10); the broker is the test's word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from celery import Celery

import bridge
from bridge.errors import BrokerUnavailable
from bridge.model import Delivery, Position
from bridge.operate.lifecycle import remove
from bridge.operate.parked import discard
from bridge.operate.recall import recall
from bridge.operate.seek import seek
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.support.world import World, offsets


class Broker:
    """A broker with one queue, whose length the test sets."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.asked: list[str] = []
        self.revoked: list[str] = []

    def look(self, queue: str) -> int | None:
        """Return the length."""
        self.asked.append(queue)
        return self.length

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Note what was revoked."""
        self.revoked += task_ids


def lapse(world: World, broker: Broker, client: str = "c") -> list[Delivery]:
    """End all leases, and run a pass."""
    world.make_due()
    return world.hand_over(client, look=broker.look, revoke=broker.revoke)


def later(world: World, seconds: float = 120) -> None:
    """Let time pass for what was handed over so far."""
    world.eyes.execute(
        """UPDATE fq.deliveries SET sent_at = sent_at - make_interval(secs => %s),
                                    waited_at = waited_at - make_interval(secs => %s)""",
        (seconds, seconds),
    )


@pytest.mark.parametrize("ordering", ["key", "strict", "none"])
def test_g10_while_the_fleet_is_away_nothing_is_sent_again_nor_parked(world: World, ordering: str) -> None:
    world.client(max_attempts=2, ordering=ordering, window=3, queue="fleet")
    world.publish("a", "b", "a", "c", "d")
    broker = Broker(5)
    first = world.hand_over(look=broker.look, revoke=broker.revoke)
    assert broker.asked == [], "no lease has run out"
    for _ in range(5):
        assert lapse(world, broker) == []
    assert broker.asked == ["fleet"] * 5
    assert world.rows("parked") == []
    assert set(world.rows("deliveries", "attempt")) == {1}
    assert world.hand_over(look=broker.look) == []
    assert len(broker.asked) == 5, "renewed, not due at once"
    handled = list(first)
    world.succeed(*first)
    while more := world.hand_over(look=broker.look):
        handled += more
        world.succeed(*more)
    assert sorted(offsets(handled)) == [1, 2, 3, 4, 5]
    assert world.cursor() == 5
    assert broker.revoked == []


def test_g10_a_message_that_has_left_the_queue_late_gets_a_whole_lease(world: World) -> None:
    world.client(ack_timeout_seconds=600, max_attempts=2)
    world.publish("k")
    broker = Broker(1)
    world.hand_over()
    assert lapse(world, broker) == []
    broker.length = 0
    assert lapse(world, broker) == []
    assert 590 < float(world.ask("SELECT extract(epoch FROM due_at - now()) FROM fq.deliveries")) <= 600
    assert broker.revoked == []
    broker.length = 1  # others use the queue; this message is known to have left it
    [second] = lapse(world, broker)
    assert second.attempt == 2
    assert broker.revoked == ["c:1"]
    assert world.rows("deliveries", "waited_at, behind") == [(None, None)]
    assert lapse(world, broker) == [], "it may wait once more"
    broker.length = 0
    assert lapse(world, broker) == []
    assert lapse(world, broker) == []
    assert world.rows("parked", '"offset", reason') == [(1, "never answered")]
    assert broker.revoked == ["c:1", "c:1:a2"], "what is parked is not run any more"


def test_g10_something_that_was_sent_later_and_answered_shows_that_a_message_is_lost(world: World) -> None:
    world.client(ordering="none", window=4)
    world.publish(None, None)
    broker = Broker(9)
    lost, answered = world.hand_over()
    later(world)
    world.publish(None, None)
    after, _ = world.hand_over()
    world.eyes.execute("UPDATE fq.deliveries SET due_at = now() + interval '1 hour' WHERE \"offset\" > 2")
    wake = "UPDATE fq.clients SET wake_at = now()"
    due = 'UPDATE fq.deliveries SET due_at = now() WHERE "offset" <= 2'
    world.eyes.execute(due)
    world.eyes.execute(wake)
    assert world.hand_over(look=broker.look) == []
    assert world.rows("deliveries", "behind") == [2, 2, None, None]
    world.succeed(answered)
    world.eyes.execute(due)
    world.eyes.execute(wake)
    assert world.hand_over(look=broker.look) == [], "it was sent in the same pass, so it tells nothing"
    world.succeed(after)
    for _ in range(2):  # its lease begins anew, and ends
        world.eyes.execute(due)
        world.eyes.execute(wake)
        again = world.hand_over(look=broker.look)
    assert [(it.offset, it.attempt) for it in again] == [(lost.offset, 2)]


def test_g10_a_queue_shorter_than_what_was_sent_after_it_has_let_a_message_go(world: World) -> None:
    world.client(batch=10, ordering="none")
    world.publish(*[None] * 5)
    world.hand_over()
    later(world)
    world.publish(*[None] * 30)
    world.hand_over()
    world.eyes.execute("UPDATE fq.deliveries SET due_at = now() + interval '1 hour' WHERE \"offset\" > 5")
    broker = Broker(4)
    for length in (4, 3):
        broker.length = length
        world.eyes.execute('UPDATE fq.deliveries SET due_at = now() WHERE "offset" <= 5')
        world.eyes.execute("UPDATE fq.clients SET wake_at = now()")
        assert world.hand_over(look=broker.look) == []
        waits = world.ask('SELECT behind FROM fq.deliveries WHERE "offset" = 1')
        assert waits == (30 if length == 4 else None), "thirty events are three messages"


def test_g10_other_clients_of_the_queue_count_a_minute_later_and_those_of_other_queues_never(world: World) -> None:
    for client, queue in (("c", "fleet"), ("same", "fleet"), ("other", "elsewhere")):
        world.client(client, queue=queue)
    world.publish("k")
    world.hand_over()
    for client in ("same", "other"):
        world.hand_over(client)
    broker = Broker(9)
    lapse(world, broker)
    looked = "SELECT behind FROM fq.deliveries WHERE client_id = 'c'"
    assert world.ask(looked) == 0, "their passes may have overlapped"
    world.eyes.execute("UPDATE fq.deliveries SET sent_at = sent_at - interval '90 seconds' WHERE client_id = 'c'")
    lapse(world, broker)
    assert world.ask(looked) == 1


def test_g10_where_the_broker_does_not_answer_the_pass_is_rolled_back(world: World) -> None:
    world.client()
    world.publish("k")
    world.hand_over()
    world.make_due()

    def look(_: str) -> int:
        raise BrokerUnavailable("away")

    with pytest.raises(BrokerUnavailable):
        world.hand_over(look=look)
    assert world.rows("deliveries", "attempt") == [1]


@pytest.mark.parametrize("length", [0, 1, None])
def test_g10_a_handler_in_its_transaction_is_left_alone_whatever_the_queue_is(
    world: World, connect: Connect, length: int | None
) -> None:
    world.client()
    world.publish("k", "other")
    held, _ = world.hand_over()
    event: dict[str, Any] = json.loads(held.body)
    world.make_due()
    with bridge.transaction(event, connect()):
        sent = world.hand_over(look=Broker(length).look)
        assert offsets(sent) == ([] if length == 1 else [2])
    assert world.succeed(held).succeeded == 1


def test_g10_a_seek_forgets_that_messages_waited(world: World) -> None:
    world.client()
    world.publish("k")
    world.hand_over()
    assert lapse(world, Broker(1)) == []
    seek(world.store, "c", to=Position(), by="me")
    [again] = world.hand_over()
    assert (again.epoch, again.attempt) == (2, 1)
    assert world.rows("deliveries", "waited_at, behind") == [(None, None)]


@pytest.mark.parametrize("ends_by", ["discard", "recall", "seek", "remove"])
def test_g10_what_an_operator_ends_is_no_answer_to_what_waits_in_the_queue(world: World, ends_by: str) -> None:
    """A single attempt is allowed: to count one that nobody has made is to park the event untried."""
    world.client(ordering="none", max_attempts=1, window=4)
    world.client("other", ordering="none", max_attempts=1)
    world.publish(None)
    [waits] = world.hand_over()
    later(world)
    world.publish(None)
    world.hand_over()
    world.hand_over("other")
    broker = Broker(9)
    assert lapse(world, broker) == []
    assert world.ask("SELECT behind FROM fq.deliveries WHERE client_id = 'c' ORDER BY \"offset\"") == 3
    if ends_by == "discard":
        assert discard(world.store, "c", Selection(offsets=(2,)), by="me", reason="a test") == [2]
    elif ends_by == "recall":
        recall(Celery("fleet", broker="memory://"), world.store, "other", reason="a test", by="me")
    elif ends_by == "seek":
        seek(world.store, "other", to=Position.parse("end"), by="me")
    else:
        remove(world.store, "other", by="me", force=True)
    for _ in range(3):
        lapse(world, broker)
    assert world.rows("parked") == [], "nobody has tried it"
    broker.length = 0
    assert lapse(world, broker) == [], "it has left the queue late"
    world.succeed(waits)
    assert world.ask("SELECT min(\"offset\") FROM fq.deliveries WHERE client_id = 'c'") != 1


@pytest.mark.parametrize(("priority", "attempt"), [(0, 2), (5, 1)], ids=["of the same priority", "of another one"])
def test_a_message_of_another_priority_is_no_sign_that_one_has_left_the_queue(
    world: World, *, priority: int, attempt: int
) -> None:
    """What was sent later may be at work already, because it went ahead; the first one may still wait."""
    world.client(ack_timeout_seconds=60)
    world.client("other", priority=priority)
    world.publish(None)
    world.hand_over()
    world.hand_over("other")
    sent = "UPDATE fq.deliveries SET sent_at = now() - make_interval(mins => %s) WHERE client_id = %s"
    world.eyes.execute(sent, [10, "c"])
    world.eyes.execute(sent, [5, "other"])
    world.eyes.execute("UPDATE fq.deliveries SET due_at = now() - interval '1 second' WHERE client_id = 'c'")
    world.eyes.execute("UPDATE fq.clients SET wake_at = now() WHERE id = 'c'")
    world.one_pass(look=lambda _: 1)
    assert world.ask("SELECT attempt FROM fq.deliveries WHERE client_id = 'c'") == attempt
