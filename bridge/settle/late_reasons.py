"""Reasons that come by themselves, such as in events: they wait here for their outcomes, and are filled in.

A worker sends its events up to a second later than the callback, or earlier. What is told here may be forged, because
nobody signs an event. So it only fills in the text of a failure that a signed outcome has told, and only what is not
known of it. Everything is bounded: what waits, how long, and how often it is tried.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridge.bounds import WAITING_REASONS, WAITING_REASONS_BYTES
from bridge.model import Attempt, Failure
from bridge.store import Store
from bridge.store.telling import ToldFailure, tell_failures

AT_ONCE = 200
FIRST_SECONDS = 1.0  # after the first try; each next wait is twice as long
MOST_TRIES = 7  # about a minute
LOCK_SECONDS = 0.02


@dataclass(slots=True)
class Waiting:
    """A reason that waits for its outcome, how large it is, and when it is tried next."""

    failure: Failure
    size: int
    due: float
    tries: int = 0


class LateReasons:
    """The reasons that wait in one process.

    Args:
        clock: Seconds, from any moment.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: OrderedDict[Attempt, Waiting] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, attempt: Attempt, failure: Failure) -> None:
        """Remember why an attempt failed; what was told of it first stays. The oldest go where there are too many."""
        if attempt in self._waiting or not failure.is_told:
            return
        size = sum(len(text or "") for text in (failure.type, failure.message, failure.traceback)) + 200
        self._waiting[attempt] = Waiting(failure, size, self._clock())
        self._bytes += size
        while len(self._waiting) > WAITING_REASONS or self._bytes > WAITING_REASONS_BYTES:
            self._drop(next(iter(self._waiting)))

    def fill_in(self, store: Store) -> int:
        """Fill in those that are due, at most 200 of them; return how many found their outcomes.

        Raises:
            Unavailable, SchemaError: none did, and all wait on.
        """
        told = self._due()
        if not told:
            return 0
        found, held = tell_failures(store, told, lock_seconds=LOCK_SECONDS)
        now = self._clock()
        for attempt, _ in told:
            if (attempt.client, attempt.offset) in found:
                self._drop(attempt)
                continue
            waiting = self._waiting[attempt]
            waiting.tries += attempt.client not in held
            waiting.due = now + FIRST_SECONDS * 2 ** max(0, waiting.tries - 1)
            if waiting.tries >= MOST_TRIES:
                self._drop(attempt)
        return len(found)

    def _due(self) -> list[ToldFailure]:
        """Return the ones whose time has come, the oldest first, of each delivery one."""
        now, taken = self._clock(), set[tuple[str, int]]()
        due: list[ToldFailure] = []
        for attempt, waiting in self._waiting.items():
            if waiting.due <= now and (attempt.client, attempt.offset) not in taken:
                taken.add((attempt.client, attempt.offset))
                due.append(ToldFailure(attempt, waiting.failure))
                if len(due) == AT_ONCE:
                    break
        return due

    def _drop(self, attempt: Attempt) -> None:
        self._bytes -= self._waiting.pop(attempt).size
