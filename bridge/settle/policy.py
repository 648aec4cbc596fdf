"""When to try again, and how long to rest between two looks. Pure: it decides, others act."""

from __future__ import annotations

import random
from collections.abc import Callable

from bridge.settings.client import OnExhausted, Ordering

LONGEST_REST_SECONDS = 0.02
MAX_DOUBLINGS = 60  # beyond this, any backoff is above any cap, and the float would overflow


def backoff(
    tries: int, *, base_seconds: float, max_seconds: float, jitter: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after `tries` attempts: exponential with a cap, and full jitter below it.

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


def verdict(on_exhausted: OnExhausted, ordering: Ordering) -> OnExhausted:
    """What becomes of an event without attempts left, given how its client orders.

    In strict order all events are one sequence, so holding its key means holding everything: the client halts. Without
    order nothing waits for anything, so there is no key to hold.
    """
    if on_exhausted != "hold-key" or ordering == "key":
        return on_exhausted
    return "halt" if ordering == "strict" else "park"


def rest(worked_seconds: float, *, least: float) -> float:
    """Seconds to rest after a piece of work, so that the next one is larger.

    Passes and settling cost nearly the same for one event as for a hundred. Resting twice as long as the work took
    keeps much of a core free for handlers under load, and no event waits longer than 20 ms for it.
    """
    return max(least, min(2 * worked_seconds, LONGEST_REST_SECONDS))
