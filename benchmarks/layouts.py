"""Compare one table with partitions by ranges of offsets, by the server's CPU time: `python -m benchmarks.layouts`.

CPU time tells much also where the machine is busy (decision 38). Both layouts run on one server in databases of their
own; the figures are the least of some rounds in turns.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

import bridge.sql
from benchmarks.offsets import cpu_of
from benchmarks.prune import by_partitions, fill, original
from bridge.demo.servers import run_postgres
from bridge.sql import for_psycopg
from bridge.store import Store
from bridge.store.migrate import migrate

ROUNDS = 7
FEW = 200
LATER = datetime.now(UTC) + timedelta(days=1)
Log = psycopg.Connection[Any]


def inserts(log: Log) -> int:
    """Append events one by one."""
    for _ in range(FEW):
        log.execute("INSERT INTO fq.events (topic, key, payload) VALUES ('order.1', 'k1', '{\"a\": 1}')")
    return FEW


def reads(log: Log) -> int:
    """Read slices of the log, as a pass does."""
    for first in range(FEW // 10):
        log.execute('SELECT * FROM fq.events WHERE "offset" > %s ORDER BY "offset" LIMIT 10', [first * 1000]).fetchall()
    return FEW // 10


def keys(log: Log) -> int:
    """Find the next event of keys, as lanes do."""
    query = (
        'SELECT "offset" FROM fq.events WHERE key = %s AND "offset" >= %s AND "offset" <= %s ORDER BY "offset" LIMIT 2'
    )
    for key in range(FEW // 10):
        log.execute(query, [f"k{key}", 0, 10**9]).fetchall()
    return FEW // 10


def leaps(log: Log) -> int:
    """Leap to the next event of a topic that is not there."""
    log.execute('UPDATE fq.clients SET dispatched = -1, "offset" = -1, epoch = epoch + 1')
    binds = {"client": "c", "after": -1, "horizon": 10**9, "filter": "^\\.never$", "topics": 1000}
    log.execute(for_psycopg("pass/leap"), binds)
    return 1


def removals(log: Log) -> int:
    """Remove the oldest thousand events in a transaction that is rolled back."""
    found = log.execute(
        for_psycopg("retention/free_events"),
        {"after": -1, "upto": 10**9, "before": LATER, "most": 1000, "bytes": 2**40},
    ).fetchone()
    with log.transaction(force_rollback=True):
        log.execute(for_psycopg("retention/remove_events"), {"offsets": found[0] if found else []})
    return 1


WAYS: Mapping[str, Callable[[Log], int]] = {
    "one INSERT": inserts,
    "a slice of the log": reads,
    "next event of a key": keys,
    "a leap": leaps,
    "1,000 events removed": removals,
}


def prepared(url: str, name: str, schema: Callable[[], str], rows: int) -> Log:
    """Make a database with a log of this layout, and connect to it."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}".encode())
    its = urlsplit(url)._replace(path=f"/{name}").geturl()
    bridge.sql.schema = schema
    store = Store(its, statement_timeout_seconds=3600)
    migrate(store.engine)
    store.close()
    fill(its, rows, rows)
    log: Log = psycopg.connect(its, autocommit=True)
    log.execute("INSERT INTO fq.clients (id, task, released_at) VALUES ('c', 'fleet.handle', now())")
    return log


def main(rows: int, most: int) -> None:
    """Print the CPU milliseconds of each way, for one table and for partitions."""
    with tempfile.TemporaryDirectory() as directory, run_postgres(Path(directory)) as url:
        logs = {"one table": prepared(url, "one", original, rows)}
        for parts in (20, most):
            size = rows // parts
            logs[f"{parts} partitions"] = prepared(url, f"parts_{parts}", partial(by_partitions, rows, size), rows)
        for way, run in WAYS.items():
            spent: dict[str, list[float]] = {layout: [] for layout in logs}
            for turn in range(ROUNDS):
                for layout, log in logs.items():
                    before = cpu_of(log)
                    times = run(log)
                    if turn:
                        spent[layout].append((cpu_of(log) - before) / times * 1000)
            print(f"| {way} | " + " | ".join(f"{min(them):.3f} ms" for them in spent.values()) + " |", flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] or ["200000", "400"]))
