"""An event that nobody signs may tell why an attempt failed: it fills in that reason, and can do nothing else (G6)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import bounds
from bridge.collector.events import Heard
from bridge.errors import StoreUnavailable
from bridge.model import Attempt, Delivery, Failure
from bridge.settle.late_reasons import MOST_TRIES, LateReasons
from bridge.settle.settle import settle
from bridge.store.fate import EventFate, read_fate
from tests.support.world import World, outcome

NO = Failure(type="ValueError", message="no", traceback="Traceback …", host="w@h", runtime_seconds=2.5, told_by="event")

UNTOLD = Failure()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def late(clock: Clock) -> LateReasons:
    return LateReasons(clock=clock)


def event(id: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "task-failed", "uuid": id, "hostname": "w@h", "timestamp": 10.0, "exception": "Boom('x')", **fields}


def fate(world: World, offset: int = 1) -> EventFate:
    found = read_fate(world.store, "c", offset)
    assert found is not None
    return found


def fail(world: World, delivery: Delivery, why: Failure = UNTOLD) -> None:
    settle(world.store, [outcome(delivery, failure=why)])


def failed(world: World, attempts: int = 1, **settings: Any) -> None:
    """Let so many attempts at one event fail without their reasons; the last one parks it."""
    world.client("c", max_attempts=attempts, backoff_seconds=0, **settings)
    world.publish(None)
    for _ in range(attempts):
        [delivery] = world.hand_over()
        fail(world, delivery)


def test_a_reason_that_comes_after_its_outcome_is_filled_in_for_its_attempt(world: World, late: LateReasons) -> None:
    failed(world, attempts=2)
    late.add(Attempt("c", 1, 1, 1), NO)
    assert late.fill_in(world.store) == 1
    it = fate(world)
    assert [(f.attempt, f.error_type, f.host, f.runtime_seconds) for f in it.failures] == [
        (1, "ValueError", "w@h", 2.5),
        (2, None, None, None),
    ]
    assert it.error_type is None, "the last attempt is another one"
    late.add(Attempt("c", 1, 1, 2), NO)
    assert late.fill_in(world.store) == 1
    it = fate(world)
    assert (it.error_type, it.error, it.traceback, it.host) == ("ValueError", "no", "Traceback …", "w@h")
    assert len(late) == 0


def test_a_reason_that_comes_before_its_outcome_waits_for_it(world: World, late: LateReasons, clock: Clock) -> None:
    world.client("c", max_attempts=2, backoff_seconds=60)
    world.publish(None)
    [delivery] = world.hand_over()
    late.add(Attempt("c", 1, 1, 1), NO)
    assert late.fill_in(world.store) == 0
    fail(world, delivery)
    assert late.fill_in(world.store) == 0, "it is tried again after a while"
    clock.now = 1.0
    assert late.fill_in(world.store) == 1
    it = fate(world)
    assert (it.state, it.error_type) == ("open", "ValueError")


def test_g6_an_event_changes_no_outcome_and_nothing_that_is_known(world: World, late: LateReasons) -> None:
    world.client("c", max_attempts=1)
    world.client("d", max_attempts=1)
    world.publish(None, None, None)
    first, second, third = world.hand_over()
    fail(world, first, Failure(type="KeyError", message="known", told_by="callback", host="h"))
    world.succeed(second)
    rows = 'SELECT * FROM fq.deliveries ORDER BY client_id, "offset"'
    clients = 'SELECT id, "offset", owed, owed_sum, succeeded, state FROM fq.clients ORDER BY id'
    before = [world.eyes.execute(query).fetchall() for query in (rows, clients)]
    for id in ("c:1", "c:2", "c:3", "d:1", "c:1:a2", "c:1:e2", "c:99", "x:1"):
        Heard(late).hear([event(id)])
    late.fill_in(world.store)
    assert [world.eyes.execute(query).fetchall() for query in (rows, clients)] == before
    it = fate(world)
    assert (it.error_type, it.error) == ("KeyError", "known")
    assert it.failures[0].error == "known"
    assert third.offset == 3


@pytest.mark.parametrize(
    "id",
    [None, 17, ["c:1"], "", "c", "c:", "c:-1", "c:01", "c:1:a1", "c:1:e1", "c:1:a02", "c:1\n", "c:1:a9999999999", "c:²",
     "c:9223372036854775808", "order 17:1", "\0:1", "x" * 200 + ":1", "1f0c7d52-8d2e-4d3f-9f8e-1a2b3c4d5e6f"],
)  # fmt: skip
def test_what_is_no_id_of_ours_is_not_looked_at(late: LateReasons, id: Any) -> None:
    Heard(late).hear([event(id)])
    assert len(late) == 0


def test_an_event_may_hold_anything(world: World, late: LateReasons) -> None:
    values: list[Any] = [None, 5, [], {}, "\0\udce9", "x" * 3_000_000, float("inf"), float("nan"), -1, True, 10**400]
    wrong = [{field: value} for field in ("exception", "traceback", "hostname", "timestamp") for value in values]
    world.client("c", max_attempts=1)
    world.publish(*[None] * len(wrong))
    deliveries = world.hand_over()
    settle(world.store, [outcome(delivery, failure=UNTOLD) for delivery in deliveries])
    heard = Heard(late)
    heard.hear([event(f"c:{nth}", type="task-started", timestamp=7.0) for nth in range(1, len(wrong) + 1)])
    heard.hear([event(f"c:{nth}", **fields) for nth, fields in enumerate(wrong, start=1)])
    late.fill_in(world.store)
    sizes = "coalesce(octet_length(error), 0), coalesce(octet_length(traceback), 0), length(CAST(failures AS text))"
    for error, traceback, failures in world.rows("parked", sizes):
        assert error <= bounds.ERROR_MESSAGE_BYTES and traceback <= bounds.TRACEBACK_BYTES
        assert failures <= 2 * (bounds.KEPT_ERROR_CHARACTERS + bounds.KEPT_TRACEBACK_CHARACTERS)
    assert sum(kind == "Boom" for kind in world.rows("parked", "error_type")) == 3 * len(values)


def test_what_waits_is_bounded_in_number_bytes_and_tries(
    world: World, late: LateReasons, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.settle.late_reasons.WAITING_REASONS", 5)
    monkeypatch.setattr("bridge.settle.late_reasons.WAITING_REASONS_BYTES", 10_000)
    for offset in range(8):
        late.add(Attempt("c", offset, 1, 1), NO)
    assert len(late) == 5
    late.add(Attempt("c", 9, 1, 1), Failure(message="x" * 9_700))
    assert len(late) == 1
    for _ in range(MOST_TRIES):
        assert late.fill_in(world.store) == 0
        clock.now += 3600
    assert len(late) == 0


def test_while_postgres_is_away_or_holds_the_client_reasons_wait(
    world: World, late: LateReasons, clock: Clock, monkeypatch: pytest.MonkeyPatch, connect: Any
) -> None:
    failed(world)
    late.add(Attempt("c", 1, 1, 1), NO)

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr("bridge.settle.late_reasons.tell_failures", away)
        late.fill_in(world.store)
    with connect(autocommit=False) as holder:
        holder.execute("SELECT FROM fq.clients FOR UPDATE")
        for _ in range(MOST_TRIES + 1):
            assert late.fill_in(world.store) == 0
            clock.now += 1
    assert late.fill_in(world.store) == 1


def test_of_many_attempts_the_last_ten_are_kept_and_erased_with_their_key(world: World, late: LateReasons) -> None:
    world.client("c", max_attempts=13, backoff_seconds=0)
    world.publish("k")
    for attempt in range(1, 14):
        [delivery] = world.hand_over()
        fail(world, delivery, Failure(type="E", message=f"{attempt} " + "é" * 5000, traceback="t" * 60_000))
    it = fate(world)
    assert [f.attempt for f in it.failures] == list(range(4, 14))
    assert len(str(it.failures[0].error)) < 1100 < len(str(it.failures[-1].error)), "only the last one is whole"
    world.eyes.execute("UPDATE fq.events SET payload = fq.erased(), headers = '{}'")
    late.add(Attempt("c", 1, 1, 13), NO)  # knows the host, which is not known yet
    assert late.fill_in(world.store) == 1
    it = fate(world)
    assert {(f.error, f.traceback) for f in it.failures} == {("erased", "erased")}
    assert it.host == "w@h"
