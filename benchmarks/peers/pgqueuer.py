"""pgqueuer: jobs in Postgres, woken by NOTIFY, taken in batches by asyncio workers."""

from __future__ import annotations

import asyncio
import json
import os
import time
from importlib import import_module
from typing import Any

import psycopg

from benchmarks.bench import Bench
from benchmarks.log import as_argument
from benchmarks.measure import rate, wait_until

NAME = "pgqueuer"
WORKERS, TAKE, BATCH = 2, 100, 1000
DONE = "SELECT NOT EXISTS (SELECT FROM pgqueuer)"


def missing() -> str:
    """Return why it can't take part; empty if it can."""
    try:
        import_module("pgqueuer")
    except ImportError as error:
        return f"{error} (pip install 'celery-event-bridge[bench]')"
    return ""


def _install(bench: Bench) -> None:
    if bench.ask("SELECT to_regclass('pgqueuer') IS NOT NULL"):
        return

    async def install() -> None:
        async with await psycopg.AsyncConnection.connect(bench.database_url, autocommit=True) as connection:
            await (
                import_module("pgqueuer.queries")
                .Queries(import_module("pgqueuer.db").PsycopgDriver(connection))
                .install()
            )

    asyncio.run(install())


def _queries(connection: psycopg.Connection[Any]) -> Any:
    return import_module("pgqueuer.queries").SyncQueries(import_module("pgqueuer.db").SyncPsycopgDriver(connection))


def _payloads(jobs: int) -> list[bytes]:
    return [json.dumps(as_argument(number)).encode() for number in range(jobs)]


def end_to_end(bench: Bench, jobs: int) -> float:
    """Return jobs a second, from the first that is enqueued (one by one, as `.delay()` is) until all are done."""
    _install(bench)
    payloads = _payloads(jobs)
    connection = psycopg.connect(bench.database_url, autocommit=True)
    with connection, bench.processes as processes:
        queries = _queries(connection)
        for nth in range(WORKERS):
            bench.start_python("benchmarks.peers.pgqueuer", name=f"pgqueuer-{nth}", PEER_URL=bench.database_url)
        queries.enqueue("noop", payloads[0])
        wait_until(lambda: bench.ask(DONE), what="pgqueuer's workers are warm", seconds=60)
        began = time.perf_counter()
        for payload in payloads:
            queries.enqueue("noop", payload)
        ended = wait_until(lambda: bench.ask(DONE), what="pgqueuer is done", poll_seconds=0.05)
        processes.check()
    return jobs / (ended - began)


def publish(bench: Bench, jobs: int, *, batch: bool = False) -> float:
    """Return jobs a second that are enqueued, one by one or in batches."""
    _install(bench)
    payloads = _payloads(jobs)
    with psycopg.connect(bench.database_url, autocommit=True) as connection:
        queries = _queries(connection)

        def work() -> None:
            if batch:
                for first in range(0, jobs, BATCH):
                    part = payloads[first : first + BATCH]
                    queries.enqueue(["noop"] * len(part), part, [0] * len(part))
            else:
                for payload in payloads:
                    queries.enqueue("noop", payload)

        found = rate(jobs, work)
    bench.eyes.execute("TRUNCATE pgqueuer")
    return found


async def _work(url: str) -> None:
    package = import_module("pgqueuer")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        app = package.PgQueuer(import_module("pgqueuer.db").PsycopgDriver(connection))

        async def noop(job: Any) -> None:
            """Do nothing."""

        app.entrypoint("noop")(noop)
        await app.run(batch_size=TAKE)


if __name__ == "__main__":
    asyncio.run(_work(os.environ["PEER_URL"]))
