"""What happened is told after the commit, in one place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest

from bridge import happened
from bridge.errors import StoreUnavailable
from bridge.happened import Happening
from bridge.model import Failure
from bridge.settle.settle import settle
from tests.support.world import World, outcome

Told = list[Happening]


@pytest.fixture
def told() -> Iterator[Told]:
    """Return what observers are told."""
    all: Told = []

    def note(happenings: Sequence[Happening]) -> None:
        all.extend(happenings)

    happened.observe(note)
    yield all
    happened.forget(note)


def kinds(told: Told) -> list[str]:
    return [it.kind for it in told]


def test_what_a_pass_and_a_settlement_did_is_told_with_all_its_parts(world: World, told: Told) -> None:
    world.client(max_attempts=2, on_exhausted="hold-key")
    [first] = world.publish("k")
    delivery = world.hand_over()
    assert [(it.kind, it.client, it.number) for it in told] == [("handed-over", "c", 1)]
    told.clear()
    world.fail(*delivery)
    assert kinds(told) == ["retried", "settled"]
    retried, settled = told
    assert (retried.client, retried.offset, retried.key, retried.attempt) == ("c", first, "k", 1)
    assert retried.task_id == f"c:{first}" and retried.seconds is not None
    assert (settled.number, settled.counts["retried"]) == (0, 1)
    told.clear()
    world.make_due()
    world.fail(*world.hand_over())
    assert kinds(told) == ["handed-over", "parked", "held", "settled"]
    parked = told[1]
    assert (parked.key, parked.attempt, parked.task_id) == ("k", 2, f"c:{first}:a2")
    assert parked.reason.startswith("failed 2 times")


def test_a_client_that_halts_is_told_and_not_as_a_retry(world: World, told: Told) -> None:
    world.client(max_attempts=1, on_exhausted="halt")
    [first] = world.publish("k")
    delivery = world.hand_over()
    told.clear()
    world.fail(*delivery)
    assert kinds(told) == ["halted", "settled"]
    assert told[0].reason.startswith(f"event {first} failed 1 time")


def test_a_transaction_that_is_rolled_back_tells_nothing_and_the_next_one_none_of_it(world: World, told: Told) -> None:
    with pytest.raises(StoreUnavailable), world.store.transaction() as connection:
        happened.after_commit(connection.info, [Happening(kind="parked")])
        raise StoreUnavailable("told to")
    with world.store.transaction() as connection:
        happened.after_commit(connection.info, [Happening(kind="halted")])
        assert told == [], "not before the commit"
    assert kinds(told) == ["halted"]


def test_an_observer_that_fails_harms_neither_the_others_nor_what_happened(
    world: World, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Sequence[Happening]) -> None:
        raise ValueError("told to")

    happened.observe(fail)
    happened.observe(fail)
    try:
        world.client()
        world.publish("k")
        world.hand_over()
    finally:
        happened.forget(fail)
        happened.forget(fail)
    assert world.rows("deliveries") == [1]
    assert kinds(told) == ["handed-over"]
    assert len([it for it in caplog.records if it.levelno == logging.ERROR]) == 1, "it is asked once, and it is logged"


def test_the_parts_of_a_line_are_cleaned_and_bounded() -> None:
    it = Happening(kind="parked", client="c", key="a\nb\x1b[31m", reason="x" * 5000, offset=0, attempt=None)
    extra = it.extra()
    assert extra["key"] == r"a\nb\x1b[31m"
    assert len(str(extra["reason"])) == 500
    assert extra["offset"] == 0
    assert "attempt" not in extra
    logging.getLogger("bridge").makeRecord("bridge", logging.INFO, "", 0, "", (), None, extra=extra)


def test_a_failure_with_a_reason_is_told_with_it(world: World, told: Told) -> None:
    world.client(max_attempts=1)
    world.publish("k")
    delivery = world.hand_over()
    told.clear()
    settle(world.store, [outcome(*delivery, failure=Failure(type="KeyError", message="no such order"))])
    assert (told[0].error_type, told[0].reason) == ("KeyError", "failed 1 time: KeyError: no such order")
