"""`explain` counts a lease from the last hand-over, and says where a message may still wait in its queue (G10)."""

from __future__ import annotations

import pytest

from bridge.operate.workers import WorkersSeen
from bridge.store.recall import recall_open
from tests.operate.explaining import causes, kinds, the
from tests.support.world import World


def age(world: World) -> None:
    """Let two hours pass since all that was handed over so far."""
    world.eyes.execute(
        "UPDATE fq.deliveries SET first_at = first_at - interval '2 h', sent_at = sent_at - interval '2 h'"
    )


def test_g10_a_lease_counts_from_the_last_hand_over_not_from_the_first(world: World) -> None:
    world.client(ack_timeout_seconds=3600)
    world.publish("k")
    world.hand_over()
    age(world)
    assert "handed over 2 h ago; its lease has" in the("open", causes(world)).text
    world.make_due()
    world.hand_over()
    text = the("open", causes(world)).text
    assert "attempt 2" in text
    assert "(first 2 h ago); its lease has" in text
    assert "handed over 2 h ago" not in text


def test_g10_a_message_that_may_still_wait_is_said_to(world: World) -> None:
    world.client(ack_timeout_seconds=3600)
    world.publish("k")
    world.hand_over()
    age(world)
    world.make_due()
    assert world.hand_over(look=lambda _: 1) == []
    assert "its lease is over, but" in the("open", causes(world)).text
    assert "could still be waiting in the queue" in the("open", causes(world)).text
    world.make_due()
    assert world.hand_over(look=lambda _: 0) == []
    assert "its message has left the queue late, its lease has" in the("open", causes(world)).text


def test_what_was_recalled_is_not_said_to_have_failed(world: World) -> None:
    world.client()
    world.publish("k")
    [lost] = world.hand_over()
    with world.store.transaction() as connection:
        recall_open(connection, "c", by="me", reason="a test")
    text = the("retrying", causes(world)).text
    assert "the message of attempt 1 was lost, or somebody recalled it: no attempt is counted" in text
    assert "failed" not in text
    [again] = world.hand_over()
    world.fail(again)
    assert "after attempt 2 failed; its error: ValueError: no" in the("retrying", causes(world)).text
    assert lost.attempt == 1


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (WorkersSeen(messages=3), False),
        (WorkersSeen(messages=0), False),
        (WorkersSeen(messages=None), True),
        (WorkersSeen(messages=3, keeps_order=False), True),
        (WorkersSeen(trouble="the broker is not available", messages=None), False),
    ],
)
def test_g10_where_the_broker_can_t_be_asked_explain_says_so(world: World, seen: WorkersSeen, *, said: bool) -> None:
    world.client()
    assert ("waiting-unseen" in kinds(world, seen=seen)) is said
