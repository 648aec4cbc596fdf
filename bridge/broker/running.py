"""Ask the workers of a broker what they run right now, and whether the processes that ran it are still there.

With `acks_late` a message may be run again and again, and no callback says so. What runs it tells: one question to all
workers, and a second one, to those workers only that ran a message before others did.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection

from bridge.broker.asking import ask_all, heard_on

ACTIVE = "active"


class Run(NamedTuple):
    """A task that a worker runs.

    Attributes:
        worker: Its name.
        process: The id of its process that runs the task.
        since: When it began, as the worker says.
        again: Whether the broker had handed out the message before.
    """

    worker: str
    process: int
    since: str
    again: bool


class Main(NamedTuple):
    """The main process of a worker: how long it is up, and the processes of its pool; None where it has no others."""

    seconds: float
    processes: frozenset[int] | None


def runs_in(answers: Sequence[tuple[str, Any]]) -> dict[str, Run]:
    """Read what runs from the answers to the question `active`.

    Of workers that share a name nothing is returned: nobody can tell which of them a process belongs to.
    """
    names = [name for name, _ in answers]
    return {
        str(it["id"]): Run(
            worker,
            int(it.get("worker_pid") or 0),
            str(it.get("time_start")),
            bool((it.get("delivery_info") or {}).get("redelivered")),
        )
        for worker, theirs in answers
        if names.count(worker) == 1
        for it in theirs
    }


def ask_what_runs(
    app: Celery, connection: Connection, *, seconds: float, known: int | None
) -> tuple[int, dict[str, Run]]:
    """Ask all workers what they run; return how many have answered, and where each task runs, by id.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker.
        seconds: From one answer to the next, at most.
        known: How many workers there are, where that is known and the broker does not say it; 0 and None: not known.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    with heard_on(connection) as heard:
        found = ask_all(
            app, connection, ACTIVE, {"safe": True}, seconds=seconds, limit=(known or None) if heard is None else heard
        )
    return len(found), runs_in(found)


def ask_main_processes(
    app: Celery, connection: Connection, workers: Collection[str], *, seconds: float
) -> dict[str, Main | None]:
    """Ask these workers about their processes; return what each says, and None for names that several have.

    Args:
        app: Its name of the control exchange is the fleet's.
        connection: To the broker.
        workers: Their names.
        seconds: Longest wait for answers.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    found = ask_all(app, connection, "stats", {}, seconds=seconds, limit=None, workers=sorted(workers))
    names = [name for name, _ in found]
    return {name: _main(told) if names.count(name) == 1 else None for name, told in found}


def _main(told: Mapping[str, Any]) -> Main:
    """Read what a worker says; threads and greenlets run in the main process itself."""
    pool = told.get("pool")
    processes = pool.get("processes") if isinstance(pool, dict) else None
    others = frozenset(map(int, processes)) if isinstance(processes, list) else None
    return Main(float(told.get("uptime") or 0), others)
