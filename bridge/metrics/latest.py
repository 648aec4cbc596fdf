"""The latest look at something that may hang: nobody waits for it longer than he said, and only one looks at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """What the last look saw.

    Args:
        look: Looks, and may take long; what it raises is its own business: then nothing was seen.
        fresh_seconds: For how long a look stands for the next one.
        clock: Seconds, from any moment.
    """

    def __init__(
        self, look: Callable[[], T], *, fresh_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._fresh_seconds, self._clock = look, fresh_seconds, clock
        self._changed = threading.Condition()
        self._looking_since: float | None = None
        self._seen: T | None = None
        self._seen_at = float("-inf")

    def get(self, *, within_seconds: float) -> T | None:
        """Return what a look sees that is fresh; None where a look fails or takes longer than this.

        Where a look hangs already for so long, nobody waits for it again.
        """
        with self._changed:
            if self._is_fresh():
                return self._seen
            left = self._begin() + within_seconds - self._clock()
            self._changed.wait_for(self._is_fresh, timeout=max(0.0, left))
            return self._seen if self._is_fresh() else None

    def begin(self) -> None:
        """Begin to look where that is due, and wait for nothing: several things are looked at side by side then."""
        with self._changed:
            if not self._is_fresh():
                self._begin()

    def _begin(self) -> float:
        """Begin to look, unless somebody does; return since when."""
        if self._looking_since is None:
            self._looking_since = self._clock()
            threading.Thread(target=self._run, name="bridge-metrics-look", daemon=True).start()
        return self._looking_since

    def _is_fresh(self) -> bool:
        return self._clock() - self._seen_at < self._fresh_seconds

    def _run(self) -> None:
        seen = None
        try:
            seen = self._look()
        finally:
            with self._changed:
                self._seen, self._seen_at, self._looking_since = seen, self._clock(), None
                self._changed.notify_all()
