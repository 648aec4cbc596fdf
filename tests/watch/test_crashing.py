"""Which handlers kill one process after the other, by what several looks have seen (G10)."""

from __future__ import annotations

import pytest

from bridge.store.losses import Attempt, Suspect, give_up_crashing
from bridge.watch.crashing import FRESH_SECONDS, LOOP_SECONDS, crashing_of, is_fresh, remember
from tests.support.world import World

ID = "c:1"


def seen(*looks: tuple[float, str | None]) -> dict[str, dict[str, float]]:
    """Look at these seconds, and see the first event's message in this process, or nowhere."""
    found: dict[str, dict[str, float]] = {}
    for now, process in looks:
        found = remember(found, {} if process is None else {ID: process}, now=now)
    return found


@pytest.mark.parametrize(
    ("looks", "number"),
    [
        ([(0, "a")], 1),
        ([(0, "a"), (2, "b"), (4, "c")], 3),
        ([(0, "a"), (2, None), (4, "b")], 2),
        ([(0, "a"), (2, "b"), (4, "a")], 2),
        ([(0, "a"), (LOOP_SECONDS, "b")], 2),
        ([(0, "a"), (LOOP_SECONDS + 1, "b")], 1),  # two deploys
        ([(0, "a"), (3600, "a"), (7200, "a")], 1),  # it runs on
        ([(0, "a"), (3600, "a"), (3601, "b")], 1),  # a deploy after an hour
        ([(0, "a"), (2, "b"), (2 + LOOP_SECONDS + 1, None)], 0),
    ],
)
def test_g10_only_processes_that_follow_each_other_soon_are_a_loop(
    looks: list[tuple[float, str | None]], number: int
) -> None:
    assert len(seen(*looks).get(ID, {})) == number


@pytest.mark.parametrize(
    ("processes", "tries", "max_attempts", "starts"),
    [
        (0, 1, 1, None),
        (1, 1, 1, None),  # handed out twice: that may be a deploy, even where one attempt is all
        (2, 1, 1, 3),
        (2, 1, 3, 3),
        (2, 1, 4, None),
        (2, 2, 4, 4),
        (9, 1, 10, 10),
    ],
)
def test_g10_every_start_that_is_known_counts(
    processes: int, tries: int, max_attempts: int, starts: int | None
) -> None:
    attempt = Attempt(1, 1, 1, 0, tries)
    sightings = {ID: {str(n): float(n) for n in range(processes)}} if processes else {}
    suspect = Suspect("c", "fleet", ("shop.bill",), 1, (attempt, Attempt(2, 1, 1, 0)), max_attempts)
    assert crashing_of(suspect, sightings) == ({} if starts is None else {attempt: starts})
    assert crashing_of(suspect._replace(batch=2), sightings) == {}


def test_g10_the_workers_are_asked_again_soon_only_after_a_new_process() -> None:
    assert not is_fresh({}, now=0)
    assert is_fresh(seen((0, "a"), (3, "b")), now=3 + FRESH_SECONDS)
    assert not is_fresh(seen((0, "a"), (3, "a")), now=1 + FRESH_SECONDS)


@pytest.mark.parametrize(
    ("on_exhausted", "state", "parked", "held"),
    [("park", "active", [1], False), ("hold-key", "active", [1], True), ("halt", "halted", [], False)],
)
def test_g10_what_kills_its_process_is_given_up_as_the_client_wants_it(
    world: World, on_exhausted: str, state: str, parked: list[int], held: bool
) -> None:
    world.client(on_exhausted=on_exhausted, max_attempts=3)
    world.publish("k", "k", "other")
    first, other = world.hand_over()
    starts = {Attempt(first.offset, first.epoch, first.attempt, 0): 3}
    outdated = {Attempt(other.offset, other.epoch, other.attempt + 1, 0): 3}
    assert give_up_crashing(world.store, "c", outdated, lock_seconds=5) == []
    assert give_up_crashing(world.store, "c", starts, lock_seconds=5) == list(starts)
    assert give_up_crashing(world.store, "c", starts, lock_seconds=5) == [], "once"
    assert world.row()["state"] == state
    assert world.rows("parked") == parked
    assert world.cursor() == (1 if parked else 0)
    if parked:
        assert world.rows("parked", "reason, error_type, held") == [
            ("kept killing its process (3 starts seen)", "WorkerLostError", held)
        ]
        assert [it.offset for it in world.hand_over()] == ([] if held else [2])
        assert world.succeed(first).succeeded == 1, "a success that comes late still counts"
    else:
        assert "kept killing its process" in str(world.row()["state_reason"])
