"""The SQL of looking for lost messages: what is awaited for long, what is settled, and what goes out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from bridge.happened import Happening, after_commit
from bridge.model import Failure, Outcome, task_id
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.journal import note
from bridge.store.outcomes import Exhausted, failing, give_up, lock_clients, move_cursors
from bridge.store.tally import Tally

# Without a new note of the collector; what a dead one had taken is back on the queue before.
COLLECTOR_HOLDS_SECONDS = 60.0
MOST_NOTED_OFFSETS = 1000  # in one entry of the journal
CRASHING = "kept killing its process ({starts} starts seen)"
CRASH = Failure(
    type="WorkerLostError",
    message="the process that ran it ended, and the worker put its message back into the queue, again and again",
)


class Attempt(NamedTuple):
    """An attempt whose outcome is awaited.

    Attributes:
        losses: How many times in a row its event's message was found lost.
        tries: How many attempts count, this one among them.
    """

    offset: int
    epoch: int
    attempt: int
    losses: int
    tries: int = 1

    def task_id(self, client: str) -> str:
        """Return the id of its task; a batch has the id of its first event only."""
        return task_id(client, self.offset, self.epoch, self.attempt)


class Suspect(NamedTuple):
    """A client whose outcomes are awaited for some seconds.

    Attributes:
        id: The client.
        queue: Its queue.
        tasks: The names of the tasks that its events go to.
        batch: Most events of one message.
        attempts: The attempts, the oldest events first.
        max_attempts: Of the client.
        ages: How many seconds ago each was handed over.
        lease_seconds: Of the client.
        in_process: Whether outcomes may wait in a worker, where nobody sees them.
    """

    id: str
    queue: str
    tasks: tuple[str, ...]
    batch: int
    attempts: tuple[Attempt, ...]
    max_attempts: int = 1
    ages: tuple[float, ...] = ()
    lease_seconds: float = 3600.0
    in_process: bool = False

    def awaited_for(self, seconds: float, *, most_seconds: float) -> Suspect:
        """Return what of it is awaited for so long; twice as long each time that its message was found lost."""
        longest = min(most_seconds, self.lease_seconds)
        some = [
            (it, age)
            for it, age in zip(self.attempts, self.ages, strict=True)
            if age > min(longest, seconds * 2.0 ** min(it.losses, 20))
        ]
        return self._replace(attempts=tuple(it for it, _ in some), ages=tuple(age for _, age in some))


class Lagging(NamedTuple):
    """A client whose oldest unfinished event is old.

    Attributes:
        client: Its id.
        state: Such as `active`.
        offset: Of that event.
        seconds: Its age.
        offsets: How far the client's cursor is behind the horizon.
    """

    client: str
    state: str
    offset: int
    seconds: float
    offsets: int


class Moment(NamedTuple):
    """A moment by Postgres' clock, and until when all that collectors had taken was settled; None: none is at work."""

    now: datetime
    settled: datetime | None


def suspects(store: Store, *, bridge: str, seconds: float, most: int) -> list[Suspect]:
    """Return the clients of a bridge whose outcomes are awaited for so many seconds."""
    binds = {"bridge": bridge, "seconds": seconds, "most": most}
    with store.reading() as connection:
        rows = connection.execute(statement("watch/suspects"), binds).all()
    return [
        Suspect(
            row.id,
            row.queue,
            tuple(row.tasks),
            row.batch,
            tuple(map(Attempt, row.offsets, row.epochs, row.attempts, row.losses, row.tries)),
            row.max_attempts,
            tuple(row.ages),
            row.ack_timeout_seconds,
            row.in_process,
        )
        for row in rows
    ]


