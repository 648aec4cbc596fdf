"""Decide which messages are lost, by what two looks have seen. Pure: it decides, others act.

A message is lost if it was nowhere at two looks: its queue was empty, no worker held it, and no callback of it waited
for the collector. All places must have been seen, or nothing is known, and the lease decides.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.broker.holding import Answer, Seen
from bridge.contract import COMMIT, FAIL, MAP, PRUNE, PUMP, SETTLE
from bridge.store.losses import Attempt, Suspect

APART_SECONDS = 4.0  # between two looks at least, so that what was on its way at the first has arrived at the second
SETTLED_SECONDS = 2.0  # after a look: what collectors had taken then, and what the broker had sent them, is settled
FORGIVEN_LOSSES = 3  # in a row, of one event; a handler that kills its worker looks like a loss, and must end as well
OURS = frozenset({PUMP, PRUNE, COMMIT, FAIL, SETTLE, MAP})


class Look(NamedTuple):
    """What a look found of a client: when, by Postgres' time, and which attempts were nowhere."""

    at: datetime
    missing: frozenset[Attempt]


class Loss(NamedTuple):
    """An attempt whose message is lost.

    Attributes:
        attempt: Which one.
        counts: Whether it counts as an attempt.
        noted: Whether the next look at its event comes later; not where a worker does not know the task, because those
            that do know it are to get the event soon.
    """

    attempt: Attempt
    counts: bool
    noted: bool = True


def missing_of(suspect: Suspect, seen: Seen) -> frozenset[Attempt]:
    """Return the attempts that no worker holds; none of a client of batches while a worker has any of its tasks.

    The messages of a batch have the id of its first event, so the others of it can't be told from lost ones.
    """
    held = {it for it in suspect.attempts if it.task_id(suspect.id) in seen.held}
    if suspect.batch > 1 and held:
        return frozenset()
    return frozenset(suspect.attempts) - held


def has_strangers(seen: Seen, tasks: Collection[str]) -> bool:
    """Tell whether workers run tasks that are neither the bridge's nor its clients'.

    A handler may have replaced itself by a workflow (`self.replace`), whose steps are such tasks. Its event is open
    until the last of them has ended, and no worker holds a task of its id meanwhile.
    """
    known = OURS | set(tasks) | {""}
    return any(name not in known for name in seen.held.values())


def ignorant(suspect: Suspect, consumers: Collection[Answer]) -> list[str]:
    """Return the workers that consume the client's queue and do not know all of its tasks: they drop its messages."""
    return sorted(it.worker for it in consumers if not set(suspect.tasks) <= it.tasks)


def losses_of(
    suspect: Suspect, *, before: Look | None, now: Look, settled: datetime | None, consumers: Collection[Answer]
) -> list[Loss]:
    """Return what is lost.

    A loss counts as an attempt if the same event was lost some times in a row before, and no worker drops it because
    it does not know the task. Where no worker that consumes the queue knows it, nothing goes out again yet.

    Args:
        suspect: The client.
        before: The last look at it; None if this is the first one, or if something was not seen then.
        now: This look.
        settled: Until when all that the collectors had taken is settled; None while no collector is at work.
        consumers: The workers that consume the client's queue.
    """
    if before is None or settled is None or now.at - before.at < timedelta(seconds=APART_SECONDS):
        return []
    if settled < before.at + timedelta(seconds=SETTLED_SECONDS):
        return []
    unknowing = ignorant(suspect, consumers)
    if consumers and len(unknowing) == len(consumers):
        return []
    forgiven = bool(unknowing) or not consumers
    lost = sorted(now.missing & before.missing)
    return [Loss(it, counts=it.losses >= FORGIVEN_LOSSES and not forgiven, noted=not unknowing) for it in lost]
