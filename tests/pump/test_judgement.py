"""What a pass may take, and what follows from what it took: pure decisions, a row for each case."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import Undeliverable
from bridge.model import Client
from bridge.pump.budget import Budget, budget_of
from bridge.pump.judgement import Judgement, judge
from bridge.pump.taking import Taken
from bridge.store.handover import Todo
from bridge.store.tally import Tally

BUDGET: dict[str, Any] = {
    "limit": 100,
    "window": 10,
    "opened": 0,
    "again": False,
    "free": 10,
    "redriven": False,
    "lanes": False,
    "replayed": None,
    "refill_at": None,
}
TAKEN: dict[str, Any] = {
    "again": 0,
    "fresh": 0,
    "counted": Tally(),
    "owed": Tally(),
    "looked": 0,
    "refused": (),
    "more": False,
    "within_seconds": None,
}
REFUSED = (Undeliverable(1, "no way"),)

# What the pass found, its budget and what it took as far as they differ from those above, whether the client was woken;
# then: hungry, full, when to look again, and whether the client's row has to say so.
JUDGEMENTS: list[tuple[str, dict[str, Any], dict[str, Any], bool, tuple[bool, bool, float | None, bool]]] = [
    ("nothing", {}, {}, False, (False, False, None, False)),
    ("nothing, but it was woken", {}, {}, True, (False, False, None, True)),
    ("nothing that matches", {}, {"looked": 5}, False, (False, False, None, True)),
    ("retries only", {"opened": 3, "free": 7}, {"again": 2}, True, (False, False, None, True)),
    ("all there is", {}, {"fresh": 3, "looked": 3}, False, (False, False, None, True)),
    ("not all there is", {}, {"fresh": 3, "looked": 3, "more": True}, False, (True, False, None, True)),
    ("more without a match so far", {}, {"looked": 9, "more": True}, False, (True, False, None, True)),
    ("a full window", {}, {"fresh": 10, "looked": 10, "more": True}, False, (False, True, None, True)),
    ("the rest of a window", {"opened": 7, "free": 3}, {"fresh": 3, "more": True}, False, (False, True, None, True)),
    ("one less than a window", {"opened": 7, "free": 3}, {"fresh": 2, "more": True}, False, (True, False, None, True)),
    ("as much as a pass may", {"limit": 3}, {"fresh": 3, "looked": 3}, False, (True, False, None, True)),
    ("as much as a pass may, again", {"limit": 3, "opened": 5}, {"again": 3}, True, (True, False, None, True)),
    ("as much as a pass may, of both", {"limit": 3}, {"again": 1, "fresh": 2}, True, (True, False, None, True)),
    ("one less than a pass may", {"limit": 3}, {"again": 1, "fresh": 1}, True, (False, False, None, True)),
    ("both bounds at once", {"limit": 10}, {"fresh": 10, "more": True}, False, (True, True, None, True)),
    ("a refusal", {}, {"fresh": 3, "refused": REFUSED}, False, (True, False, None, True)),
    ("a refusal in a full window", {}, {"fresh": 10, "refused": REFUSED}, False, (True, False, None, True)),
    ("a window still full", {"opened": 10, "free": 0, "refill_at": 9}, {}, True, (False, True, None, True)),
    ("a tenth free", {"opened": 9, "free": 1, "refill_at": 9}, {}, True, (False, False, None, True)),
    (
        "a tenth free, and taken again",
        {"opened": 9, "free": 1, "refill_at": 9},
        {"fresh": 1, "more": True},
        True,
        (False, True, None, True),
    ),
    (
        "two tenths free, one taken",
        {"opened": 8, "free": 2, "refill_at": 9},
        {"fresh": 1, "more": True},
        True,
        (True, False, None, True),
    ),
    (
        "a refusal in a window still full",
        {"opened": 9, "free": 1, "refill_at": 9},
        {"fresh": 1, "refused": REFUSED},
        True,
        (True, True, None, True),
    ),
    ("more open than a smaller window", {"opened": 12, "free": 0}, {"more": True}, False, (False, True, None, True)),
    ("retries while it drains", {"opened": 3, "free": 0}, {"again": 2, "more": True}, True, (False, False, None, True)),
    ("nothing while it drains", {"opened": 3, "free": 0}, {"more": True}, False, (False, False, None, False)),
    ("more of a replay", {}, {"fresh": 2, "more": True, "within_seconds": 0}, True, (True, False, 0, True)),
    ("a replay at its rate", {}, {"fresh": 2, "within_seconds": 2.5}, True, (False, False, 2.5, True)),
    ("a replay at its rate, nothing yet", {}, {"within_seconds": 2.5}, False, (False, False, 2.5, True)),
    (
        "a replay and a full window",
        {},
        {"fresh": 10, "more": True, "within_seconds": 0},
        True,
        (False, True, 1, True),
    ),
    (
        "a replay, and no room beside retries",
        {"limit": 5, "opened": 5, "free": 5},
        {"again": 5, "more": True, "within_seconds": 0},
        True,
        (True, False, 1, True),
    ),
    ("a redrive that waits for its key", {}, {"within_seconds": 1}, False, (False, False, 1, True)),
]


@pytest.mark.parametrize(
    ("budget", "taken", "woken", "follows"),
    [pytest.param(*case, id=found) for found, *case in JUDGEMENTS],
)
def test_what_follows_from_a_pass(
    budget: dict[str, Any], taken: dict[str, Any], woken: bool, follows: tuple[bool, bool, float | None, bool]
) -> None:
    hungry, full, within_seconds, changed = follows
    found = judge(Budget(**BUDGET | budget), Taken(**TAKEN | taken), woken=woken)
    assert found == Judgement(hungry=hungry, full=full, within_seconds=within_seconds, changed=changed)


TODO: dict[str, Any] = {
    "woken": True,
    "full": False,
    "refill_at": 9,
    "ready": False,
    "redriving": False,
    "replaying": False,
    "window": 10,
    "opened": 0,
    "replayed": 0,
    "due": 0,
    "lapsed": 0,
    "verdict": "park",
}


def client(state: str) -> Client:
    return Client(id="c", task="t", offset=0, dispatched=0, epoch=1, generation=1, filter="", state=state)


@pytest.mark.parametrize(
    ("todo", "state", "budget"),
    [
        ({}, "active", {}),
        ({"opened": 4}, "active", {"opened": 4, "free": 6}),
        ({"opened": 12}, "active", {"opened": 12, "free": 0}),
        ({"due": 2}, "active", {"again": True}),
        ({"due": 2, "woken": False}, "active", {}),
        ({"full": True}, "active", {"refill_at": 9}),
        ({"ready": True}, "active", {"lanes": True}),
        ({"redriving": True}, "active", {"redriven": True}),
        ({"replaying": True}, "active", {"replayed": 5}),
        ({"replaying": True, "replayed": 3, "opened": 3}, "active", {"replayed": 2, "opened": 3, "free": 7}),
        ({"replaying": True, "window": 1}, "active", {"replayed": 0, "window": 1, "free": 1}),
        ({"due": 2, "redriving": True, "replaying": True}, "draining", {"again": True, "free": 0}),
    ],
)
def test_what_a_pass_may_take(todo: dict[str, Any], state: str, budget: dict[str, Any]) -> None:
    assert budget_of(client(state), Todo(**TODO | todo), limit=100) == Budget(**BUDGET | budget)


@pytest.mark.parametrize(
    ("free", "limit", "again", "room"), [(10, 100, 0, 10), (10, 6, 0, 6), (10, 6, 4, 2), (10, 6, 6, 0), (0, 6, 8, 0)]
)
def test_new_events_have_the_room_that_the_window_and_retries_leave(
    free: int, limit: int, again: int, room: int
) -> None:
    assert Budget(**BUDGET | {"free": free, "limit": limit}).room(again=again) == room
