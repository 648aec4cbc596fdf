"""`python -m benchmarks.losses`: how soon what a broker lost is handed over again, how much comes twice, and the cost.

For each case a bridge worker and its beat run on servers of their own, and 200 events of one client wait in its queue.
Then the broker loses them. What is measured is the time until all of them are in the queue again, and how many are
there twice. At the end it measures a look at the marks, which a process makes each two seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import psycopg
from celery import Celery
from redis import Redis

from bridge.app import Bridge
from bridge.demo.installation import Installation
from bridge.demo.servers import run_postgres, run_redis
from bridge.marks.witness import LOOK_SECONDS, Witness
from bridge.store.migrate import migrate

EVENTS = 200
QUEUE = "fleet"
LONGEST_SECONDS = 60.0
PUBLISH = "INSERT INTO fq.events (topic) SELECT 'order.created' FROM generate_series(1, %s)"


@click.command()
@click.option("--rounds", type=int, default=3, help="Of each case.")
def main(rounds: int) -> None:
    """Measure losses, and print a table."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with run_postgres(directory / "postgres") as database, run_redis(directory / "redis") as redis:
            migrate(database)
            installation = Installation(database, redis, directory / "processes")
            try:
                _measure(installation, rounds)
            finally:
                installation.close()


def _measure(installation: Installation, rounds: int) -> None:
    installation.register("losses", task="fleet.handle", queue=QUEUE, ordering="none")
    installation.start_bridge()
    installation.eyes.execute(PUBLISH, (EVENTS,))
    cases: dict[str, Callable[[Redis], object]] = {
        "flushed": lambda redis: redis.flushdb(),
        "mark deleted, messages kept": lambda redis: redis.delete("bridge.mark"),
    }
    print("| case | seconds until handed over again, median | worst | twice |\n| --- | ---: | ---: | ---: |")
    for case, lose in cases.items():
        found = [_lose(installation, lose) for _ in range(rounds)]
        seconds = [it for it, _ in found]
        print(
            f"| {case} | {median(seconds):.1f} | {max(seconds):.1f} | {max(twice for _, twice in found)} |", flush=True
        )
    print(f"\na look at the marks takes {1000 * _look_seconds(installation):.1f} ms, every {LOOK_SECONDS:g} s")


def _lose(installation: Installation, lose: Callable[[Redis], object]) -> tuple[float, int]:
    """Lose what the broker has; return the seconds until it is there again, and how many events are there twice."""
    _wait(lambda: installation.redis.llen(QUEUE) >= EVENTS and _renewals(installation.eyes) > 2)
    losses = _losses(installation.eyes)
    began = time.monotonic()
    lose(installation.redis)
    kept = int(installation.redis.llen(QUEUE))
    _wait(lambda: _losses(installation.eyes) > losses and installation.redis.llen(QUEUE) >= kept + EVENTS)
    took = time.monotonic() - began
    twice = int(installation.redis.llen(QUEUE)) - EVENTS
    installation.redis.ltrim(QUEUE, 0, EVENTS - 1)
    return took, twice


def _look_seconds(installation: Installation) -> float:
    """Return how long a look takes that nobody else makes in our place."""
    app = Celery("losses", broker=installation.broker_url, set_as_current=False)
    app.conf.update(bridge_database_url=installation.database_url)
    witness = Witness(Bridge(app))
    took = []
    for _ in range(50):
        witness.look_at_once()
        began = time.perf_counter()
        witness.check(trust_seconds=-1)
        took.append(time.perf_counter() - began)
    witness.close()
    return median(took)


def _losses(eyes: psycopg.Connection[tuple[int, ...]]) -> int:
    row = eyes.execute("SELECT coalesce(sum(losses), 0)::int FROM fq.marks").fetchone()
    return row[0] if row else 0


def _renewals(eyes: psycopg.Connection[tuple[int, ...]]) -> int:
    row = eyes.execute("SELECT coalesce(max(count), 0)::int FROM fq.marks").fetchone()
    return row[0] if row else 0


def _wait(is_there: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise SystemExit(f"not reached in {LONGEST_SECONDS:g} s")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
