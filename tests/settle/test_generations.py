"""The generation of the log is a part of what an event is: what is of another one changes nothing (G6)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bridge as public
from bridge.app import Bridge
from bridge.contract import genuine_generation, sign
from bridge.model import Client, Delivery
from bridge.sender.message import signature_of
from bridge.settle.read_callbacks import outcomes_of, settle_callbacks
from bridge.settle.settle import settle, settle_free
from bridge.trouble import AGAIN_SECONDS, Tally
from tests.conftest import Connect
from tests.support.waiting import wait_until
from tests.support.world import World, outcome

FIELDS = ("c", 42, 1, 1)
BEGIN = "UPDATE fq.log SET starts = starts || CAST(%s AS bigint)"
WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


@pytest.fixture
def bridge(world: World) -> Iterator[Bridge]:
    with world.bridge() as it:
        yield it


def commit(delivery: Delivery) -> tuple[str, Sequence[Any]]:
    """The callback of a delivery that has succeeded."""
    args = (delivery.client.id, delivery.offset, delivery.epoch, delivery.attempt, signature_of("s", [delivery]))
    return "bridge.commit", args


def event(delivery: Delivery) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(delivery.body)
    return found


def test_a_signature_says_in_which_generation_it_was_made() -> None:
    for generation in (1, 2, 3, 70_000):
        made = sign("s", FIELDS, generation=generation)
        assert genuine_generation(made, "s", FIELDS) == generation
        assert genuine_generation(made, "other", FIELDS) is None
        assert genuine_generation(made, "s", ("c", 43, 1, 1)) is None
    digest = sign("s", FIELDS, generation=2).partition(".")[2]
    forged = ["", digest, f"1.{digest}", f"3.{digest}", f"02.{digest}", f"2:{digest}", f"-2.{digest}", f"2.{digest}0"]
    forged += [f"²{digest}", f"².{digest}", f"1.{sign('s', FIELDS, generation=1)}", f"{'9' * 5000}.{digest}"]
    for other in [*forged, None, 2, b"2"]:
        assert genuine_generation(other, "s", FIELDS) is None, other


@given(st.text() | st.from_regex(r"\d{1,20}\.[0-9a-f]{32}"))
def test_g6_no_text_but_the_bridge_s_own_is_genuine_and_none_is_an_error(text: str) -> None:
    assert genuine_generation(text, "s", FIELDS) is None


def test_an_event_says_the_generation_in_which_it_was_written_and_its_message_the_log_s(world: World) -> None:
    world.client(ordering="none")
    world.publish(None, None)
    world.eyes.execute(BEGIN, (3,))
    world.publish(None, None)
    world.eyes.execute("INSERT INTO fq.events (payload) VALUES (jsonb_build_object('large', repeat('x', 20000)))")
    fetched: list[tuple[int, int]] = []

    def send(client: Client, deliveries: Sequence[Delivery]) -> list[Any]:
        fetched.extend((it.offset, event(it)["generation"]) for it in deliveries)
        assert {it.client.generation for it in deliveries} == {2}
        return []

    world.one_pass(send=send)
    assert fetched == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


def test_g6_a_genuine_outcome_of_another_generation_settles_nothing_and_is_not_called_forged(
    world: World, bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    world.client(ordering="none", max_attempts=1)
    world.publish(None, None, None)
    old = world.hand_over()
    world.eyes.execute(BEGIN, (2,))
    for callback in map(commit, old):
        assert settle_callbacks(bridge, [callback, ("bridge.fail", callback[1])])[3:] == (2, 2)
    assert world.rows("deliveries", '"offset", state') == [(1, "sent"), (2, "sent"), (3, "sent")]
    assert "wrong signature" not in caplog.text
    assert len([text for text in caplog.messages if "of another generation" in text]) <= 1, "the log is bounded"
    world.make_due()
    world.eyes.execute("UPDATE fq.clients SET max_attempts = 5")
    new = world.hand_over()
    assert settle_callbacks(bridge, [*map(commit, old), *map(commit, new)]) == (3, 0, 0, 3, 3)
    assert world.cursor() == 3


def test_what_may_come_by_the_thousand_is_one_line_a_minute_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    now = [0.0]
    tally = Tally(logging.getLogger("bridge"), clock=lambda: now[0])
    for seconds in (0, 1, AGAIN_SECONDS - 1, AGAIN_SECONDS, AGAIN_SECONDS + 1):
        now[0] = seconds
        tally.note(10, lambda number: f"{number} came")
    assert (caplog.messages, tally.count) == (["10 came", "30 came"], 50)


@pytest.mark.parametrize("free", [False, True])
def test_g6_no_generation_begins_between_the_lock_of_the_clients_and_the_end_of_settling(
    world: World, connect: Connect, free: bool
) -> None:
    """The one that begins it has the table: a statement that waits for it looks at the log afterwards."""
    world.client()
    world.publish(None)
    [delivery] = world.hand_over()
    reported = [outcome(delivery, generation=delivery.client.generation)]
    done: list[Any] = []

    def run() -> None:
        done.append(settle_free(world.store, reported, lock_seconds=30)[0] if free else settle(world.store, reported))

    thread = threading.Thread(target=run)
    with connect(autocommit=False) as other:
        other.execute("LOCK TABLE fq.clients IN EXCLUSIVE MODE")
        thread.start()
        wait_until(lambda: world.ask(WAITS), what="settling waits for the table")
        other.execute(BEGIN, (1,))
        other.commit()
    thread.join()
    assert done == [(0, 0, 0, 1, 1)]


def test_g6_a_pass_that_waited_for_a_new_generation_signs_with_it(world: World, connect: Connect) -> None:
    world.client()
    world.publish(None)
    passed: list[list[Delivery]] = []
    thread = threading.Thread(target=lambda: passed.append(world.hand_over()))
    with connect(autocommit=False) as other:
        other.execute("LOCK TABLE fq.clients IN EXCLUSIVE MODE")
        thread.start()
        wait_until(lambda: world.ask(WAITS), what="the pass waits for the table")
        other.execute(BEGIN, (1,))
        other.commit()
    thread.join()
    [[delivery]] = passed
    assert delivery.client.generation == 2
    assert [it.generation for it in outcomes_of(commit(delivery), secret="s")] == [2]


def test_g6_a_transaction_of_an_event_of_another_generation_has_no_effect(world: World, connect: Connect) -> None:
    world.client()
    world.publish(None)
    [delivery] = world.hand_over()
    world.eyes.execute(BEGIN, (1,))  # this offset may name another event now, and the delivery is that one's
    with pytest.raises(public.AlreadyDone, match="of generation 1"), public.transaction(event(delivery), connect()):
        pytest.fail("the body ran")
    with public.transaction(event(delivery) | {"generation": 2}, connect()):
        pass
    assert world.rows("deliveries", "state") == ["done"]
