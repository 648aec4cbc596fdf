"""Find handlers that kill their process again and again, by what several looks have seen. Pure: others act.

With `acks_late` and `reject_on_worker_lost` Celery puts the message of a killed process back into the queue, and calls
nobody. It starts again, some times a second. A worker that is asked says which process runs a message, and whether it
was handed out before; asked for its own processes, it says which of them are gone. So a start is known to have killed
its process if its message runs again, its process is gone, and its worker has lived on. Whatever else hands a message
out again leaves another trace: after a deploy the worker is gone as well, and after a lost connection, a visibility
timeout or `Reject(requeue=True)` the process is still there. Such starts do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from bridge.broker.running import Main, Run
from bridge.store.losses import Attempt, Suspect

LOOP_SECONDS = 60.0  # from a start whose whole worker went to the next start, at most
FEWEST_WORKERS = 5  # that went one after the other: fewer may be a deploy
FEWEST_STARTS = 2  # of one message: the first loss of a process may be a neighbour's fault, even where one start is all
FRESH_SECONDS = 10.0  # after a message was seen in a new process: look again soon
OVER_SECONDS = 2.0  # after a task was seen for the last time: an outcome that was on its way has been settled
SILENT_LOOKS = 3  # then a worker is gone
MOST_STARTS = 50  # of one message that are remembered


class End(Enum):
    """How a start ended, as far as anybody can tell."""

    OPEN = "not known yet"
    PROCESS = "its process is gone, and its worker lives"
    WORKER = "its worker is gone"
    OTHER = "in a way that is nobody's fault"


class Start(NamedTuple):
    """A start of a message.

    Attributes:
        run: Where it was seen.
        seen: When it was first seen, and when last, in seconds.
        end: How it ended.
        silent: How often its worker has not answered since.
        unseen: Whether there was a start before it that nobody saw, in a worker that lives.
        beside: The ids of all tasks that its worker ran when it was seen last, its own among them.
    """

    run: Run
    seen: float
    last: float
    end: End = End.OPEN
    silent: int = 0
    unseen: bool = False
    beside: frozenset[str] = frozenset()


Histories = Mapping[str, tuple[Start, ...]]  # of each task id: its starts that were seen
NOBODY: Mapping[str, frozenset[str]] = MappingProxyType({})


def remember(
    before: Histories, runs: Mapping[str, Run], *, now: float, beside: Mapping[str, frozenset[str]] = NOBODY
) -> dict[str, tuple[Start, ...]]:
    """Add what this look saw to what was seen before.

    Args:
        before: What was remembered at the last look.
        runs: Where each task runs that runs now.
        now: In seconds.
        beside: The ids of all tasks that each worker runs.
    """
    found = dict(before)
    for id, run in runs.items():
        starts, others = found.get(id, ()), beside.get(run.worker, frozenset())
        if starts and starts[-1].run == run:  # it runs on, for however long
            starts = (*starts[:-1], starts[-1]._replace(last=now, beside=others))
        else:
            # A message that nobody had before is a retry of the task's own: the start before it ended well.
            ended = tuple(it if run.again else it._replace(end=End.OTHER) for it in starts[-1:])
            starts = (*starts[:-1], *ended, Start(run, now, now, beside=others))
        found[id] = starts[-MOST_STARTS:]
    return found


def doubtful(histories: Histories, stopped: Collection[str], *, now: float) -> set[str]:
    """Return the workers to be asked for their processes: of each start that ended, and nobody knows how.

    Args:
        histories: What was seen.
        stopped: Ids of messages that no worker starts again: their last start is asked about as well, once it is over.
        now: In seconds.
    """
    return {it.run.worker for id, starts in histories.items() for it in _ended(starts, id in stopped, now)}


def judged(
    histories: Histories,
    mains: Mapping[str, Main | None],
    asked: Collection[str],
    stopped: Collection[str],
    *,
    ages: Mapping[str, float],
    now: float,
) -> dict[str, tuple[Start, ...]]:
    """Say how starts ended, by what workers have answered.

    Args:
        histories: What was seen.
        mains: What each worker says; a silent one is missing, and of one that shares its name nothing is known.
        asked: The workers that were asked.
        stopped: As for `doubtful`.
        ages: How many seconds ago each message was sent.
        now: In seconds.
    """
    found = dict(histories)
    for id, starts in histories.items():
        ended = {it for it in _ended(starts, id in stopped, now) if it.run.worker in asked}
        if ended:
            age = ages.get(id, float("inf"))
            found[id] = tuple(
                _judged(it, mains, first=not n, age=age, now=now) if it in ended else it for n, it in enumerate(starts)
            )
    return found


def is_fresh(histories: Histories, stopped: Collection[str], *, now: float) -> bool:
    """Tell whether a message was started again lately, so that the workers are to be asked again soon.

    Not where it is stopped, or something else than a killed process has handed it out again.
    """
    return any(
        starts[-1].run.again and now - starts[-1].seen <= FRESH_SECONDS and End.OTHER not in {it.end for it in starts}
        for id, starts in histories.items()
        if id not in stopped
    )


def known_starts(starts: tuple[Start, ...]) -> int:
    """Return how many starts of a message may have ended with their process, the one that runs among them.

    A message that had been handed out when it was seen first may have been started before.
    """
    return sum(it.end is not End.OTHER for it in starts) + starts[0].run.again


def bad_starts(starts: tuple[Start, ...]) -> int:
    """Return how many starts of a message are known to have ended with their process.

    A start that nobody saw counts where the worker was there before the message was sent. Starts whose whole worker
    went count where there are more of them than any deploy makes.
    """
    ends = [it.end for it in starts]
    processes, workers = ends.count(End.PROCESS), ends.count(End.WORKER)
    bad = processes + (workers if workers >= FEWEST_WORKERS else 0)
    return bad + starts[0].unseen if bad else 0


def companions(id: str, starts: tuple[Start, ...]) -> frozenset[str]:
    """Return the tasks that ran beside a message each time that its whole worker went: one of these may be at fault.

    Nobody, where the starts that killed their own process, and no other's, are what counts.
    """
    if any(it.end is End.PROCESS for it in starts):
        return frozenset()
    beside = [it.beside for it in starts if it.end is End.WORKER]
    return frozenset.intersection(*beside) - {id} if beside else frozenset()


def allowed_of(suspect: Suspect, attempt: Attempt) -> int:
    """Return how many starts of an attempt's message are allowed.

    The message of a batch has the id of its first event, and nobody knows which of its events kills the process. So
    this event goes out alone next, as after a lease; where one attempt is all, the lease decides.
    """
    if suspect.batch > 1 and suspect.max_attempts == 1:
        return MOST_STARTS + 1
    if suspect.batch > 1 and attempt.tries == 1:
        return FEWEST_STARTS
    return max(FEWEST_STARTS, suspect.max_attempts - attempt.tries + 1)


def _ended(starts: tuple[Start, ...], is_stopped: bool, now: float) -> Iterator[Start]:
    """Return the starts that are over, and of which nobody knows how they ended."""
    for nth, it in enumerate(starts, start=1):
        if it.end is End.OPEN and (nth < len(starts) or (is_stopped and now - it.last >= OVER_SECONDS)):
            yield it


def _judged(it: Start, mains: Mapping[str, Main | None], *, first: bool, age: float, now: float) -> Start:
    """Say how one start ended."""
    if it.run.worker not in mains:
        silent = it.silent + 1
        return it._replace(silent=silent, end=_lost(it, now) if silent >= SILENT_LOOKS else it.end)
    main = mains[it.run.worker]
    if main is None or main.processes is None:
        return it._replace(end=End.OTHER)
    if now - main.seconds > it.seen:  # it began after the message was seen
        return it._replace(end=_lost(it, now))
    if it.run.process in main.processes:
        return it._replace(end=End.OTHER)
    return it._replace(end=End.PROCESS, unseen=first and it.run.again and main.seconds > age + 1)


def _lost(it: Start, now: float) -> End:
    """Return the end of a start whose worker is gone; one that ran for long ended with a deploy."""
    return End.WORKER if now - it.seen <= LOOP_SECONDS else End.OTHER
