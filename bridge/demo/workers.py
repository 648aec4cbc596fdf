"""Say how a Celery worker is started: the one command line that the demo, the tests and the benchmarks vary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def worker_command(
    app: str,
    *,
    node: str,
    queues: Sequence[str],
    concurrency: int = 2,
    pool: str = "prefork",
    log_level: str = "WARNING",
    schedule: Path | None = None,
    python: str | Path = sys.executable,
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command of a Celery worker.

    Workers do not gossip and do not look for each other when they start: on two cores that costs more than it tells.

    Args:
        app: The module of the Celery app; empty for Celery's default, a `celeryconfig` beside it.
        node: First part of the node's name.
        queues: What it consumes.
        concurrency: Processes or threads of the pool.
        pool: Celery's name of the pool.
        log_level: INFO, where its log is read: then Celery says when it is ready.
        schedule: File of the beat that runs inside of it; None for no beat.
        python: The Python that runs it.
        options: More of them.
    """
    command = [str(python), "-m", "celery", *(["-A", app] if app else []), "worker", "-n", f"{node}@%h"]
    command += ["-Q", ",".join(queues), "--pool", pool, "--concurrency", str(concurrency), "--loglevel", log_level]
    command += ["--without-gossip", "--without-mingle"]
    command += ["-B", "--schedule", str(schedule)] if schedule else []
    return [*command, *options]
