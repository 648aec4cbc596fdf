"""Find handlers that kill their process again and again, by what several looks have seen. Pure: others act.

With `acks_late` and `reject_on_worker_lost` Celery puts the message of a killed process back into the queue, and calls
nobody. It starts again, some times a second. A worker that is asked says which process runs a message, and whether it
was handed out before. Example: an event's first attempt is seen in two processes within a minute, and was handed out
before each time. So it was started three times at least, and `max_attempts = 3` is reached. A deploy or a fail-over
hands a message out again as well: once, and not again soon.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.store.losses import Attempt, Suspect

LOOP_SECONDS = 60.0  # from one process of a message to its next, at most
FEWEST_PROCESSES = 2  # one may be a deploy
FRESH_SECONDS = 10.0  # after a new process was seen: look again soon

Sightings = Mapping[str, Mapping[str, float]]  # of each task id: its processes, and when each was seen first


def remember(before: Sightings, runs: Mapping[str, str], *, now: float) -> dict[str, dict[str, float]]:
    """Add what this look saw to what was seen before.

    Args:
        before: What was remembered at the last look.
        runs: The process of each task that runs now, and was handed out before.
        now: In seconds.
    """
    recent = {id: dict(seen) for id, seen in before.items() if now - max(seen.values()) <= LOOP_SECONDS}
    for id, process in runs.items():
        if process in before.get(id, {}):  # it runs on, for however long
            recent[id] = dict(before[id])
        else:
            recent.setdefault(id, {})[process] = now
    return recent


def is_fresh(seen: Sightings, *, now: float) -> bool:
    """Tell whether a message was seen in a new process lately, so that the workers are to be asked again soon."""
    return any(now - max(processes.values()) <= FRESH_SECONDS for processes in seen.values())


def crashing_of(suspect: Suspect, seen: Sightings) -> dict[Attempt, int]:
    """Return the attempts that were started as often as the client allows, each with the starts that are known.

    A start that nobody saw is not counted, so there may have been more. Of a client of batches nothing is returned: a
    message has the id of its first event only, and nobody knows which event kills the process.
    """
    if suspect.batch > 1:
        return {}
    processes = {it: len(seen.get(it.task_id(suspect.id), ())) for it in suspect.attempts}
    return {
        it: it.tries + number
        for it, number in processes.items()
        if number >= FEWEST_PROCESSES and it.tries + number >= suspect.max_attempts
    }
