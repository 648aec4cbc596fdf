"""When the workers are asked what they run: often at first, then seldom, and never more than a broker should carry.

A handler that kills its process is started again some times a second, so the first seconds count. An event that is
awaited for long is most likely one that takes long.
"""

from __future__ import annotations

CLOSE_SECONDS, CLOSE_EVERY_SECONDS = 12.0, 0.15  # after the first event was awaited for so long as to be looked at
LONGEST_REST_SECONDS = 30.0
ANSWERS_AT_ONCE, ANSWERS_A_SECOND = 200.0, 50.0  # of all workers together
CLOSEST_SECONDS, LOOK_SHARE = 0.1, 0.02  # from one look to the next, and the share of the time that looks may take


class Pace:
    """The questions of one bridge worker.

    Args:
        now: In seconds, as for all calls.
    """

    def __init__(self, now: float) -> None:
        self._since: float | None = None  # when outcomes were awaited first, without a pause
        self._next = now
        self._free, self._filled = ANSWERS_AT_ONCE, now

    def awaits(self, any_outcome: bool, *, now: float) -> None:
        """Note whether any outcome is awaited."""
        if not any_outcome:
            self._since = None
        elif self._since is None:
            self._since = self._next = now

    @property
    def next_at(self) -> float:
        """When to ask next; in the past where nothing is awaited."""
        empty = -self._free / ANSWERS_A_SECOND if self._free <= 0 else 0.0
        return 0.0 if self._since is None else max(self._next, self._filled + empty)

    def is_due(self, *, now: float) -> bool:
        """Tell whether to ask now."""
        return self._since is not None and now >= self._next and self._at(now) > 0

    def asked(self, answers: int, *, now: float, soon: bool, most_seconds: float = LONGEST_REST_SECONDS) -> None:
        """Note that the workers were asked.

        Args:
            answers: How many came.
            soon: Whether to ask again as soon as may be.
            now: In seconds.
            most_seconds: Until they are asked again, at most.
        """
        self._free, self._filled = self._at(now) - max(1, answers), now
        seconds = now - (now if self._since is None else self._since)
        self._next = now + (0 if soon else min(most_seconds, rest_after(seconds)))

    def _at(self, now: float) -> float:
        """Return how many answers are free at this time; below zero if more came than there were."""
        return min(ANSWERS_AT_ONCE, self._free + (now - self._filled) * ANSWERS_A_SECOND)


def rest_after(seconds: float) -> float:
    """Return how long to wait for the next question if outcomes are awaited for so many seconds already."""
    if seconds <= CLOSE_SECONDS:
        return CLOSE_EVERY_SECONDS
    return min(LONGEST_REST_SECONDS, seconds - CLOSE_SECONDS + 2 * CLOSE_EVERY_SECONDS)


def bounded_rest(seconds: float, *, took: float) -> float:
    """Return how long to wait for the next look, so that looks take a small share of the time only.

    A thousand clients with a thousand open deliveries each take seconds to list. Example: a look that took 0.01 s is
    followed by the next one after half a second at the earliest.

    Args:
        seconds: How long to wait otherwise.
        took: How long it took to find out what is awaited, in seconds.
    """
    return max(CLOSEST_SECONDS, seconds, took / LOOK_SHARE)
