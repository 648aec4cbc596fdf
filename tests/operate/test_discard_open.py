"""With a reason, discard takes an open event and the next one, too; whatever waits for them goes on (G3, G4, G10)."""

from __future__ import annotations

import psycopg
import pytest

from bridge.operate.audit import audit
from bridge.operate.parked import discard
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.operate.parking import BY, journal_of
from tests.support.world import World, offsets


def discarded(world: World, *chosen: int, reason: str | None = "wrong") -> list[int]:
    return discard(world.store, "c", Selection(offsets=chosen), by=BY, reason=reason)


def test_g10_an_open_event_is_given_up_its_key_goes_on_and_its_late_report_changes_nothing(world: World) -> None:
    world.client()
    world.publish("a", "a", "b")
    first, other = world.hand_over()
    assert discarded(world, 1) == [1]
    assert world.cursor() == 1
    assert offsets(world.hand_over()) == [2]
    world.succeed(first)
    world.fail(first)
    assert world.rows("deliveries") == [2, 3]
    world.succeed(other)
    assert world.cursor() == 1
    assert journal_of(world) == [
        ("discard", {"events": 1, "offsets": [1], "asked": {"offsets": [1]}, "reason": "wrong", "not_parked": [1]})
    ]


def test_g10_a_retry_that_a_strict_client_waits_for_is_given_up(world: World) -> None:
    world.client(ordering="strict", backoff_seconds=600)
    world.publish(None, None)
    world.fail(*world.hand_over())
    assert discarded(world, 1) == [1]
    assert world.cursor() == 1
    assert offsets(world.hand_over()) == [2]


def test_g10_the_next_events_of_the_log_are_passed_over_in_order(world: World) -> None:
    world.client(topics=("order.*",))
    world.publish(None, topic="other")
    world.publish(None, None, None, None)
    assert discarded(world, 3) == [], "event 2 comes first"
    assert discarded(world, 1) == [], "it does not match"
    assert discarded(world, 9) == [], "there is none"
    assert discarded(world, 3, 2, 5) == [2, 3]
    assert world.cursor() == world.row()["dispatched"] == 3
    assert offsets(world.hand_over()) == [4, 5]


def test_g10_an_event_that_is_not_final_is_not_next(world: World, connect: Connect) -> None:
    world.client()
    slow = connect(autocommit=False)
    slow.execute("INSERT INTO fq.events (topic) VALUES ('slow')")
    world.publish(None)
    assert discarded(world, 2) == []
    slow.commit()
    assert discarded(world, 2) == [], "event 1 comes first"
    assert discarded(world, 1, 2) == [1, 2]


def test_g10_the_next_event_of_a_key_is_passed_over_in_its_lane(world: World) -> None:
    world.client()
    world.publish("a", "a", "a", "a")
    [first] = world.hand_over()
    assert discarded(world, 3) == [], "event 2 comes first"
    assert discarded(world, 2, 3) == [2, 3]
    assert world.cursor() == 0
    assert world.rows("lanes") == [4]
    assert discarded(world, 4) == [4]
    assert world.rows("lanes") == []
    world.publish("a")
    assert world.hand_over() == [], "the first is still open"
    world.succeed(first)
    assert world.cursor() == 4
    assert offsets(world.hand_over()) == [5]


def test_g10_open_parked_and_next_events_are_given_up_together(world: World) -> None:
    world.client(max_attempts=1, on_exhausted="hold-key", window=2)
    world.publish("a", "b", "a", "c")
    first, _ = world.hand_over()
    world.fail(first)
    assert world.rows("parked") == [1]
    world.hand_over()
    assert discarded(world, 1, 2, 3, 4) == [1, 2, 3, 4]
    assert world.cursor() == 4
    assert world.rows("lanes") == world.rows("deliveries") == world.rows("parked") == []


def test_g10_without_a_reason_only_parked_events_are_given_up(world: World) -> None:
    world.client()
    world.publish("a", "b")
    world.hand_over()
    assert discarded(world, 1, 2, reason=None) == []
    assert world.rows("deliveries") == [1, 2]
    assert journal_of(world) == []


@pytest.mark.parametrize("committed", [False, True])
def test_g10_what_a_handler_has_in_its_transaction_or_has_committed_stays(
    world: World, connect: Connect, *, committed: bool
) -> None:
    world.client()
    world.publish(None)
    world.hand_over()
    handler: psycopg.Connection[object] = connect(autocommit=False)
    handler.execute("UPDATE fq.deliveries SET state = 'done'")
    if committed:
        handler.commit()
    assert discarded(world, 1) == []
    handler.rollback()
    assert world.rows("deliveries") == [1]


def test_g4_the_next_event_of_the_log_is_not_next_while_others_of_its_key_wait(world: World) -> None:
    world.client()
    world.publish("a", "a")
    world.hand_over()
    world.publish("a", "b")
    assert discarded(world, 3) == [], "2 waits in the lane of its key, and 3 would go out after it all the same"
    assert discarded(world, 4) == [], "3 comes first in the log"
    assert discarded(world, 2, 3, 4) == [2, 3, 4]
    assert audit(world.store, "c").holds
