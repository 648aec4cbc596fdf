"""When to try again, how to halve a batch that failed, how long to rest between two looks. Pure: others act."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

LONGEST_REST_SECONDS = 0.02
MAX_DOUBLINGS = 60  # beyond this, any backoff is above any cap, and the float would overflow


def backoff(
    tries: int, *, base_seconds: float, max_seconds: float, jitter: Callable[[float, float], float] = random.uniform
) -> float:
    """Return the seconds to wait after `tries` attempts: exponential with a cap, and full jitter below it.

    Full jitter spreads the retries of many deliveries that failed together over the whole wait. Source: "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        tries: Attempts so far, from 1.
        base_seconds: Upper bound of the first wait; doubles with every further attempt.
        max_seconds: Upper bound of any wait.
        jitter: Draws a number between two bounds.

    Returns:
        Seconds, from 0 to the bound.
    """
    return jitter(0, min(max_seconds, base_seconds * 2 ** min(tries - 1, MAX_DOUBLINGS)))


def halves(offsets: Sequence[int]) -> dict[int, int]:
    """Cut a batch that failed into two halves, and return the first offset of its half for each event.

    Example: 4, 7 and 9 become the halves 4, 7 and 9, so the answer is 4 for 4, 4 for 7, and 9 for 9.
    """
    ordered = sorted(offsets)
    middle = (len(ordered) + 1) // 2
    return {offset: half[0] for half in (ordered[:middle], ordered[middle:]) for offset in half}


def rest(worked_seconds: float, *, least: float) -> float:
    """Return the seconds to rest after a piece of work, so that the next one is larger.

    A pass, or a batch of outcomes, costs nearly the same for one event as for a hundred. A rest of twice the work keeps
    much of a core free for handlers under load, and no event waits longer than 20 ms for it. Example: after 3 ms of
    work the rest is 6 ms.

    Args:
        worked_seconds: How long the work took.
        least: Shortest rest, in seconds.
    """
    return max(least, min(2 * worked_seconds, LONGEST_REST_SECONDS))
