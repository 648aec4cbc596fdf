"""procrastinate: tasks in Postgres, woken by NOTIFY, run by asyncio workers."""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import Any

from benchmarks.bench import Bench
from benchmarks.log import as_argument
from benchmarks.measure import rate, wait_until

NAME = "procrastinate"
WORKERS, CONCURRENCY, BATCH = 2, 20, 1000
LEFT = "SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"


def missing() -> str:
    """Return why it can't take part; empty if it can."""
    try:
        import_module("procrastinate")
    except ImportError as error:
        return f"{error} (pip install 'celery-event-bridge[bench]')"
    return ""


def _app(url: str, *, synchronous: bool) -> tuple[Any, Any]:
    package = import_module("procrastinate")
    connector = package.SyncPsycopgConnector if synchronous else package.PsycopgConnector
    app = package.App(connector=connector(conninfo=url))

    async def noop(event: dict[str, Any]) -> None:
        """Do nothing."""

    return app, app.task(name="noop", queue="fleet")(noop)


def _install(bench: Bench, app: Any) -> None:
    if not bench.ask("SELECT to_regclass('procrastinate_jobs') IS NOT NULL"):
        app.schema_manager.apply_schema()


def end_to_end(bench: Bench, jobs: int) -> float:
    """Return jobs a second, from the first that is deferred (one by one, as `.delay()` is) until all are done."""
    app, task = _app(bench.database_url, synchronous=True)
    arguments = [{"event": as_argument(number)} for number in range(jobs)]
    with app.open(), bench.processes as processes:
        _install(bench, app)
        for nth in range(WORKERS):
            bench.start_python(
                "benchmarks.peers.procrastinate", name=f"procrastinate-{nth}", PEER_URL=bench.database_url
            )
        task.defer(**arguments[0])
        wait_until(lambda: bench.ask(LEFT), what="procrastinate's workers are warm", seconds=60)
        began = time.perf_counter()
        for argument in arguments:
            task.defer(**argument)
        ended = wait_until(lambda: bench.ask(LEFT), what="procrastinate is done", poll_seconds=0.05)
        processes.check()
    bench.eyes.execute("TRUNCATE procrastinate_jobs CASCADE")
    return jobs / (ended - began)


def publish(bench: Bench, jobs: int, *, batch: bool = False) -> float:
    """Return jobs a second that are deferred, one by one or in batches."""
    app, task = _app(bench.database_url, synchronous=True)
    arguments = [{"event": as_argument(number)} for number in range(jobs)]

    def work() -> None:
        if batch:
            for first in range(0, jobs, BATCH):
                task.batch_defer(*arguments[first : first + BATCH])
        else:
            for argument in arguments:
                task.defer(**argument)

    with app.open():
        _install(bench, app)
        task.defer(**arguments[0])
        found = rate(jobs, work)
    bench.eyes.execute("TRUNCATE procrastinate_jobs CASCADE")
    return found


if __name__ == "__main__":
    _app(os.environ["PEER_URL"], synchronous=False)[0].run_worker(queues=["fleet"], concurrency=CONCURRENCY)
