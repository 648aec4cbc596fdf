"""Look for lost messages, again and again, and let them go out again.

Each look goes along the way of a message: the queue, the workers, the bridge's own queue, Postgres. What was on its way
from one place to the next at one look is seen at the other. The broker is asked where it costs little: whether the
queue of a client is empty whose outcomes are awaited for some seconds. Only then are the workers asked all that they
hold. What they run they are asked more often, for messages that kill one process after the other (`crashes`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf

from kombu import Connection

from bridge.app import Bridge
from bridge.bounds import REVOKED_TASKS
from bridge.broker.holding import QUESTIONS, Seen, ask_who_holds, delayed_messages, look_at_queue
from bridge.broker.revoking import revoke
from bridge.broker.transports import bounded
from bridge.errors import StoreUnavailable
from bridge.store import losses
from bridge.store.clients import ListedClient, list_clients
from bridge.store.losses import Suspect
from bridge.watch.crashes import Crashes
from bridge.watch.judging import Look, Loss, has_strangers, ignorant, losses_of, missing_of
from bridge.watch.pace import bounded_rest
from bridge.wording import counted, said

logger = logging.getLogger("bridge.watch")

SOON_SECONDS = 0.25  # how old a hand-over is before the workers are asked whether it runs again and again
AWAITED_SECONDS = 5.0  # how old it is before anybody looks for its message; after each loss twice as long
LONGEST_AWAITED_SECONDS = 60.0
MOST_ATTEMPTS = 1000  # of one client in one look, the oldest events first
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 4.1, 60.0  # between two looks at one queue, the first as `judging` asks
UNSEEN_REST_SECONDS = 5.0  # where one of the workers did not answer in time: its load, or a deploy
# Where a worker did not know a client's task lately, its messages are dropped for sure: they are looked for sooner.
HURRIED_SECONDS, HURRIED_AWAITED_SECONDS, HURRIED_REST_SECONDS = 60.0, 1.0, 1.0
ANSWERS_A_SECOND = 100.0  # of all workers together, to what they hold
LOOK_SECONDS = 0.5  # between two looks
ANSWER_SECONDS = 1.0
DRAINED_SECONDS = 2.0
LOCK_SECONDS = 0.2


class Watch:
    """The looks of one bridge worker.

    Args:
        bridge: The settings, the store and the broker.

    Attributes:
        looks: The last look at each client of which something is awaited, if all places were seen.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.looks: dict[str, Look] = {}
        self._rests: dict[str, tuple[float, float]] = {}  # queue -> seconds, and time.monotonic() of the next look
        self._said: dict[str, list[str]] = {}  # client -> workers that do not know its task
        self._hurried: dict[str, float] = {}  # client -> time.monotonic() until which its losses are looked for sooner
        self._crashes = Crashes(bridge)
        self._answers = 0  # to all questions about what the workers hold, at the last look
        self._took = 0.0  # seconds, until it was known what is awaited

    @property
    def rest_seconds(self) -> float:
        """How long to wait before the next look."""
        now = time.monotonic()
        crashes = self._crashes.next_at if self._crashes.next_at > now else inf
        return bounded_rest(min(LOOK_SECONDS, min(crashes, self._next_search) - now), took=self._took)

    @property
    def _next_search(self) -> float:
        """When a queue has rested that is to be looked at again, as `time.monotonic()`; a busy one rests no more."""
        now = time.monotonic()
        return min((at for _, at in self._rests.values() if at > now), default=inf)

    def look(self) -> int:
        """Look once; return how many deliveries go out again.

        Raises:
            StoreUnavailable, or any error of kombu and the broker's driver: nothing is known.
        """
        store, name, began = self._bridge.store, self._bridge.settings.queue, time.perf_counter()
        found = losses.suspects(store, bridge=name, seconds=SOON_SECONDS, most=MOST_ATTEMPTS)
        self._crashes.awaits(found)
        searched = [] if self._crashes.are_fresh() else self._searched(found)
        self._took = time.perf_counter() - began
        if not searched and not self._crashes.is_due():
            return 0
        with self._connected() as connection:
            idle = {queue for queue in {it.queue for it in searched} if self._is_empty(connection, queue)}
            self._give_up([it for it in searched if it.queue not in idle], rest=False)
            number = 0
            if idle:
                seen = ask_who_holds(self._bridge.app, connection, seconds=ANSWER_SECONDS)
                self._answers = QUESTIONS * len(seen.answers)
                number = self._find_lost(connection, [it for it in searched if it.queue in idle], seen)
            # Last, because a connection that was asked through counts as a worker that polls.
            if idle:
                self._crashes.saw(connection, found, seen.runs, answers=self._answers)
            self._crashes.look(connection, found, until=self._next_search)
            return number

    def _searched(self, found: Sequence[Suspect]) -> list[Suspect]:
        """Return the clients whose messages are to be looked for now, with what is awaited for long enough.

        What a fleet that reports in-process has done may wait in a worker, where nobody sees it.
        """
        now = time.monotonic()
        awaited = [
            self._crashes.without_stopped(it).awaited_for(
                HURRIED_AWAITED_SECONDS if self._is_hurried(it.id) else AWAITED_SECONDS,
                most_seconds=LONGEST_AWAITED_SECONDS,
            )
            for it in found
            if not it.in_process
        ]
        awaited = [it for it in awaited if it.attempts]
        self._forget({it.id for it in awaited}, {it.queue for it in awaited})
        return [it for it in awaited if self._rests.get(it.queue, (0.0, 0.0))[1] <= now]

    def _is_hurried(self, client: str) -> bool:
        return self._hurried.get(client, 0.0) > time.monotonic()

    def _find_lost(self, connection: Connection, found: Sequence[Suspect], seen: Seen) -> int:
        """Look for the messages of these clients; return how many deliveries go out again."""
        if not found:
            return 0
        unseen = [it for it in found if not self._has_seen_all(connection, it, seen)]
        # After the workers, because a callback goes from them to this queue.
        if not self._is_drained(connection, self._bridge.settings.queue) or delayed_messages(
            connection, seconds=ANSWER_SECONDS
        ):
            unseen = list(found)
        self._give_up(unseen, rest=True)
        return sum(self._judge(connection, it, seen) for it in found if it not in unseen)

    def _judge(self, connection: Connection, suspect: Suspect, seen: Seen) -> int:
        """Compare this look at a client with the last one; return how many of its deliveries go out again."""
        moment = losses.settled_until(self._bridge.store, bridge=self._bridge.settings.queue)
        look = Look(moment.now, missing_of(suspect, seen))
        consumers = seen.consumers(suspect.queue)
        if unknowing := ignorant(suspect, consumers):
            self._hurried[suspect.id] = time.monotonic() + HURRIED_SECONDS
        self._say_ignorant(suspect, unknowing)
        found = losses_of(
            suspect, before=self.looks.get(suspect.id), now=look, settled=moment.settled, consumers=consumers
        )
        self.looks[suspect.id] = look
        self._rest(suspect.queue, busy=not look.missing)
        return self._recall(connection, suspect, found) if found else 0

    def _recall(self, connection: Connection, suspect: Suspect, lost: Sequence[Loss]) -> int:
        """Let these go out again; a client that another transaction holds is looked at again later."""
        reason = f"lost: queue {suspect.queue} is empty, and no worker has it"
        try:
            done = losses.recall_lost(
                self._bridge.store,
                suspect.id,
                [it.attempt for it in lost],
                counted=[it.counts for it in lost],
                noted=[it.noted for it in lost],
                reason=reason,
                lock_seconds=LOCK_SECONDS,
            )
        except StoreUnavailable as error:
            self.looks.pop(suspect.id, None)
            logger.info("lost messages of client %s can't go out again yet: %s", suspect.id, said(error))
            return 0
        self.looks.pop(suspect.id, None)
        if done:
            self._drop(connection, [it.task_id(suspect.id) for it in done[:REVOKED_TASKS]])
        return len(done)

    def _drop(self, connection: Connection, task_ids: Sequence[str]) -> None:
        """Ask the workers to drop the messages that are replaced, should they turn up after all."""
        try:
            revoke(self._bridge.app, connection, task_ids, seconds=ANSWER_SECONDS)
        except (*connection.connection_errors, *connection.channel_errors) as error:
            logger.info("the workers can't be told to drop messages that were replaced: %s", said(error))

    def _has_seen_all(self, connection: Connection, suspect: Suspect, seen: Seen) -> bool:
        """Tell whether all places where this client's messages can be have been seen."""
        consumers = seen.consumers(suspect.queue)
        tasks = [task for it in list_clients(self._bridge.store) for task in _tasks(it)]
        if not seen.complete or has_strangers(seen, tasks):
            return False
        if any(set(suspect.tasks) & it.limited for it in consumers):  # such tasks wait in a worker, which says nothing
            return False
        number = look_at_queue(connection, suspect.queue, seconds=ANSWER_SECONDS).consumers
        if number is not None and number != len(consumers):  # one does not answer
            return False
        others = {queue for it in consumers for queue in it.queues} - {suspect.queue}
        return all(self._is_empty(connection, queue) for queue in others)  # a retry may have gone there

    def _is_drained(self, connection: Connection, queue: str) -> bool:
        """Tell whether the queue is empty at one moment: then all that was in it before has been taken.

        Ticks of the pump are in the bridge's own queue again and again, each for a moment.
        """
        until = time.monotonic() + DRAINED_SECONDS
        while not (empty := self._is_empty(connection, queue)) and time.monotonic() < until:
            time.sleep(DRAINED_SECONDS / 40)
        return empty

    def _is_empty(self, connection: Connection, queue: str) -> bool:
        return look_at_queue(connection, queue, seconds=ANSWER_SECONDS).messages == 0

    def _give_up(self, suspects: Sequence[Suspect], *, rest: bool) -> None:
        """Forget what was seen of these before: two looks in a row, and none may be missing in between."""
        for it in suspects:
            self.looks.pop(it.id, None)
            if rest:
                most = HURRIED_REST_SECONDS if self._is_hurried(it.id) else UNSEEN_REST_SECONDS
                self._rest(it.queue, busy=True, most_seconds=most)

    def _rest(self, queue: str, *, busy: bool, most_seconds: float = LONGEST_REST_SECONDS) -> None:
        """Say when to ask the workers about this queue again: later and later while they have all that is awaited."""
        before, _ = self._rests.get(queue, (SHORTEST_REST_SECONDS / 2, 0.0))
        seconds = min(2 * before, most_seconds) if busy else SHORTEST_REST_SECONDS
        seconds = max(seconds, self._answers / ANSWERS_A_SECOND)
        self._rests[queue] = seconds, time.monotonic() + seconds

    def _forget(self, clients: set[str], queues: set[str]) -> None:
        """Forget clients and queues of which nothing is awaited any more."""
        self.looks = {client: look for client, look in self.looks.items() if client in clients}
        self._rests = {queue: rest for queue, rest in self._rests.items() if queue in queues}
        self._said = {client: said for client, said in self._said.items() if client in clients}
        now = time.monotonic()
        self._hurried = {client: until for client, until in self._hurried.items() if until > now}

    def _say_ignorant(self, suspect: Suspect, workers: list[str]) -> None:
        """Name the workers that drop a client's messages, once."""
        if workers and self._said.get(suspect.id) != workers:
            logger.warning(
                "client %s: its task %s is not known to %s of queue %r, where its messages are dropped: %s",
                suspect.id,
                said(", ".join(suspect.tasks)),
                counted(len(workers), "worker"),
                said(suspect.queue),
                said(", ".join(workers)),
            )
        self._said[suspect.id] = workers

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Connect for one look: a connection that was asked through before would count as a worker that polls."""
        seconds = self._bridge.settings.connect_timeout_seconds
        app = self._bridge.app
        options = bounded(app, socket_timeout=2 * seconds, socket_connect_timeout=seconds)
        connection: Connection = app.connection_for_write(transport_options=options, connect_timeout=seconds)
        with connection:
            connection.ensure_connection(max_retries=1, timeout=seconds, reraise_as_library_errors=True)
            yield connection


def _tasks(client: ListedClient) -> list[str]:
    """Return the names of the tasks that a client's events go to; none of a plain SQL reader."""
    return [] if client.is_reader else [client.settings["task"], *(task for _, task in client.settings["routes"])]