def recall_lost(
    store: Store,
    client: str,
    attempts: Sequence[Attempt],
    *,
    counted: Sequence[bool],
    noted: Sequence[bool],
    reason: str,
    lock_seconds: float,
    wait_seconds: float = 0.0,
) -> list[Attempt]:
    """Let lost attempts go out again; return those of them that were still awaited.

    Args:
        store: The event log and its clients.
        client: Whose they are.
        attempts: What is lost.
        counted: Whether each counts as an attempt: then its lease ends.
        noted: Whether each makes the next look at its event later.
        reason: Why, for the journal.
        lock_seconds: How long to wait for the client.
        wait_seconds: Until they go out again.

    Raises:
        StoreUnavailable: another transaction holds the client, or Postgres is away; nothing changed.
    """
    known = {(it.offset, it.epoch, it.attempt): it for it in attempts}
    binds = {
        "client": client,
        "wait": wait_seconds,
        "offsets": [it.offset for it in attempts],
        "epochs": [it.epoch for it in attempts],
        "attempts": [it.attempt for it in attempts],
        "counts": list(counted),
        "noted": list(noted),
    }
    with store.transaction() as connection:
        if not lock_clients(connection, [client], lock_seconds=lock_seconds):
            return []
        rows = connection.execute(statement("watch/recall_lost"), binds).all()
        done = [known[row.offset, row.epoch, row.attempt] for row in rows]
        if done:
            details = {
                "events": len(done),
                "offsets": [it.offset for it in done[:MOST_NOTED_OFFSETS]],
                "reason": reason,
            }
            note(connection, client, "recall", by="bridge", details=details)
            told = Happening(kind="recalled", client=client, offset=done[0].offset, number=len(done), reason=reason)
            after_commit(connection.info, [told])
    return done


def give_up_crashing(store: Store, client: str, starts: Mapping[Attempt, int], *, lock_seconds: float) -> list[Attempt]:
    """Give up attempts that killed their process again and again; return those of them that were still awaited.

    Args:
        store: The event log and its clients.
        client: Whose they are.
        starts: How often each was started, as far as it was seen; together with the attempts before it, these are all
            that the client allows.
        lock_seconds: How long to wait for the client.

    Raises:
        StoreUnavailable: another transaction holds the client, or Postgres is away; nothing changed.
    """
    known = {(it.offset, it.epoch, it.attempt): it for it in starts}
    about = [Outcome(client=client, offset=it.offset, epoch=it.epoch, attempt=it.attempt) for it in starts]
    with store.transaction() as connection:
        policy = lock_clients(connection, [client], lock_seconds=lock_seconds).get(client)
        if policy is None:
            return []
        done = [known[it.offset, it.epoch, it.attempt] for it in failing(connection, about)]
        give_up(
            connection,
            [Exhausted(client, it.offset, CRASHING.format(starts=starts[it]), CRASH, policy.verdict) for it in done],
        )
        move_cursors(connection, {client: Tally()}, failed={client}, failures={client: len(done)})
    return done


def take_watch(store: Store, *, bridge: str, holder: str, seconds: float) -> bool:
    """Take or keep the turn to look for lost messages; tell whether this holder has it."""
    with store.writing() as connection:
        binds = {"bridge": bridge, "holder": holder, "seconds": seconds}
        return connection.execute(statement("watch/take_watch"), binds).one_or_none() is not None


def note_collector(store: Store, *, bridge: str, name: str, holder: str, seconds: float, most_seconds: float) -> None:
    """Note that a collector is at work, and that all that it had taken so many seconds ago is settled."""
    binds = {"bridge": bridge, "name": name, "holder": holder, "seconds": seconds, "most_seconds": most_seconds}
    with store.writing() as connection:
        connection.execute(statement("watch/note_collector"), binds)


def forget_collector(store: Store, *, bridge: str, name: str) -> None:
    """Forget a collector that has put back what it had taken, and old notes of dead ones."""
    with store.writing() as connection:
        connection.execute(statement("watch/forget_collectors"), {"bridge": bridge, "name": name})


def settled_until(store: Store, *, bridge: str) -> Moment:
    """Return until when all that the bridge's collectors had taken is settled, and the time of this look."""
    with store.reading() as connection:
        return Moment(*connection.execute(statement("watch/settled_until"), {"bridge": bridge}).one())


def lagging(store: Store, *, bridge: str, seconds: float) -> list[Lagging]:
    """Return the clients of a bridge whose oldest unfinished event is older than so many seconds."""
    with store.reading() as connection:
        rows = connection.execute(statement("watch/lagging"), {"bridge": bridge, "seconds": seconds}).all()
    return [Lagging(*row) for row in rows]
