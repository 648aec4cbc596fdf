"""Measure what it costs writers that the database refuses chosen offsets: `python -m benchmarks.offsets` (decision 31).

Each way of writing runs on a log without the refusal, with the row trigger, and with a CHECK that would do the same, in
turns. The figures are the least CPU time that the server's process needs for a round, as the rate that this leaves.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from bridge import publish_many
from bridge.demo.servers import run_postgres
from bridge.store.migrate import migrate

ROWS = 1000
DROP = "DROP TRIGGER events_offset ON fq.events"
CHECK = (
    "ALTER TABLE fq.events ADD CONSTRAINT events_offset"
    """ CHECK ("offset" = currval('fq.events_offset_seq')) NOT VALID"""
)
GUARDS = {"nothing": [DROP], "check": [DROP, CHECK], "trigger": []}
PAYLOAD = '{"order_id": 17, "email": "customer-17@example.org", "amount": 99, "note": "' + "x" * 100 + '"}'
BULK = (
    f"INSERT INTO fq.events (topic, key, payload) SELECT 'a.b', 'k' || n, '{PAYLOAD}' FROM generate_series(1, {ROWS}) n"
)

Log = psycopg.Connection[Any]


def single(log: Log) -> None:
    """Append events one by one."""
    for number in range(ROWS):
        log.execute("INSERT INTO fq.events (topic, key, payload) VALUES ('a.b', %s, %s)", [f"k{number}", PAYLOAD])


def many(log: Log) -> None:
    """Append events as the package does, a thousand at a time."""
    for _ in range(3):
        publish_many(log, [("a.b", {"n": number, "note": "x" * 150}, f"k{number}") for number in range(ROWS)])


def bulk(log: Log) -> None:
    """Append a thousand events in one INSERT."""
    for _ in range(3):
        log.execute(BULK.encode())


def copy(log: Log) -> None:
    """Append a thousand events in one COPY."""
    for _ in range(3):
        with log.cursor() as cursor, cursor.copy("COPY fq.events (topic, key, payload) FROM STDIN") as lines:
            for number in range(ROWS):
                lines.write_row(["a.b", f"k{number}", PAYLOAD])


WAYS: list[Callable[[Log], None]] = [single, many, bulk, copy]


def cpu_of(log: Log) -> float:
    """Return the CPU seconds that the server's process for this connection has used (Linux counts nanoseconds)."""
    return int(Path(f"/proc/{log.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def measure(logs: dict[str, Log], way: Callable[[Log], None], rounds: int) -> dict[str, float]:
    """Return the CPU seconds of a round on each log: the least of rounds that take turns."""
    spent: dict[str, list[float]] = {guard: [] for guard in logs}
    for turn in range(rounds + 1):
        for guard, log in sorted(logs.items(), key=lambda one: one[0], reverse=turn % 2 == 0):
            before = cpu_of(log)
            way(log)
            if turn:
                spent[guard].append(cpu_of(log) - before)
    return {guard: min(seconds) for guard, seconds in spent.items()}


def main(rounds: int) -> None:
    """Print a row of a table for each way of writing."""
    with tempfile.TemporaryDirectory() as home, run_postgres(Path(home)) as url:
        logs: dict[str, Log] = {}
        with psycopg.connect(url, autocommit=True) as admin:
            for guard in GUARDS:
                admin.execute(f"CREATE DATABASE log_{guard}".encode())
        for guard, statements in GUARDS.items():
            its = url.rpartition("/")[0] + f"/log_{guard}"
            migrate(its)
            logs[guard] = psycopg.connect(its, autocommit=True)
            for statement in statements:
                logs[guard].execute(statement.encode())
        for way in WAYS:
            found = measure(logs, way, rounds)
            rates = "  ".join(f"{guard} {found['nothing'] / seconds:.1%}" for guard, seconds in found.items())
            print(f"{way.__name__:8} {rates}", flush=True)
        for log in logs.values():
            log.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
