"""Prune a big log while writers write and a client reads: `python -m benchmarks.prune --help` (decision 38).

Two layouts are compared: small batches of DELETE (the bridge's), and partitions by ranges of offsets that are detached
and dropped. The log is read by the real passes in this process, without a broker: what is measured is the time from a
writer's COMMIT until the event would be sent. Writers keep a rate, first without the pruner, then with it.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

import bridge.sql
from bridge.demo.installation import Database
from bridge.demo.servers import run_postgres
from bridge.model import Client, Delivery, Outcome, Position
from bridge.pump.one_pass import hand_over
from bridge.retention.prune import prune
from bridge.settle.settle import settle
from bridge.store import Store
from bridge.store.horizon import advance_horizon
from bridge.store.migrate import migrate

PARTITION_EVENTS = 250_000
CHUNK_EVENTS = 250_000
ONLY_TABLES = "ALTER TABLE fq.events SET (autovacuum_vacuum_scale_factor = 0.05);"  # not with partitions
PAYLOAD = '{"order_id": 17, "email": "customer-17@example.org", "amount": 99}'
SERVER = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_wal_size": "4GB"}
INDEXES = [
    'CREATE INDEX events_topic_offset ON fq.events (topic, "offset")',
    'CREATE INDEX events_key_offset ON fq.events (key, "offset") WHERE key IS NOT NULL',
]
FILL = f"""INSERT INTO fq.events (topic, key, payload, created_at)
           SELECT 'order.' || n %% 20, 'k' || n %% 100000, '{PAYLOAD}', now() - interval '40 days' * %s
             FROM generate_series(1, %s) n"""


class Load:
    """Writers at a rate, and a client that reads; each event's time from COMMIT to hand-over."""

    def __init__(self, url: str, per_second: float, writers: int, *, partitions: bool) -> None:
        self.partitions = partitions
        self.url, self.pause, self.writers = url, writers / per_second, writers
        self.committed: dict[int, float] = {}
        self.handed: list[tuple[float, float]] = []  # when, and after how many seconds
        self.written: list[tuple[float, float]] = []  # when, and how long the INSERT took
        self.samples: list[dict[str, float]] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._write) for _ in range(writers)]
        self.threads += [threading.Thread(target=self._read), threading.Thread(target=self._sample)]

    def start(self) -> None:
        """Begin."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End, and wait for the threads."""
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _write(self) -> None:
        insert = (
            f"INSERT INTO fq.events (topic, key, payload) VALUES ('order.1', 'k', '{PAYLOAD}') RETURNING \"offset\""
        )
        with psycopg.connect(self.url, autocommit=True) as session:
            due = time.monotonic()
            while not self.over.is_set():
                began = time.monotonic()
                (offset,) = session.execute(insert.encode()).fetchone() or (0,)
                done = time.monotonic()
                self.committed[offset] = done
                self.written.append((done, done - began))
                due += self.pause
                time.sleep(max(0, due - time.monotonic()))

    def _read(self) -> None:
        store = Store(self.url)

        def send(client: Client, deliveries: Sequence[Delivery]) -> list[Any]:
            now = time.monotonic()
            outcomes = [
                Outcome(client=d.client.id, offset=d.offset, epoch=d.epoch, attempt=d.attempt) for d in deliveries
            ]
            sent.extend(outcomes)
            for one in deliveries:
                self.handed.append((now, max(0.0, now - self.committed.pop(one.offset, now))))
            return []

        while not self.over.is_set():
            sent: list[Outcome] = []
            hand_over(store, "c", horizon=advance_horizon(store), limit=2000, send=send)
            if sent:
                settle(store, sent)
            else:
                time.sleep(0.005)
        store.close()

    def _sample(self) -> None:
        query = """SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)),
                          fq.last_drawn() - (SELECT "offset" FROM fq.horizon)
                     FROM pg_partition_tree('fq.events')"""
        whole = query.replace("pg_partition_tree('fq.events')", "(SELECT CAST('fq.events' AS regclass) AS relid) t")
        with psycopg.connect(self.url, autocommit=True) as session:
            (kind,) = session.execute("SELECT relkind FROM pg_class WHERE oid = 'fq.events'::regclass").fetchone() or (
                "r",
            )
            while not self.over.wait(0.5):
                row = session.execute((query if kind == "p" else whole).encode()).fetchone() or (0, 0, 0)
                table, indexes, lag = map(float, row)
                self.samples.append({"at": time.monotonic(), "table": table, "indexes": indexes, "lag": lag})


