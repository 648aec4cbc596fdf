"""Waiting in a queue is no attempt (G10): which leases are over is decided by what is seen of the queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.pump.waiting import judge_leases
from bridge.store.leases import Lapsed

START = datetime(2026, 1, 1, tzinfo=UTC)
LAPSED: dict[str, Any] = {
    "offset": 1,
    "epoch": 1,
    "attempt": 1,
    "waited_at": None,
    "behind": None,
    "still": 0,
    "later": 0,
    "messages": 0,
}
SEEN = {"waited_at": START}
TWO_BEHIND = SEEN | {"behind": 2, "later": 5, "messages": 5}

# What is known of a delivery whose lease has run out, the length of its queue, and what becomes of it.
VERDICTS: list[tuple[str, dict[str, Any], int | None, str]] = [
    ("the queue is empty", {}, 0, "over"),
    ("the broker can't be asked", {}, None, "over"),
    ("one message waits, it may be this one", {}, 1, "waits"),
    ("the queue is as long as what was sent after it", {"later": 3, "messages": 3}, 3, "over"),
    ("the queue is longer than what was sent after it", {"later": 3, "messages": 3}, 4, "waits"),
    ("what was sent after it are batches", {"later": 30, "messages": 3}, 4, "waits"),
    ("it waited at the last look, and the queue is empty", SEEN | {"behind": 0}, 0, "left"),
    (
        "it waited at the last look, and may still",
        TWO_BEHIND | {"still": 2},
        9,
        "waits",
    ),
    ("something after it was answered", TWO_BEHIND | {"still": 1}, 9, "left"),
    ("it waited, and the broker can't be asked any more", SEEN | {"behind": 0}, None, "left"),
    ("it had left, and its lease is over", SEEN, 9, "over"),
    ("it had left, and its lease is over, with an empty queue", SEEN, 0, "over"),
]


@pytest.mark.parametrize(("about", "known", "length", "verdict"), VERDICTS, ids=[row[0] for row in VERDICTS])
def test_g10_a_lease_is_over_only_when_its_message_can_t_be_waiting(
    about: str, known: dict[str, Any], length: int | None, verdict: str
) -> None:
    it = Lapsed(**LAPSED | known)
    over, renewed = judge_leases([it], length=length, lease_seconds=3600)
    assert [o.offset for o in over] == ([1] if verdict == "over" else [])
    if verdict == "left":
        assert renewed == [(1, 3600, None)], "a whole lease for its handler"
    elif verdict == "waits":
        assert renewed == [(1, 10, it.later)]


@pytest.mark.parametrize(
    ("lease_seconds", "number", "seconds"), [(3, 1, 3), (0.1, 1, 1), (3600, 1, 10), (3600, 5000, 50), (3, 5000, 50)]
)
def test_g10_many_leases_are_looked_at_less_often(lease_seconds: float, number: int, seconds: float) -> None:
    _, renewed = judge_leases([Lapsed(**LAPSED)] * number, length=1, lease_seconds=lease_seconds)
    assert {it.seconds for it in renewed} == {seconds}


@dataclass
class Fleet:
    """A queue and its workers: messages are taken in order, and answered or lost in any."""

    now: int = 0
    queue: list[int] = field(default_factory=list)
    hands: list[int] = field(default_factory=list)
    out: dict[int, int] = field(default_factory=dict)  # offset -> when it was sent
    seen: dict[int, tuple[datetime | None, int | None]] = field(default_factory=dict)
    sent: int = 0

    def send(self, number: int) -> None:
        """Send some in one pass."""
        self.now += 1
        for offset in range(self.sent, self.sent + number):
            self.queue.append(offset)
            self.out[offset] = self.now
        self.sent += number

    def look(self, offset: int) -> Lapsed:
        """Say what Postgres would say of a delivery."""
        waited_at, behind = self.seen.get(offset, (None, None))
        later = [at for at in self.out.values() if at > self.out[offset]]
        still = [at for at in later if waited_at is not None and START + timedelta(seconds=at) <= waited_at]
        return Lapsed(offset, 1, 1, waited_at, behind, len(still), len(later), len(later))


MOVES = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["take", "foreign", "answer", "lose", "look"]), st.integers(0, 5)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(MOVES, max_size=40))
def test_g10_no_message_that_waits_is_sent_again_and_one_that_is_lost_is(moves: list[tuple[str, int]]) -> None:
    fleet, foreign, lost = Fleet(), 0, set[int]()

    def look() -> set[int]:
        fleet.now += 1
        lapsed = [fleet.look(offset) for offset in fleet.out]
        over, renewed = judge_leases(lapsed, length=len(fleet.queue) + foreign, lease_seconds=60)
        for it in renewed:
            fleet.seen[it.offset] = START + timedelta(seconds=fleet.now), it.behind
        assert not {it.offset for it in over} & set(fleet.queue), "it still waits"
        return {it.offset for it in over}

    for move, number in moves:
        if move == "send":
            fleet.send(number)
        elif move == "take":
            fleet.hands += fleet.queue[:number]
            del fleet.queue[:number]
        elif move == "foreign":  # messages of others wait in the same queue
            foreign = number
        elif fleet.hands and move == "answer":
            fleet.out.pop(fleet.hands.pop(number % len(fleet.hands)), None)  # None: it was replaced meanwhile
        elif fleet.hands and move == "lose":
            lost |= {fleet.hands.pop(number % len(fleet.hands))} & set(fleet.out)
        elif move == "look":
            for offset in look():
                del fleet.out[offset]
                fleet.seen.pop(offset, None)
                lost.discard(offset)
    foreign, fleet.queue = 0, []
    look()
    assert lost <= look(), "two looks at an empty queue find what is lost"
