"""Bloat: how the tables and the cost of a pass grow over many deliveries and under an old snapshot."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import psycopg

from benchmarks.bench import Bench, Servers
from benchmarks.draining import drain
from benchmarks.measure import Stalled
from benchmarks.result import Figure, Row
from benchmarks.sizes import Sizes

WINDOW, BATCH = 5_000, 1_000
SHARES = {"before": 0.1, "during": 0.75}  # of all deliveries, until the snapshot is taken and until it is let go
SAMPLE_SECONDS = 0.5
LONGEST_SECONDS = 1800
RECOVERY_SECONDS = 300
FEW = 10_000  # dead rows, from which on autovacuum comes by
SIZES = b"""
SELECT c.dispatched, pg_total_relation_size('fq.deliveries'), pg_total_relation_size('fq.clients'),
       (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'fq.deliveries'::regclass),
       (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'fq.clients'::regclass)
  FROM fq.clients c WHERE c.id = %s
"""


class Watch:
    """Samples sizes and progress, and holds a snapshot open from one share of the deliveries to another.

    Args:
        bench: Place of the client.
        client: Its cursor is the progress.
        first: Offset at which the client began.
        events: Number of events that it gets.
        snapshot_seconds: How long the snapshot is held at most.
    """

    def __init__(self, bench: Bench, client: str, *, first: int, events: int, snapshot_seconds: float) -> None:
        self.samples: list[dict[str, Any]] = []
        self._bench, self._client, self._first, self._events = bench, client, first, events
        self._snapshot_seconds = snapshot_seconds
        self._reader: psycopg.Connection[Any] | None = None
        self._held_since = self._sampled = 0.0
        self._phase = "before"

    def look(self) -> None:
        """Take a sample if it is time, and move on to the next phase."""
        now = time.perf_counter()
        if now - self._sampled < SAMPLE_SECONDS:
            return
        self._sampled = now
        row = self._bench.eyes.execute(SIZES, (self._client,)).fetchone()
        assert row is not None
        names = ("deliveries_bytes", "clients_bytes", "deliveries_dead", "clients_dead")
        done = row[0] - self._first
        self.samples.append(
            {"seconds": now, "phase": self._phase, "events": done, **dict(zip(names, row[1:], strict=True))}
        )
        share = done / self._events
        if self._phase == "before" and share >= SHARES["before"]:
            self._reader = psycopg.connect(self._bench.database_url)
            self._reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._reader.execute("SELECT count(*) FROM fq.clients")
            self._phase, self._held_since = "during", now
        elif self._phase == "during" and (share >= SHARES["during"] or now - self._held_since > self._snapshot_seconds):
            self.let_go()
            self._phase = "after"

    def let_go(self) -> None:
        """End the old snapshot."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def recover(self) -> float | None:
        """Wait until autovacuum has freed the dead rows; return the seconds, None if it takes too long."""
        self._phase, began = "at rest", time.perf_counter()
        while (passed := time.perf_counter() - began) < RECOVERY_SECONDS:
            self.look()
            if self.samples[-1]["phase"] == self._phase and self.samples[-1]["deliveries_dead"] < FEW:
                return passed
            time.sleep(SAMPLE_SECONDS)
        return None

    def rate(self, phase: str) -> float:
        """Return the events a second in a phase; 0 if it was too short to tell."""
        own = [sample for sample in self.samples if sample["phase"] == phase]
        if len(own) < 2:
            return 0.0
        return float((own[-1]["events"] - own[0]["events"]) / (own[-1]["seconds"] - own[0]["seconds"]))

    def most(self, phase: str, what: str) -> int:
        """Return the highest value of a phase."""
        return max((sample[what] for sample in self.samples if sample["phase"] == phase), default=0)


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Drain one client with an ideal fleet, and hold an old snapshot open for a part of it."""
    figure = Figure(name="bloat", setup={"deliveries": sizes.deliveries, "window": WINDOW, "batch": BATCH})
    with servers.bench_with_log(max(sizes.log, sizes.deliveries)) as bench:
        first = bench.last() - sizes.deliveries
        client = bench.client(start=first, report_by="in-process", window=WINDOW)
        watch = Watch(bench, client, first=first, events=sizes.deliveries, snapshot_seconds=sizes.snapshot_seconds)
        try:
            with suppress(Stalled):
                figure.raw["pumps"] = drain(
                    bench, until=bench.last(), batch=BATCH, meanwhile=watch.look, seconds=LONGEST_SECONDS
                )
        finally:
            watch.let_go()
        recovered = watch.recover()
        bench.forget(client)
    figure.raw["samples"] = watch.samples
    before = watch.rate("before")
    for phase in ("during", "after"):
        if before and (found := watch.rate(phase)):
            figure.rows.append(
                Row(
                    name=f"cost of a pass {phase} an old snapshot",
                    ours=1e6 / found,
                    unit="µs",
                    other=1e6 / before,
                    beside="before it",
                    ratio=before / found,
                )
            )
        else:
            figure.notes.append(f"too few deliveries to tell the cost {phase} the snapshot: use a bigger size")
    for phase in ("before", "during", "after"):
        mib = watch.most(phase, "deliveries_bytes") / 2**20
        figure.rows.append(Row(name=f"largest size of fq.deliveries {phase} the snapshot", ours=mib, unit="MiB"))
    if recovered is None:
        figure.notes.append(f"autovacuum has not freed what was dead within {RECOVERY_SECONDS} s")
    else:
        figure.rows.append(
            Row(name="time after the last delivery until autovacuum has freed all", ours=recovered, unit="s")
        )
    if "pumps" not in figure.raw:
        done = watch.samples[-1]["events"] if watch.samples else 0
        figure.notes.append(f"ended after {LONGEST_SECONDS} s with {done:,} deliveries")
    return figure