def by_partitions(rows: int, size: int = PARTITION_EVENTS) -> str:
    """Return the schema with a log of partitions instead of one table."""
    whole = bridge.sql.source("schema/01_events")
    parts = "".join(
        f"CREATE TABLE fq.events_{n} PARTITION OF fq.events FOR VALUES FROM ({first}) TO ({first + size});\n"
        for n, first in enumerate(range(0, rows + 20 * size, size))
    )
    changed = whole.replace("\n);\n", '\n) PARTITION BY RANGE ("offset");\n' + parts, 1)
    return original().replace(whole, changed).replace(ONLY_TABLES, "")


original = bridge.sql.schema


def fill(url: str, rows: int, old: int) -> None:
    """Fill the log: so many events, the first of them old."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("ALTER TABLE fq.events DROP CONSTRAINT events_pkey")
        session.execute("DROP INDEX fq.events_topic_offset, fq.events_key_offset")
        for first in range(0, rows, CHUNK_EVENTS):
            session.execute(FILL.encode(), [int(first < old), min(CHUNK_EVENTS, rows - first)])
            print(f"\r{min(first + CHUNK_EVENTS, rows):,} events", end="", file=sys.stderr, flush=True)
        session.execute("SET maintenance_work_mem = '512MB'")
        session.execute('ALTER TABLE fq.events ADD CONSTRAINT events_pkey PRIMARY KEY ("offset")')
        for index in INDEXES:
            session.execute(index.encode())
        session.execute("VACUUM (ANALYZE) fq.events")
        session.execute("CHECKPOINT")


def prune_batches(url: str, old: int) -> None:
    """Prune as the bridge does: all that is older than 30 days."""
    store = Store(url)
    done = prune(store, before=datetime.now(UTC) - timedelta(days=30), keep=None)
    print(f"\n{done.events:,} events removed", file=sys.stderr)
    store.close()


def prune_partitions(url: str, old: int) -> None:
    """Detach and drop every partition whose events are all old."""
    with psycopg.connect(url, autocommit=True) as session:
        for nth in range(old // PARTITION_EVENTS):
            session.execute(f"ALTER TABLE fq.events DETACH PARTITION fq.events_{nth} CONCURRENTLY".encode())
            session.execute(f"DROP TABLE fq.events_{nth}".encode())


def run(layout: str, asked: Namespace, directory: Path) -> dict[str, Any]:
    """Measure one layout from an empty server on."""
    partitions = layout == "partitions"
    with run_postgres(directory, version=asked.postgres, settings=SERVER) as url:
        bridge.sql.schema = (lambda: by_partitions(asked.rows)) if partitions else original
        store = Store(url, statement_timeout_seconds=3600)
        migrate(store.engine)
        fill(url, asked.rows, asked.prune)
        with psycopg.connect(url, autocommit=True) as eyes:
            Database(store, eyes).register("c", start=Position.parse("now"), task="fleet.handle", ordering="none")
        load = Load(url, asked.per_second, asked.writers, partitions=partitions)
        load.start()
        time.sleep(5)
        began = time.monotonic()
        time.sleep(asked.seconds)
        pruner = multiprocessing.get_context("spawn").Process(
            target=prune_partitions if partitions else prune_batches, args=(url, asked.prune)
        )
        pruning = time.monotonic()
        pruner.start()
        pruner.join()
        pruned = time.monotonic()
        time.sleep(asked.seconds)
        ended = time.monotonic()
        load.stop()
        store.close()
    return {
        "layout": layout,
        "rows": asked.rows,
        "pruned": asked.prune,
        "failed": pruner.exitcode != 0,
        "pruning_seconds": pruned - pruning,
        "phases": {
            "before": figures(load, began, pruning),
            "pruning": figures(load, pruning, pruned),
            "after": figures(load, pruned, ended),
        },
        "times": [pruning - began, pruned - began],
        "sizes": [[s["at"] - began, s["table"], s["indexes"], s["lag"]] for s in load.samples],
        "latency": per_second(load.handed, began),
    }


def figures(load: Load, first: float, last: float) -> dict[str, float]:
    """Return what a phase was like."""
    latencies = sorted(seconds for at, seconds in load.handed if first <= at < last) or [0.0]
    inserts = sorted(seconds for at, seconds in load.written if first <= at < last) or [0.0]
    sizes = [s for s in load.samples if first <= s["at"] < last]
    return {
        "written_per_second": round(len(inserts) / (last - first), 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 1),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
        "longest_ms": round(latencies[-1] * 1000, 1),
        "insert_p99_ms": round(inserts[int(len(inserts) * 0.99)] * 1000, 1),
        "most_behind_horizon": max((s["lag"] for s in sizes), default=0),
        "table_mib": round(sizes[-1]["table"] / 2**20) if sizes else 0,
        "indexes_mib": round(sizes[-1]["indexes"] / 2**20) if sizes else 0,
    }


def per_second(handed: Sequence[tuple[float, float]], began: float) -> list[list[float]]:
    """Return the p50 and the p99 of each second."""
    seconds: dict[int, list[float]] = {}
    for at, took in handed:
        seconds.setdefault(int(at - began), []).append(took * 1000)
    return [
        [second, sorted(them)[len(them) // 2], sorted(them)[int(len(them) * 0.99)]]
        for second, them in sorted(seconds.items())
    ]


def main(argv: Sequence[str]) -> None:
    """Measure, and print the figures as JSON."""
    parser = ArgumentParser(prog="python -m benchmarks.prune", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layout", choices=["batches", "partitions"], action="append", help="both, if left out")
    parser.add_argument("--rows", type=int, default=10_000_000, help="events in the log")
    parser.add_argument("--prune", type=int, default=2_000_000, help="how many of them are old")
    parser.add_argument("--per-second", type=float, default=200, help="events written in a second")
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30, help="of the phases without the pruner")
    parser.add_argument("--postgres", type=int, default=18, help="major version; partitions need 17")
    parser.add_argument("--json", type=Path, help="where every figure goes")
    parser.add_argument("--plot", type=Path, help="where the picture goes (SVG; needs matplotlib)")
    parser.add_argument("--from-json", type=Path, help="draw what was measured before")
    asked = parser.parse_args(argv)
    if asked.from_json:
        results = json.loads(asked.from_json.read_text())
    else:
        results = []
        for layout in asked.layout or ["batches", "partitions"]:
            with tempfile.TemporaryDirectory() as directory:
                results.append(run(layout, asked, Path(directory)))
            print(json.dumps({k: v for k, v in results[-1].items() if k not in ("sizes", "latency")}, indent=1))
            if asked.json:
                asked.json.write_text(json.dumps(results))
    if asked.plot:
        draw(results, asked.plot)


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw latency and sizes over time, a column for each layout; grey while the pruner is at work."""
    from benchmarks.plots import LINE, OURS, STYLE, THEIRS, pyplot

    pyplot.rcParams.update(STYLE)
    picture, grid = pyplot.subplots(2, len(results), figsize=(5 * len(results), 5), sharex="col", squeeze=False)
    for result, (upper, lower) in zip(results, zip(*grid, strict=True), strict=True):
        for axes in (upper, lower):
            axes.axvspan(*result["times"], color="#eeeeee")
        times, medians, p99s = zip(*result["latency"], strict=True)
        upper.plot(times, p99s, color=OURS, label="p99")
        upper.plot(times, medians, color=THEIRS, label="median")
        upper.axhline(100, color=LINE, linewidth=0.5)
        upper.set_yscale("log")
        upper.set_ylabel("ms from COMMIT to hand-over")
        upper.set_title(f"{result['layout']}: {result['pruned']:,} of {result['rows']:,}", fontsize=10)
        upper.legend(frameon=False, fontsize=8)
        sampled = list(zip(*result["sizes"], strict=True))
        lower.plot(sampled[0], [size / 2**30 for size in sampled[1]], color=OURS, label="table")
        lower.plot(sampled[0], [size / 2**30 for size in sampled[2]], color=THEIRS, label="indexes")
        lower.set_ylim(bottom=0)
        lower.set_ylabel("GiB")
        lower.set_xlabel("seconds")
        lower.legend(frameon=False, fontsize=8)
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
