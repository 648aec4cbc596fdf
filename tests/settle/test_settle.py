"""Outcomes in: what finishes, what is retried, what is set aside, and what changes nothing (G3, G6, G7)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.errors import Undeliverable
from bridge.model import Failure, Position
from bridge.operate.seek import seek
from bridge.settle.settle import Settled, settle
from tests.support.waiting import wait_until
from tests.support.world import World, offsets, outcome

WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
NOTHING = Settled(ignored=1)


def test_g3_a_success_that_arrives_before_its_predecessor_does_not_move_the_cursor(world: World) -> None:
    world.client()
    world.publish(None, None, None)
    first, second, third = world.hand_over()
    world.succeed(second)
    assert world.cursor() == 0
    world.succeed(third)
    assert world.cursor() == 0
    world.succeed(first)
    assert world.cursor() == 3
    assert world.row()["succeeded"] == 3


def test_g3_the_cursor_ends_where_the_log_was_looked_through(world: World) -> None:
    world.client(topics=("order.#",))
    world.publish(None)
    world.publish(None, None, topic="other")
    world.succeed(*world.hand_over())
    assert world.cursor() == 3


def test_g6_outcomes_may_come_twice(world: World) -> None:
    world.client()
    world.publish(None, None)
    first, _ = world.hand_over()
    assert world.succeed(first, first).succeeded == 1
    assert world.succeed(first) == NOTHING
    assert world.fail(first) == NOTHING
    assert (world.cursor(), world.row()["succeeded"]) == (1, 1)


def test_g6_outcomes_of_another_epoch_client_or_event_change_nothing(world: World) -> None:
    world.client()
    world.publish(None)
    [delivery] = world.hand_over()
    for other in ({"epoch": 2}, {"epoch": 0}, {"client": "nobody"}, {"offset": 99}, {"attempt": 2}):
        assert world.succeed(delivery, **other) == NOTHING, other
        assert world.fail(delivery, **other) == NOTHING, other
    assert world.rows("deliveries", '"offset", attempt, state') == [(1, 1, "sent")]


def test_g6_a_late_success_of_an_earlier_attempt_finishes_the_event(world: World) -> None:
    world.client()
    world.publish(None)
    [first] = world.hand_over()
    world.make_due()
    [second] = world.hand_over()
    assert world.succeed(first).succeeded == 1
    assert world.cursor() == 1
    assert world.succeed(second) == NOTHING


def test_g6_a_late_failure_of_an_earlier_attempt_does_not_touch_the_newer_one(world: World) -> None:
    world.client()
    world.publish(None)
    [first] = world.hand_over()
    world.make_due()
    world.hand_over()
    assert world.fail(first) == NOTHING
    assert world.rows("deliveries", "attempt, state") == [(2, "sent")]


@pytest.mark.parametrize("late", [{"attempt": 1}, {"epoch": 1}])
def test_g6_a_late_failure_beside_the_current_one_lends_it_neither_its_reason_nor_its_batch(
    world: World, late: dict[str, int]
) -> None:
    world.client()
    world.publish(None, None)
    seek(world.store, "c", to=Position(), by="me")  # the second epoch begins
    world.hand_over()
    world.make_due()
    second = world.hand_over()[0]
    assert (second.offset, second.epoch, second.attempt) == (1, 2, 2)
    current = outcome(second, failure=Failure(type="Current"))
    older = outcome(second, failure=Failure(type="Late"), batch_offsets=(1, 2), **late)
    assert settle(world.store, [current, older]) == Settled(retried=1, ignored=1)
    assert world.rows("deliveries", '"offset", state, error_type, earlier_attempts') == [
        (1, "retrying", "Current", 0),
        (2, "sent", None, 0),
    ]


def test_g7_a_failure_waits_and_goes_out_again_as_the_next_attempt(world: World) -> None:
    world.client(backoff_seconds=1000, backoff_max_seconds=5000)
    world.publish("a", "a", "b")
    first, other = world.hand_over()
    assert world.fail(first).retried == 1
    assert world.hand_over() == [], "neither the event nor its successor before the wait is over"
    assert world.rows("deliveries", '"offset", state, error_type, error') == [
        (1, "retrying", "ValueError", "no"),
        (3, "sent", None, None),
    ]
    world.succeed(other)
    assert world.cursor() == 0
    world.make_due()
    [again] = world.hand_over()
    assert (again.offset, again.attempt) == (1, 2)


def test_g7_a_failure_that_is_reported_twice_counts_once(world: World) -> None:
    world.client(max_attempts=2)
    world.publish(None)
    [delivery] = world.hand_over()
    assert world.fail(delivery, delivery).retried == 1
    assert world.fail(delivery) == NOTHING
    assert world.rows("parked") == []


def test_g7_a_failing_event_is_parked_with_its_error_and_the_rest_flows(world: World) -> None:
    world.client(max_attempts=1)
    world.publish("a", "a")
    [poison] = world.hand_over()
    assert world.fail(poison).parked == 1
    assert world.cursor() == 1, "parked counts as finished, the next of its key waits to be sent"
    assert world.rows("parked", '"offset", key, attempts, error_type, error, traceback, reason') == [
        (1, "a", 1, "ValueError", "no", "Traceback …", "failed 1 time")
    ]
    assert offsets(world.hand_over()) == [2]


def test_g7_hold_key_keeps_the_successors_back_and_lets_other_keys_go(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key")
    world.publish("a", "a", "b")
    poison, other = world.hand_over()
    world.fail(poison)
    world.succeed(other)
    world.publish("a", "b")
    assert offsets(world.hand_over()) == [5]
    assert world.cursor() == 1


def test_g7_hold_key_in_strict_order_halts_the_client_because_everything_is_one_sequence(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key", ordering="strict")
    world.publish("a", "b")
    world.fail(*world.hand_over())
    assert world.row()["state"] == "halted"
    assert world.cursor() == 0


def test_g7_hold_key_without_order_has_no_key_to_hold(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key", ordering="none", window=1)
    world.publish("a", "a")
    world.fail(*world.hand_over())
    assert offsets(world.hand_over()) == [2]
    assert world.rows("parked", "held") == [False]


def test_g7_halt_stops_the_client_and_skips_nothing(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="halt")
    world.publish(None, None)
    poison, other = world.hand_over()
    world.fail(poison)
    assert (world.row()["state"], world.row()["state_reason"]) == ("halted", "event 1 failed 1 time")
    world.succeed(other)
    assert world.cursor() == 0
    assert world.one_pass() is None


def test_success_wins_over_a_failure_of_the_same_attempt_whichever_comes_first(world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None, None)
    one, two = world.hand_over()
    world.fail(one)
    assert world.rows("parked") == [1]
    assert world.succeed(one).succeeded == 1
    assert world.rows("parked") == []
    world.succeed(two)
    assert world.fail(two) == NOTHING
    assert world.cursor() == 2


def test_g6_an_outcome_that_arrives_before_its_pass_commits_waits_for_it(world: World) -> None:
    world.client()
    world.publish(None)
    sent: list[Any] = []
    inside, go_on, settled = threading.Event(), threading.Event(), threading.Event()

    def publish_and_pause(_: Any, deliveries: Any) -> list[Undeliverable]:
        sent.extend(deliveries)
        inside.set()
        assert go_on.wait(30)
        return []

    def settle_at_once() -> None:
        world.succeed(*sent)
        settled.set()

    pumping = threading.Thread(target=world.one_pass, kwargs={"send": publish_and_pause})
    pumping.start()
    assert inside.wait(30)
    settling = threading.Thread(target=settle_at_once)
    settling.start()
    try:
        wait_until(lambda: world.eyes.execute(WAITS).fetchall(), what="the outcome waits for the client's row lock")
        assert not settled.is_set()
    finally:
        go_on.set()
    assert settled.wait(30)
    pumping.join(30)
    settling.join(30)
    assert world.cursor() == 1


def test_concurrent_batches_leave_the_cursor_at_the_end(world: World) -> None:
    world.client(ordering="none")
    world.publish(*[None] * 60)
    deliveries = world.hand_over()
    threads = [threading.Thread(target=world.succeed, args=deliveries[nth::6]) for nth in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert world.cursor() == 60
    assert world.row()["succeeded"] == 60


@pytest.mark.parametrize("hand", ["UPDATE fq.clients SET \"offset\" = 2 WHERE id = 'c'", "SELECT fq.commit('c', 2)"])
def test_g3_nobody_moves_a_driven_cursor_by_hand(world: World, hand: str) -> None:
    import psycopg

    world.client()
    world.publish(None, None)
    world.hand_over()
    with pytest.raises(psycopg.DatabaseError) as refused:
        world.eyes.execute(hand)
    assert refused.value.sqlstate == "FQ002"
    assert "bridge seek c" in (refused.value.diag.message_hint or "")
    assert world.cursor() == 0
