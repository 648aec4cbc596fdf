"""Measure in rounds: contenders take turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

WAIT_SECONDS = 600.0


class Stalled(Exception):
    """A condition was not reached in time."""


def interleaved(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Measure every contender once a round, each second round backwards.

    Returns:
        The figures that each contender returned, one for each round.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for nth in range(rounds):
        for name in list(contenders) if nth % 2 == 0 else reversed(list(contenders)):
            found[name].append(contenders[name]())
    return found


def ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return median(a / b for a, b in zip(ours, other, strict=True))


def rate(number: int, work: Callable[[], object]) -> float:
    """Return how many a second, when `work` does `number` of them."""
    began = time.perf_counter()
    work()
    return number / (time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def wait_until(
    condition: Callable[[], object], *, what: str, seconds: float = WAIT_SECONDS, poll_seconds: float = 0.01
) -> float:
    """Wait until the condition holds.

    Returns:
        `time.perf_counter()` when it was first seen.

    Raises:
        Stalled: it did not hold after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stalled(f"not reached in {seconds:g} s: {what}")
        time.sleep(poll_seconds)
    return time.perf_counter()
