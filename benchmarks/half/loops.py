"""Turns with a bridge and a fleet in processes of their own: end to end, and latency."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from statistics import median
from typing import Any, NamedTuple

from .timing import Cost, Timing

TASKS = 2_000  # events that go from end to end; in batches ten times as many
LATENCIES, PAUSE_SECONDS = 100, 0.05
NOTES, QUEUE = "bench:notes", "fleet"


class Kind(NamedTuple):
    """How a fleet is set up from end to end: how it reports, its app, how many events share a message."""

    report_by: str
    app: str
    batch: int = 1


KINDS = {
    "in-process": Kind("in-process", "benchmarks.installed"),
    "link": Kind("callback", "benchmarks.fleet"),
    "link, installed": Kind("callback", "benchmarks.installed"),
    "link, batch = 100": Kind("callback", "benchmarks.fleet", batch=100),
}
DELAY = ".delay()"  # Celery alone, the publisher included


class Loops(Timing):
    """Turns that start a fleet, and most of them a bridge."""

    def _end_to_end(self, kind: str) -> Cost:
        if kind == DELAY:
            return self._end_to_end_by_delay()
        report_by, app, batch = KINDS[kind]
        with self._loop(app=app):
            settings = {self._names.report_by: report_by, "batch": batch, "window": max(1000, 20 * batch)}
            client = self._bench.client(start=self._bench.last(), **settings)
            self._running.warm(self._bench, client)
            self._bench.eyes.execute("UPDATE fq.clients SET state = 'paused' WHERE id = %s", (client,))
            self._running.publish(self._bench, TASKS * min(batch, 10))
            upto = self._bench.last()

            def work() -> None:
                self._bench.eyes.execute("UPDATE fq.clients SET state = 'active' WHERE id = %s", (client,))
                self._wait_for(client, upto)

            found = self._timed(work)
        self._forget(client)
        return found

    def _end_to_end_by_delay(self) -> Cost:
        arguments: Any = import_module("benchmarks.log").as_argument
        task = self._bench.app().signature("fleet.noop", queue=QUEUE)
        with self._loop(with_bridge=False):

            def work(number: int) -> None:
                for nth in range(number):
                    task.delay(arguments(nth))
                self._running.wait_until_empty(self._bench)

            work(20)
            return self._timed(lambda: work(TASKS))

    def _latency(self, kind: str) -> Cost:
        """Return the median from commit to handler as the seconds; and the processor time of all that."""
        with self._loop(prefetch=4, with_bridge=kind != DELAY):
            client = self._bench.client(task="fleet.note", start=self._bench.last())
            send = self._noting(kind)
            send(-1)
            self._noted(1)
            self._bench.redis.delete(NOTES)
            started: dict[int, float] = {}

            def work() -> None:
                for number in range(LATENCIES):
                    offset, began = send(number)
                    started[offset] = began
                    time.sleep(PAUSE_SECONDS)
                self._noted(LATENCIES)

            cost = self._timed(work)
            handled = dict(json.loads(note) for note in self._bench.redis.lrange(NOTES, 0, -1))
        self._forget(client)
        passed = sorted(handled[offset] - began for offset, began in started.items())
        return cost._replace(seconds=median(passed), slowest=passed[int(0.99 * len(passed))])

    def _noting(self, kind: str) -> Callable[[int], tuple[int, float]]:
        """Return what publishes an event, and returns its offset and when its COMMIT was sent."""
        from bridge import publish

        eyes, task = self._bench.eyes, self._bench.app().signature("fleet.note", queue=QUEUE)

        def by_bridge(number: int) -> tuple[int, float]:
            with eyes.transaction():
                offset = publish(eyes, "order.created", {"number": number}, key=str(number))
                began = time.time()
            return offset, began

        def by_delay(number: int) -> tuple[int, float]:
            began = time.time()
            task.delay({"offset": number, "payload": {"number": number}})
            return number, began

        return by_delay if kind == DELAY else by_bridge

    def _noted(self, number: int) -> None:
        while self._bench.redis.llen(NOTES) < number:
            time.sleep(0.01)

    @contextmanager
    def _loop(self, *, with_bridge: bool = True, **fleet: Any) -> Iterator[None]:
        """Run a fleet, and a bridge."""
        self._names.empty_broker(self._bench)
        with self._running.fleet(self._bench, **fleet) as processes:
            if with_bridge:
                self._names.start_bridge(self._bench, processes)
            yield
