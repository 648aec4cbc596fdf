"""How long passes and settled batches take: counted in this process's memory, and added to Postgres every few seconds.

So the numbers are those of all processes together, whichever pool they run in and whichever host, and any exporter can
read them. While Postgres is away, they are kept: that costs a few numbers. A process that is killed takes the last
seconds' numbers with it.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from weakref import WeakKeyDictionary

from bridge.errors import BridgeError
from bridge.sql import statement
from bridge.store.connect import Store

Name = Literal["pass", "settle"]

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NOTE_SECONDS = 2.0  # between two times that a process adds its numbers


class Histogram:
    """How often something took how long, since the numbers were last taken."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, counts: list[int], seconds: float) -> None:
        """Add the numbers of another one."""
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        self.seconds += seconds


class Durations:
    """The histograms of one process; several threads may use them. A forked child begins with empty ones."""

    def __init__(self) -> None:
        self._pid = 0
        self._lock = threading.Lock()
        self._histograms: dict[Name, Histogram] = {}
        self._noted = 0.0  # time.monotonic()

    def observe(self, name: Name, seconds: float) -> None:
        """Count one more."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            histogram = self._histograms.setdefault(name, Histogram())
            histogram.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
            histogram.seconds += seconds

    def note(self, store: Store, *, bridge: str, at_once: bool = False) -> None:
        """Add what is new to Postgres, if that was last done a while ago; where Postgres is away, later."""
        now = time.monotonic()
        if self._pid != os.getpid():
            self._begin()
        if not self._histograms or (not at_once and now - self._noted < NOTE_SECONDS):
            return
        with self._lock:
            taken, self._histograms, self._noted = self._histograms, {}, now
        while taken:
            name, histogram = taken.popitem()
            binds = {"bridge": bridge, "name": name, "counts": histogram.counts, "seconds": histogram.seconds}
            try:
                with store.writing() as connection:
                    connection.execute(statement("metrics/add_durations"), binds | {"bounds": list(BOUNDS_SECONDS)})
            except BaseException:
                self._put_back({**taken, name: histogram})
                raise

    def _put_back(self, histograms: dict[Name, Histogram]) -> None:
        with self._lock:
            for name, histogram in histograms.items():
                self._histograms.setdefault(name, Histogram()).add(histogram.counts, histogram.seconds)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()  # a new one: a fork may have copied it locked
        self._histograms = {}
        self._noted = time.monotonic() - NOTE_SECONDS


_durations: WeakKeyDictionary[Store, Durations] = WeakKeyDictionary()


def durations_of(store: Store) -> Durations:
    """Return the histograms of this process for this log."""
    if store not in _durations:
        return _durations.setdefault(store, Durations())
    return _durations[store]


class Taken:
    """How long something took: 0 until it is over."""

    seconds = 0.0


@contextmanager
def timed(store: Store, name: Name) -> Iterator[Taken]:
    """Count how long the body takes, unless it raises. What is yielded says it afterwards."""
    taken, began = Taken(), time.perf_counter()
    yield taken
    taken.seconds = time.perf_counter() - began
    durations_of(store).observe(name, taken.seconds)


def note_durations(store: Store, *, bridge: str, at_once: bool = False) -> None:
    """Add this process's new numbers to Postgres, every few seconds; where that fails, later.

    Args:
        store: The event log.
        bridge: Whose passes and outcomes they are.
        at_once: However lately that was done: nothing may come for a while.
    """
    with suppress(BridgeError):  # they are only numbers: what waits for Postgres says so itself
        durations_of(store).note(store, bridge=bridge, at_once=at_once)
