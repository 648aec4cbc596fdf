"""End the loop of a handler that kills its process again and again: first its message, then its event.

As soon as as many starts are known as the client allows, the workers are told to drop the message should it come back.
What runs is not disturbed by this: if it succeeds after all, nothing has happened. Once it is known that the starts
before the last one ended with their processes, and that there were two of them at least, the event is given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kombu import Connection

from bridge.app import Bridge
from bridge.broker.revoking import revoke
from bridge.broker.running import Run, ask_main_processes, ask_what_runs
from bridge.errors import StoreUnavailable
from bridge.store import losses
from bridge.store.losses import Attempt, Suspect
from bridge.watch.crashing import (
    FEWEST_STARTS,
    End,
    Histories,
    Start,
    allowed_of,
    bad_starts,
    companions,
    doubtful,
    is_fresh,
    judged,
    known_starts,
    remember,
)
from bridge.watch.judging import FORGIVEN_LOSSES
from bridge.watch.pace import LONGEST_REST_SECONDS, Pace
from bridge.wording import said

logger = logging.getLogger("bridge.watch")

RUNNING_SECONDS = 0.25  # from one answer to the next about what runs: a worker that is late is asked again soon
ANSWER_SECONDS = 1.0
STAY_SECONDS, AGAIN_SECONDS = 2.0, 0.05  # with one connection, and between two questions there
STOPPED_SECONDS = 60.0  # after a message was stopped, nobody else looks for it
RECOUNT_SECONDS = 1.0  # how long it is taken as known how many workers there are
GONE_SECONDS = 10.0  # since a message was seen that its workers drop: no worker is about to start it
BANNED_SECONDS = 600.0  # since a message was seen last that took its workers along: a supervisor waits for minutes
BANNED_SOON_SECONDS, BANNED_REST_SECONDS = 60.0, 1.0  # for so long it is looked for closely, then so often
APART_SECONDS, LONGEST_APART_SECONDS = 60.0, 600.0  # between events of which one takes its workers along
MOST_ASKED = 50  # workers, for their processes, in one look
LOCK_SECONDS = 0.2
LOST = "lost: the process that ran its batch ended, again and again"
TOGETHER = "lost: all that its worker ran ended with it, again and again"
DROPPED = "lost: it was started again and again, and the last worker that ran it is gone"


class Event(NamedTuple):
    """An event of a client, whatever attempt it is at."""

    client: str
    offset: int
    epoch: int


class Crashes:
    """What one bridge worker has seen of messages that are started again and again.

    Args:
        bridge: The settings, the store and the broker.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._histories: Histories = {}
        self._stopped: dict[str, float] = {}  # ids of messages that the workers were told to drop, and when
        self._pace = Pace(time.monotonic())
        self._workers, self._recount = 0, 0.0  # how many have answered, and when to count them anew
        self._before: dict[Event, list[int]] = {}  # the bad starts of each of its earlier messages
        self._events: dict[str, Event] = {}  # of each message
        self._banned: dict[str, float] = {}  # ids of messages that took their workers along, and when they were seen
        self._turn = -LONGEST_APART_SECONDS  # when the last one goes out of those that ended together

    @property
    def next_at(self) -> float:
        """When to ask the workers next, as `time.monotonic()`; in the past where nothing is awaited."""
        return self._pace.next_at

    def awaits(self, found: Sequence[Suspect]) -> None:
        """Note whose outcomes are awaited, and forget all others; of an event that has another message, what it did."""
        events = {
            it.task_id(suspect.id): Event(suspect.id, it.offset, it.epoch)
            for suspect in found
            for it in suspect.attempts
        }
        awaited = set(events.values())
        self._before = {event: bad for event, bad in self._before.items() if event in awaited}
        for id in self._histories.keys() - events.keys():
            if (event := self._events.get(id)) in awaited and (bad := bad_starts(self._histories[id])):
                self._before[event] = [*self._before.get(event, ()), bad]
        self._events = events
        self._histories = {id: starts for id, starts in self._histories.items() if id in events}
        self._stopped = {id: at for id, at in self._stopped.items() if id in events}
        since = time.monotonic() - BANNED_SECONDS
        self._banned = {id: at for id, at in self._banned.items() if at > since}
        self._pace.awaits(bool(events or self._banned), now=time.monotonic())

    def is_due(self) -> bool:
        """Tell whether to ask the workers what they run."""
        return self._pace.is_due(now=time.monotonic())

    def without_stopped(self, suspect: Suspect) -> Suspect:
        """Return a client without the messages that were stopped lately: what becomes of them is decided here."""
        since = time.monotonic() - STOPPED_SECONDS
        kept = [
            (it, age)
            for it, age in zip(suspect.attempts, suspect.ages, strict=True)
            if self._stopped.get(it.task_id(suspect.id), 0.0) < since
        ]
        return suspect._replace(attempts=tuple(it for it, _ in kept), ages=tuple(age for _, age in kept))

    def are_fresh(self) -> bool:
        """Tell whether a message was started again lately: then there is no time to ask the workers anything else."""
        return is_fresh(self._histories, self._stopped, now=time.monotonic())

    def look(self, connection: Connection, found: Sequence[Suspect], *, until: float) -> None:
        """Ask the workers what they run, again and again for a moment.

        Args:
            connection: To the broker.
            found: Whose outcomes are awaited.
            until: When to return at the latest, as `time.monotonic()`, unless a message was started again lately.

        Raises:
            The errors of kombu and of the broker's driver.
        """
        latest = time.monotonic() + STAY_SECONDS
        while self.is_due():
            # With a number nobody waits for one more answer; without, a worker that has just come is heard.
            known = None if time.monotonic() > self._recount else self._workers
            answers, runs = ask_what_runs(self._bridge.app, connection, seconds=RUNNING_SECONDS, known=known)
            if known is None:
                self._workers, self._recount = answers, time.monotonic() + RECOUNT_SECONDS
            self.saw(connection, found, runs, answers=answers)
            rest = max(AGAIN_SECONDS, self.next_at - time.monotonic())
            if time.monotonic() + rest > (latest if self.are_fresh() else min(latest, until)):
                return
            time.sleep(rest)

    def saw(self, connection: Connection, found: Sequence[Suspect], runs: Mapping[str, Run], *, answers: int) -> None:
        """Judge what the workers run now; stop messages, and give up events.

        Args:
            connection: To the broker.
            found: Whose outcomes are awaited.
            runs: Where each task runs.
            answers: How many answers that took.
        """
        now = time.monotonic()
        ours = {
            it.task_id(suspect.id): (suspect, it, age)
            for suspect in found
            for it, age in zip(suspect.attempts, suspect.ages, strict=True)
        }
        self._end_banned(connection, runs, now=now)
        beside = _side_by_side(runs) if ours else {}
        seen = {id: run for id, run in runs.items() if id in ours}
        self._histories = remember(self._histories, seen, now=now, beside=beside)
        about = {id: ours[id][:2] for id in self._histories if id in ours}
        self._stop(connection, about)  # the next start may be a tenth of a second away, and a question takes as long
        if workers := sorted(doubtful(self._histories, self._stopped, now=now))[:MOST_ASKED]:
            mains = ask_main_processes(self._bridge.app, connection, workers, seconds=ANSWER_SECONDS)
            answers += len(workers)
            ages = {id: age for id, (_, _, age) in ours.items()}
            self._histories = judged(self._histories, mains, workers, self._stopped, ages=ages, now=now)
        self._stop(connection, about)
        came_back = any(now - at <= BANNED_SOON_SECONDS for at in self._banned.values())
        most = BANNED_REST_SECONDS if self._banned else LONGEST_REST_SECONDS
        self._pace.asked(answers, now=now, soon=self.are_fresh() or came_back, most_seconds=most)
        self._give_up(connection, {id: about[id] for id in self._stopped if id in about}, now=now)

    def _end_banned(self, connection: Connection, runs: Mapping[str, Run], *, now: float) -> None:
        """End the processes that run what was given up: before they take their worker along once more."""
        if back := self._banned.keys() & runs.keys():
            revoke(self._bridge.app, connection, sorted(back), seconds=ANSWER_SECONDS, terminate=True)
            self._banned.update(dict.fromkeys(back, now))

    def _stop(self, connection: Connection, ours: Mapping[str, tuple[Suspect, Attempt]]) -> None:
        """Have the workers drop messages that were started as often as their client allows, should they come back.

        Only such as are known to have killed a process: the message of a task that gives it back must not be dropped.
        """
        ids = [
            id
            for id, (suspect, attempt) in ours.items()
            if id not in self._stopped and self._is_used_up(suspect, attempt, self._histories[id])
        ]
        if ids:
            revoke(self._bridge.app, connection, ids, seconds=ANSWER_SECONDS)
            self._stopped.update(dict.fromkeys(ids, time.monotonic()))

    def _is_used_up(self, suspect: Suspect, attempt: Attempt, starts: tuple[Start, ...]) -> bool:
        """Tell whether the last start that is known is the last one that the client allows."""
        before = self._before.get(Event(suspect.id, attempt.offset, attempt.epoch))
        return bool(before or bad_starts(starts)) and known_starts(starts) >= self._left(suspect, attempt)

    def _left(self, suspect: Suspect, attempt: Attempt) -> int:
        """Return how many starts of this message are allowed; one of an earlier message counts as often as it was."""
        bad = self._before.get(Event(suspect.id, attempt.offset, attempt.epoch), [])
        if suspect.batch > 1 or not bad:
            return allowed_of(suspect, attempt)
        return max(1, allowed_of(suspect, attempt._replace(tries=attempt.tries - len(bad))) - sum(bad))

    def _give_up(self, connection: Connection, ours: Mapping[str, tuple[Suspect, Attempt]], *, now: float) -> None:
        """Give up the events of messages that were stopped, once so many starts are known to have ended badly.

        The last start that is allowed may run: should it succeed after all, this finishes the event. One whose last
        worker is gone, as after a deploy, was dropped by the next one: it goes out again.
        """
        for id, (suspect, attempt) in ours.items():
            starts = self._histories[id]
            bad, before = bad_starts(starts), sum(self._before.get(self._events[id], ()))
            if bad and bad + before >= max(FEWEST_STARTS, self._left(suspect, attempt) + before - 1):
                self._end(connection, suspect, attempt, known_starts(starts) + before)
            elif starts[-1].end is End.WORKER and now - starts[-1].last > GONE_SECONDS:
                self._end(connection, suspect, attempt, 0)

    def _end(self, connection: Connection, suspect: Suspect, attempt: Attempt, starts: int) -> None:
        """Give up one event; let it go out again where it is not known to be at fault.

        Of a batch it is not known: its first event goes out alone, and the others are found lost. Nor is it of what ran
        side by side in workers that went.
        """
        store, is_first = self._bridge.store, suspect.batch > 1 and attempt.tries == 1
        id = attempt.task_id(suspect.id)
        together = bool(starts and companions(id, self._histories[id]))
        try:
            if starts and not is_first and not together:
                losses.give_up_crashing(store, suspect.id, {attempt: starts}, lock_seconds=LOCK_SECONDS)
            else:
                losses.recall_lost(
                    store,
                    suspect.id,
                    [attempt],
                    counted=[bool(starts) and (not together or attempt.losses >= FORGIVEN_LOSSES)],
                    noted=[True],
                    reason=TOGETHER if together else LOST if starts else DROPPED,
                    lock_seconds=LOCK_SECONDS,
                    wait_seconds=self._next_turn() if together else 0.0,
                )
        except StoreUnavailable as error:
            logger.info("crashing events of client %s can't be given up yet: %s", suspect.id, said(error))
            return
        if starts and any(it.end is End.WORKER for it in self._histories[id]):
            self._banned[id] = time.monotonic()
        self._histories = {other: seen for other, seen in self._histories.items() if other != id}
        self._stopped.pop(id, None)
        revoke(self._bridge.app, connection, [id], seconds=ANSWER_SECONDS, terminate=id in self._banned)

    def _next_turn(self) -> float:
        """Return how long an event waits so that it does not run beside those that may be at fault."""
        now = time.monotonic()
        self._turn = min(now + LONGEST_APART_SECONDS, max(now, self._turn + APART_SECONDS))
        return self._turn - now


def _side_by_side(runs: Mapping[str, Run]) -> dict[str, frozenset[str]]:
    """Return the ids of the tasks that each worker runs."""
    found: dict[str, set[str]] = {}
    for id, run in runs.items():
        found.setdefault(run.worker, set()).add(id)
    return {worker: frozenset(ids) for worker, ids in found.items()}
