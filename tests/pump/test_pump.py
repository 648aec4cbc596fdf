"""One pass: what a client is handed over, what is remembered of it, what a crash leaves (G1, G3, G4, G5, G6)."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import pytest

from bridge.errors import BrokerUnavailable, Undeliverable
from bridge.model import Outcome, Registration
from bridge.settle.settle import settle
from bridge.store.rounds import clients_to_serve
from tests.support.world import World, offsets


def test_a_pass_hands_over_what_matches_in_order_and_remembers_it(world: World) -> None:
    world.client(topics=("order.*",))
    wanted = world.publish(None, None)
    world.publish(None, topic="other.thing")
    wanted += world.publish(None)
    assert offsets(world.hand_over()) == wanted == world.rows("deliveries")
    assert world.row()["dispatched"] == 4
    assert world.cursor() == 0, "nothing is done yet, and nothing lies below the first event"


def test_the_handler_s_event_is_the_json_that_postgres_made(world: World) -> None:
    world.client()
    world.eyes.execute(
        """INSERT INTO fq.events (topic, key, payload, headers)
           VALUES ('a.b', 'k', '{"price": 0.1000000000000000055, "ü": ["\\u2028"]}', '{"traceparent": "00-a-b-01"}')"""
    )
    [delivery] = world.hand_over()
    event = json.loads(delivery.body)
    fields = ["offset", "generation", "topic", "key", "payload", "headers", "created_at", "client", "attempt", "epoch"]
    assert list(event) == fields
    assert (event["offset"], event["topic"], event["key"], event["client"], event["attempt"]) == (1, "a.b", "k", "c", 1)
    assert "0.1000000000000000055" in delivery.body, "numbers keep every digit"
    assert event["payload"]["ü"] == ["\u2028"]
    assert event["created_at"].endswith("+00:00")
    assert delivery.trace == {"traceparent": "00-a-b-01"}
    assert (delivery.key, delivery.headers, delivery.part) == ("k", {}, None)


def test_g1_a_pass_that_the_broker_refuses_leaves_nothing_behind(world: World) -> None:
    world.client()
    world.publish("k", None)

    def refuse(*_: Any) -> None:
        raise BrokerUnavailable("the broker is away")

    with pytest.raises(BrokerUnavailable):
        world.one_pass(send=refuse)
    assert world.rows("deliveries") == []
    assert world.row()["dispatched"] == -1
    assert offsets(world.hand_over()) == [1, 2]


def test_g6_a_client_that_another_pump_holds_is_left_to_it(world: World) -> None:
    world.client()
    world.publish(None)
    inside, go_on = threading.Event(), threading.Event()

    def slowly(*_: Any) -> list[Undeliverable]:
        inside.set()
        assert go_on.wait(30)
        return []

    first = threading.Thread(target=world.one_pass, kwargs={"send": slowly})
    first.start()
    try:
        assert inside.wait(30)
        assert world.one_pass() is None
    finally:
        go_on.set()
        first.join(30)
    assert world.sent == []
    assert world.rows("deliveries") == [1]


def test_g5_no_more_deliveries_are_open_than_the_window(world: World) -> None:
    world.client(window=3)
    world.publish(*[None] * 10)
    first = world.hand_over()
    assert offsets(first) == [1, 2, 3]
    assert world.hand_over() == []
    world.succeed(first[1])
    assert offsets(world.hand_over()) == [4]


def test_g5_a_pass_takes_no_more_than_a_batch(world: World) -> None:
    world.client()
    world.publish(*[None] * 10)
    done = world.one_pass(limit=4)
    assert done is not None and done.hungry
    assert offsets(world.sent) == [1, 2, 3, 4]


def test_a_full_client_is_not_looked_at_until_something_is_done(world: World) -> None:
    world.client(window=1)
    world.publish(None, None)
    [delivery] = world.hand_over()
    assert clients_to_serve(world.store, horizon=2) == []
    world.succeed(delivery)
    assert clients_to_serve(world.store, horizon=2) == ["c"]


def test_a_full_client_is_not_looked_at_for_a_successor_that_it_has_no_room_for(world: World) -> None:
    world.client(window=3)
    world.publish("a", "b", "b")
    first, second = world.hand_over()
    world.publish(None, None)
    world.client(window=2)
    world.succeed(second)
    world.eyes.execute("UPDATE fq.lanes SET ready = false")  # the successor's turn comes later than the next new event
    assert offsets(world.hand_over()) == [4]
    world.eyes.execute("UPDATE fq.lanes SET ready = true")
    assert clients_to_serve(world.store, horizon=5) == []
    world.succeed(first)
    assert offsets(world.hand_over()) == [3]


def test_g4_a_successor_goes_out_at_once_and_new_events_when_a_tenth_of_the_window_is_free(world: World) -> None:
    world.client(window=20)
    world.publish("hot", "hot", "hot", *(f"k{n}" for n in range(40)))
    sent = world.hand_over()
    assert len(sent) == 20
    assert clients_to_serve(world.store, horizon=43) == []
    world.succeed(sent[0])
    assert clients_to_serve(world.store, horizon=43) == ["c"]
    [successor] = world.hand_over()
    assert successor.offset == 2
    assert world.row()["full"]
    assert clients_to_serve(world.store, horizon=43) == []
    world.succeed(sent[1])
    assert clients_to_serve(world.store, horizon=43) == [], "a pass for one new event costs as much as one for many"
    world.succeed(sent[2])
    assert offsets(world.hand_over()) == [23, 24]


def test_g3_events_that_no_topic_matches_are_done_at_once(world: World) -> None:
    world.client(topics=("rare.#",))
    world.publish(*[None] * 50)
    assert world.hand_over() == []
    assert world.row()["offset"] == world.row()["dispatched"] == 50


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_g4_events_of_a_key_go_out_one_at_a_time_and_other_keys_beside_them(world: World, batch: int) -> None:
    world.client()
    world.publish("a", "a", "b", "a", "b", None)
    world.limit = batch
    seen: list[int] = []
    open_keys: list[str] = []
    for _ in range(40):
        deliveries = world.hand_over()
        for delivery in deliveries:
            key = json.loads(delivery.body)["key"]
            assert key is None or key not in open_keys
            open_keys.append(key)
        seen += offsets(deliveries)
        open_keys = []
        world.succeed(*deliveries)
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]
    assert seen.index(1) < seen.index(2) < seen.index(4)
    assert seen.index(3) < seen.index(5)
    assert world.cursor() == 6
    assert world.rows("lanes") == []


def test_g3_the_cursor_stays_below_a_key_that_waits(world: World) -> None:
    world.client()
    world.publish("a", "a", "b")
    first, other = world.hand_over()
    world.succeed(first, other)
    assert world.cursor() == 1, "event 2 was read but not sent"
    [second] = world.hand_over()
    world.succeed(second)
    assert world.cursor() == 3


def test_g5_a_hot_key_costs_one_row_however_many_of_its_events_wait(world: World) -> None:
    world.client(window=5)
    world.publish(*["hot"] * 300, "b", "c")
    sent = world.hand_over()
    while len(sent) < 3:
        sent += world.hand_over()
    assert offsets(sent) == [1, 301, 302]
    assert world.rows("lanes", 'key, "offset", ready') == [("hot", 2, False)]


def test_strict_order_is_one_event_at_a_time(world: World) -> None:
    world.client(ordering="strict")
    world.publish("a", "b", None)
    for offset in (1, 2, 3):
        [delivery] = world.hand_over()
        assert delivery.offset == offset
        assert world.hand_over() == []
        world.succeed(delivery)


def test_no_order_ignores_keys(world: World) -> None:
    world.client(ordering="none")
    world.publish("a", "a", "a")
    assert offsets(world.hand_over()) == [1, 2, 3]


def test_g1_a_delivery_that_is_never_answered_goes_out_again_as_a_new_attempt(world: World) -> None:
    world.client()
    world.publish("a")
    [first] = world.hand_over()
    assert world.hand_over() == []
    world.make_due()
    [second] = world.hand_over()
    assert (second.offset, second.attempt) == (first.offset, 2)
    assert (first.task_id, second.task_id) == ("c:1", "c:1:a2")
    assert json.loads(second.body)["attempt"] == 2


def test_what_is_never_answered_is_parked_after_the_last_attempt(world: World) -> None:
    world.client(max_attempts=2)
    world.publish("a", "a")
    world.hand_over()
    world.make_due()
    assert [d.attempt for d in world.hand_over()] == [2]
    world.make_due()
    assert offsets(world.hand_over()) == [2], "the key goes on"
    assert world.rows("parked", '"offset", reason, attempts') == [(1, "never answered", 2)]


def test_an_event_that_no_message_can_be_made_of_is_parked_and_the_rest_flows(world: World) -> None:
    world.client()
    world.publish(None, None, None)

    def refuse_the_second(_: Any, deliveries: Any) -> list[Undeliverable]:
        return [Undeliverable(d.offset, "no way") for d in deliveries if d.offset == 2]

    done = world.one_pass(send=refuse_the_second)
    assert done is not None and done.sent == 2
    assert world.rows("deliveries") == [1, 3]
    assert world.rows("parked", '"offset", reason') == [(2, "undeliverable: no way")]


def test_paused_clients_are_not_served_and_their_deliveries_still_finish(world: World) -> None:
    from bridge.operate.lifecycle import pause, resume

    world.client()
    world.publish(None)
    [delivery] = world.hand_over()
    pause(world.store, "c", reason="lunch", by="me")
    world.publish(None)
    assert world.one_pass() is None
    world.succeed(delivery)
    assert world.cursor() == 1
    resume(world.store, "c", by="me")
    assert offsets(world.hand_over()) == [2]


def test_settings_of_a_live_client_change_at_the_next_pass_and_its_cursor_does_not(world: World) -> None:
    world.client(window=1)
    world.publish(*[None] * 5)
    world.succeed(*world.hand_over())
    world.client(window=3, start="beginning")
    assert world.cursor() == 1
    assert offsets(world.hand_over()) == [2, 3, 4]


@pytest.mark.parametrize(
    ("start", "first"), [("beginning", 1), ("now", 4), ("2", 3), ("2020-01-01", 1), ("2099-01-01", 4)]
)
def test_a_client_begins_where_it_was_told_to(world: World, start: str, first: int) -> None:
    world.publish(None, None, None)
    world.client(start=start)
    world.publish(None)
    assert offsets(world.hand_over())[0] == first


def test_a_plain_sql_reader_is_taken_over_where_its_cursor_stands(world: World) -> None:
    world.publish(None, None, None)
    world.eyes.execute("INSERT INTO fq.clients (id, \"offset\") VALUES ('c', 2)")
    world.client(start="beginning")
    assert offsets(world.hand_over()) == [3]


def test_a_registration_names_what_it_changed(world: World) -> None:
    from bridge.store.clients import register

    world.client(window=10)
    done = register(world.store, Registration(id="c", given={"window": 20}))
    assert not done.created
    assert done.changed == {"window": (10, 20)}


def test_g1_g5_a_pass_of_many_slices_is_one_pass(world: World) -> None:
    world.client(window=3000)
    world.eyes.execute("INSERT INTO fq.events (key) SELECT n % 2700 FROM generate_series(1, 4000) n")
    sendings: list[list[int]] = []

    def stop_at_the_second(client: Any, deliveries: Any) -> list[Undeliverable]:
        sendings.append(offsets(deliveries))
        if len(sendings) == 2:
            raise BrokerUnavailable("the broker is away")
        return []

    with pytest.raises(BrokerUnavailable) as caught:
        world.one_pass(send=stop_at_the_second, limit=5000)
    assert caught.traceback, "it keeps the frames of the pass"
    assert not [it for it in threading.enumerate() if it.name.startswith("bridge-slices")], (
        "and still nobody fetches ahead"
    )
    assert world.rows("deliveries") == []
    sent = offsets(world.hand_over(limit=5000))
    assert sent == list(range(1, 2701)) == world.rows("deliveries")
    assert sent[: len(sendings[0])] == sendings[0], (
        "a pass sends its slices in order, and each in the order of its events"
    )
    assert world.rows("lanes") == list(range(2701, 4001))


def test_g3_rare_topics_are_leapt_to_not_walked_to(world: World) -> None:
    world.client(topics=("rare.*",))
    wanted = []
    for _ in range(3):
        world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'often.' || n % 7 FROM generate_series(1, 20000) n")
        wanted += world.publish("k", topic="rare.thing")
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'often.' || n % 7 FROM generate_series(1, 20000) n")
    sent = world.hand_over()
    assert offsets(sent) == wanted[:1], "walking would have ended before it"
    assert world.row()["dispatched"] == 80_003, "the others wait for the first one of their key"
    for nth, offset in enumerate(wanted, 1):
        assert world.cursor() == offset - 1
        world.succeed(*sent)
        sent = world.hand_over()
        assert offsets(sent) == wanted[nth : nth + 1]
    assert world.cursor() == 80_003


def test_where_there_are_too_many_topics_the_log_is_walked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.store.handover.MOST_TOPICS", 6)
    world.client(topics=("rare.*",))
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'often.' || n % 7 FROM generate_series(1, 20000) n")
    wanted = world.publish(None, topic="rare.thing")
    assert world.hand_over() == []
    assert 0 < world.row()["dispatched"] < 20_000
    assert offsets(world.hand_over()) == wanted


def test_g1_a_pass_that_fails_gives_its_connection_back_at_rest(world: World) -> None:
    world.client(topics=("rare.*",), window=5000)
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'rare.thing' FROM generate_series(1, 1000)")
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'often.thing' FROM generate_series(1, 3000)")
    chance = random.Random(1)

    def refuse(*_: Any) -> None:
        time.sleep(chance.uniform(0, 0.012))  # somewhere in what is fetched ahead
        raise BrokerUnavailable("the broker is away")

    for _ in range(30):
        with pytest.raises(BrokerUnavailable):
            world.one_pass(send=refuse, limit=5000)
        settle(
            world.store, [Outcome(client="nobody", offset=1, epoch=1, attempt=1)]
        )  # the connection's next transaction
        assert world.row()["dispatched"] == -1, "nothing of a failed pass is ever remembered"
    assert len(world.hand_over(limit=5000)) == 1000


def test_a_client_made_strict_is_not_looked_at_while_its_one_event_is_open(world: World) -> None:
    world.client(window=10)
    world.publish("a", "b", "b")
    _, second = world.hand_over()
    world.client(ordering="strict")
    world.succeed(second)
    assert world.hand_over() == []
    assert clients_to_serve(world.store, horizon=3) == []
