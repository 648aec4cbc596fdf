"""When to try again, how to halve a batch, and how long to rest: pure decisions."""

from __future__ import annotations

import pytest

from bridge.settle.policy import backoff, halves, rest


def bound(_: float, high: float) -> float:
    return high


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)])
def test_g7_the_wait_doubles_with_every_attempt_up_to_its_cap(tries: int, seconds: float) -> None:
    assert backoff(tries, base_seconds=1, max_seconds=60, jitter=bound) == seconds


def test_g7_jitter_is_full_from_nothing_to_the_bound() -> None:
    waits = [backoff(3, base_seconds=1, max_seconds=60) for _ in range(500)]
    assert 0 <= min(waits) < 0.5
    assert 3.5 < max(waits) <= 4


@pytest.mark.parametrize(
    ("offsets", "parts"),
    [
        ([], {}),
        ([7], {7: 7}),
        ([4, 9], {4: 4, 9: 9}),
        ([9, 4, 7], {4: 4, 7: 4, 9: 9}),
        ([1, 2, 3, 4], {1: 1, 2: 1, 3: 3, 4: 3}),
    ],
)
def test_g7_a_batch_that_failed_is_cut_in_two_by_offset(offsets: list[int], parts: dict[int, int]) -> None:
    assert halves(offsets) == parts


@pytest.mark.parametrize(("worked", "rested"), [(0, 0.01), (0.001, 0.01), (0.01, 0.02), (3, 0.02)])
def test_rest_grows_with_the_work_and_no_event_waits_long_for_it(worked: float, rested: float) -> None:
    assert rest(worked, least=0.01) == rested
