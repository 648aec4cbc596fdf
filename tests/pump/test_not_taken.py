"""A broker that takes some events of a pass and no more for now: only the rest goes out again later (G10)."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest
from celery import Celery

from bridge.errors import BrokerRefuses, BrokerUnavailable, NotTaken, Undeliverable, Unsent
from bridge.model import Client, Delivery
from bridge.operate.audit import audit
from bridge.operate.operator import Operator
from bridge.operate.parked import choose, discard
from bridge.pump.noting import Noting
from tests.sender.test_messages import client, delivery
from tests.support.world import World, offsets


class Full:
    """Takes so many events, and refuses those that no message can be made of."""

    def __init__(self, room: int, *, bad: Sequence[int] = ()) -> None:
        self.room = room
        self.bad = bad
        self.taken: list[Delivery] = []

    def send(self, _: Client, deliveries: Sequence[Delivery]) -> list[Unsent]:
        good = [it for it in deliveries if it.offset not in self.bad]
        some, left = good[: self.room], good[self.room :]
        self.taken += some
        self.room -= len(some)
        unsent: list[Unsent] = [Undeliverable(it.offset, "no way") for it in deliveries if it.offset in self.bad]
        return [*unsent, *(NotTaken(it.offset, "the queue is full") for it in left)]


def test_g10_what_was_taken_is_open_and_the_rest_goes_out_later_as_the_same_attempt(world: World) -> None:
    world.client()
    world.publish(*"abcde")
    broker = Full(2)
    done = world.one_pass(send=broker.send)
    assert done is not None
    assert (done.sent, done.hungry, done.trouble) == (2, False, "the queue is full")
    row = world.row()
    assert (row["dispatched"], row["trouble"]) == (5, "the queue is full")
    assert world.rows("deliveries", "state, attempt") == [("sent", 1)] * 2 + [("retrying", 0)] * 3
    broker.room = 10
    world.one_pass(send=broker.send)
    assert offsets(broker.taken) == [1, 2], "not at once"
    world.make_not_taken_due()
    world.one_pass(send=broker.send)
    assert [it.task_id for it in broker.taken] == ["c:1", "c:2", "c:3", "c:4", "c:5"]
    assert world.row()["trouble"] is None
    world.succeed(*broker.taken)
    assert world.cursor() == 5


def test_g10_a_retry_that_is_not_taken_uses_up_no_attempt(world: World) -> None:
    world.client(max_attempts=2)
    world.publish(*"ab")
    world.fail(*world.hand_over())
    world.make_due()
    broker = Full(1)
    world.one_pass(send=broker.send)
    for _ in range(2):
        world.make_not_taken_due()
        with pytest.raises(BrokerUnavailable):
            world.one_pass(send=broker.send)
    assert [it.task_id for it in broker.taken] == ["c:1:a2"]
    assert world.rows("deliveries", "state, attempt") == [("sent", 2), ("retrying", 1)]
    assert world.rows("parked") == []


def test_g10_where_nothing_was_taken_nothing_is_remembered(world: World) -> None:
    world.client()
    world.publish(*"abc")
    with pytest.raises(BrokerUnavailable, match="the queue is full"):
        world.one_pass(send=Full(0).send)
    assert (world.rows("deliveries"), world.row()["dispatched"]) == ([], -1)


def test_g10_an_event_that_is_at_fault_is_parked_beside_those_that_are_not_taken(world: World) -> None:
    world.client()
    world.publish(*"abcd")
    world.one_pass(send=Full(1, bad=[2]).send)
    assert world.rows("parked", '"offset", reason') == [(2, "undeliverable: no way")]
    assert world.rows("deliveries", '"offset", state') == [(1, "sent"), (3, "retrying"), (4, "retrying")]


def test_what_is_not_taken_is_said_of_the_client_and_of_each_event(world: World, database: str) -> None:
    world.client()
    world.publish(*"abc")
    world.one_pass(send=Full(1).send)
    with Celery("bridge", set_as_current=False) as app:
        app.conf.bridge_database_url = database
        operator = Operator(app)
        causes = {cause.kind: cause.text for cause in operator.explain("c", ask_broker=False)}
        [fate] = operator.show(2).fates
    assert "the queue is full" in causes["trouble"]
    assert "2 events are tried again, event 2 first" in causes["retrying"]
    assert "because the broker did not take it" in causes["retrying"]
    assert fate.text.startswith("the broker has not taken it yet: it is sent again at ")


def test_what_is_not_taken_costs_nothing_of_the_client_s_rate(world: World) -> None:
    world.client(rate="10/m", burst=4)
    world.publish(*"abcd")
    world.one_pass(send=Full(1).send)
    assert 3 <= world.row()["tokens"] < 3.5


def test_g10_where_a_later_slice_is_refused_as_a_whole_those_before_it_are_remembered(world: World) -> None:
    world.client(window=5000)
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 't' FROM generate_series(1, 4000)")
    taken: list[int] = []

    def send(_: Client, deliveries: Sequence[Delivery]) -> list[Unsent]:
        if taken:
            raise BrokerRefuses("its memory is full")
        taken.extend(offsets(deliveries))
        return []

    done = world.one_pass(send=send, limit=5000)
    assert done is not None
    assert (done.sent, done.trouble) == (len(taken), "its memory is full")
    assert world.rows("deliveries") == list(range(1, 4001))
    assert world.rows("deliveries", "state").count("sent") == len(taken)


def test_g10_the_ledger_is_right_while_events_are_not_taken_and_after_them(world: World) -> None:
    world.client(max_attempts=1)
    world.publish("a", "b", "a", "b", None, None)
    broker = Full(2, bad=[5])
    world.one_pass(send=broker.send)
    assert audit(world.store, "c").contradictions == ()
    assert discard(world.store, "c", choose("c", offsets=[6]), by="me", reason="never sent") == [6]
    assert audit(world.store, "c").contradictions == ()
    broker.room = 10
    for _ in range(3):
        world.make_not_taken_due()
        world.one_pass(send=broker.send)
        world.succeed(*broker.taken)
        assert audit(world.store, "c").contradictions == ()
    assert offsets(broker.taken) == [1, 2, 3, 4]
    assert world.cursor() == 6


def test_the_counters_say_what_the_broker_took_and_count_each_event_when_it_did(world: World) -> None:
    world.client(max_attempts=5)
    world.publish(*"abcdef")
    broker = Full(2, bad=[6])

    def counted() -> tuple[int, int]:
        row = world.row()
        return row["delivered"], row["retried"]

    world.one_pass(send=broker.send)
    assert counted() == (3, 0), "two that it took, and the one that is parked"
    world.fail(*broker.taken)
    world.make_due()
    broker.room = 3
    done = world.one_pass(send=broker.send)
    assert done is not None
    assert (done.sent, done.again) == (3, 2)
    assert counted() == (4, 2), "two retries, and one that it had not taken"
    world.publish("g", "h")
    world.make_not_taken_due()
    broker.room = 3
    world.one_pass(send=broker.send)
    assert counted() == (7, 2), "those two, and a new one"
    world.make_not_taken_due()
    broker.room = 9
    world.one_pass(send=broker.send)
    assert counted() == (8, 2)
    world.succeed(*broker.taken)
    assert world.cursor() == 8


def test_g10_a_broker_that_takes_nothing_lets_no_further_slices_be_fetched(world: World) -> None:
    world.client(window=5000)
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 't' FROM generate_series(1, 4000)")
    world.eyes.execute(
        """CREATE SEQUENCE public.slices;
           CREATE FUNCTION count_slice() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM nextval('public.slices'); RETURN NULL; END $$;
           CREATE TRIGGER count_slice AFTER INSERT ON fq.deliveries EXECUTE FUNCTION count_slice()"""
    )
    with pytest.raises(BrokerUnavailable, match="the queue is full"):
        world.one_pass(send=Full(0).send, limit=5000)
    assert world.eyes.execute("SELECT last_value FROM public.slices").fetchone() in [(1,), (2,)], "one is fetched ahead"
    assert world.rows("deliveries") == []


def test_g10_of_large_events_nothing_but_their_names_is_kept_for_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    to, broker = client(), Full(1)
    noting = Noting(broker.send)
    with caplog.at_level("DEBUG", logger="bridge"):
        noting.send(to, [delivery(to, body=bytearray(100_000))])
        gc.collect()
        body = broker.taken.pop().body
        assert [it for it in gc.get_referrers(body) if isinstance(it, tuple)] == []
        noting.say()
    assert "client c: event 42 is handed over, attempt 1" in caplog.text
