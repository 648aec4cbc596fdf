"""What can go wrong, told apart by what the caller does next.

::

    BridgeError
    ├── UsageError            stop: the call or the configuration is wrong, nothing was sent or changed
    │   ├── ConfigurationError    a setting is missing or malformed
    │   ├── NotInstalled          an optional part of the package is missing
    │   ├── InvalidTarget         what was to be published on is no connection that the bridge knows
    │   ├── InvalidEvent          Postgres or JSON could not hold this event
    │   ├── IdTaken               the id is that of another event
    │   ├── InvalidClient         a client's settings contradict themselves
    │   ├── ClientConflict        the id belongs to another task
    │   └── UnknownClient         no such client
    ├── SchemaError           stop: the schema is not the one that this code knows
    │   ├── SchemaMissing         there is none
    │   ├── SchemaOutdated        it is older
    │   ├── SchemaTooNew          it is newer
    │   └── SchemaForeign         ``fq`` belongs to another program, or the server is too old
    ├── LogRewound            stop: the log is behind what was handed over; `eventbridge resync` goes on
    │   └── MarkAhead             the broker remembers more than the database does
    ├── BrokerTaken           stop: the broker serves another log, or another broker serves this one
    ├── Unavailable           wait and retry: nothing was lost
    │   ├── StoreUnavailable      Postgres refused, dropped or timed out
    │   │   ├── StoreReadOnly         it answers and takes no writes, as after a fail-over
    │   │   └── StoreLocked           another transaction held a lock for too long
    │   ├── BrokerUnavailable     the broker refused, dropped or timed out
    │   │   └── BrokerRefuses         it is there, and takes no more for now
    │   └── QueueMissing          the queue of a client's fleet does not exist yet
    ├── StoreRefused          halve what was asked: Postgres takes some of it never
    ├── Unsent                go on: the other events were sent, and this one was not
    │   ├── Undeliverable         set it aside: it can never become a message of this client
    │   └── NotTaken              send it in a while: the broker took no more, or there was no time for it
    ├── AlreadyDone           nothing: the event is finished, or open in another epoch: its handler must not run
    └── BatchInterrupted      nothing: an event of the batch is done already, the rest goes out again without it

Messages are lower case, name the thing and its state, and say what to do. Where a message advises a command, it writes
it as `eventbridge …` between backticks, which works in every shell. In a Django project it is shown as
`manage.py bridge …`, and the command line shows it in the way in which it was called itself, such as
`celery -A shop bridge …`.
"""

from __future__ import annotations

from celery.exceptions import Ignore

from bridge.calling import as_called


class BridgeError(Exception):
    """Anything that the bridge raises on purpose."""

    def __str__(self) -> str:
        return as_called(super().__str__())


class UsageError(BridgeError):
    """The caller asked for something that cannot be; nothing changed."""


class ConfigurationError(UsageError):
    """A setting is missing or malformed."""


class NotInstalled(UsageError):
    """An optional part of the package, or a program that it needs, is missing."""


class InvalidTarget(UsageError, TypeError):
    """What was passed to publish on is no connection, cursor or session that the bridge knows; nothing was sent."""


class InvalidEvent(UsageError):
    """The event can't be stored as it is; nothing was sent to Postgres."""


class IdTaken(UsageError):
    """The id of an event is that of another one, with another topic; the transaction has to be rolled back."""


class InvalidClient(UsageError):
    """A client's settings contradict themselves or the schema."""


class ClientConflict(UsageError):
    """Two declarations claim one client id for different tasks."""


class UnknownClient(UsageError):
    """No client of this id is registered.

    Attributes:
        client: The id that was asked for.
    """

    def __init__(self, client: str) -> None:
        super().__init__(f"no client {client!r} is registered: `eventbridge clients` lists them")
        self.client = client


class SchemaError(BridgeError):
    """The schema in the database is not the one that this code knows."""


class SchemaMissing(SchemaError):
    """The database has no schema ``fq`` yet."""


class SchemaOutdated(SchemaError):
    """The schema is older than the code."""


class SchemaTooNew(SchemaError):
    """The schema is newer than the code."""


class SchemaForeign(SchemaError):
    """The schema ``fq`` belongs to another program, or the server is older than PostgreSQL 14."""


class LogRewound(BridgeError):
    """The events' sequence is behind the horizon, as after a restore or a failover that lost WAL.

    Offsets would be used twice, so nothing is handed over any more. `eventbridge resync` says what was lost, and goes
    on.
    """


class MarkAhead(LogRewound):
    """The broker's mark is ahead of the database's, which was restored, or failed over without its last transactions.

    Nothing is handed over and nothing is settled: what comes back would finish events that it is not about.
    """


class BrokerTaken(BridgeError):
    """The broker's queue serves another log, or another broker serves this log: one of the two must have its own."""


class Unavailable(BridgeError):
    """A server did not answer, or lacks something; waiting and trying again is right."""


class StoreUnavailable(Unavailable):
    """Postgres refused, dropped or timed out; the transaction is rolled back."""


class StoreReadOnly(StoreUnavailable):
    """Postgres answers and takes no writes: it is a standby, or somebody has made it read-only."""


class StoreLocked(StoreUnavailable):
    """Another transaction held a row or a table for longer than this one may wait.

    Attributes:
        names_holder: Whether the message says who held it.
    """

    def __init__(self, message: str, *, names_holder: bool = False) -> None:
        super().__init__(message)
        self.names_holder = names_holder


class StoreRefused(BridgeError):
    """Postgres is there and refused the statement, and it would refuse the same statement again.

    The trouble is permanent: something that the statement carries is at fault. Ask for half of it, until what is at
    fault is alone, and set that aside with this error as its reason.
    """


class ArchiveUnavailable(Unavailable):
    """The place of an archive refused or did not answer; nothing that was not written is removed from the log."""


class BrokerUnavailable(Unavailable):
    """The broker refused, dropped or timed out; some messages of the pass may have arrived."""


class BrokerSilent(BrokerUnavailable):
    """The broker has not answered in time on a connection that is still there: it may have vanished without a word."""


class BrokerRefuses(BrokerUnavailable):
    """The broker is there, and takes no more messages for now: a queue is full, or its memory.

    Attributes:
        taken: Those that it has taken before, by their number, from 0.
        refused: Events of which no message was made.
    """

    def __init__(self, words: str, *, taken: frozenset[int] = frozenset()) -> None:
        super().__init__(words)
        self.taken = taken
        self.refused: tuple[Unsent, ...] = ()


class QueueMissing(Unavailable):
    """The broker has no queue of the name that a client's events go to; nothing of the pass is remembered.

    Attributes:
        queue: Its name.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"the broker has no queue {queue!r}: start a worker that consumes it, or declare it; the events wait for it"
        )
        self.queue = queue


class Unsent(BridgeError):
    """An event was not sent with the others.

    Attributes:
        offset: The event's offset.
    """

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset


class Undeliverable(Unsent):
    """This event can never become a message of this client."""


class NotTaken(Unsent):
    """Others were sent, and this one was not: the broker took no more for now, or there was no time for more."""


class AlreadyDone(BridgeError, Ignore):
    """Another attempt has finished this event, or it is of an epoch that is over; the handler's body did not run.

    A Celery task that lets it through is ignored: no result, no callback, and no failure in Flower.
    """


class BatchInterrupted(BridgeError):
    """An event of a batch that is called one by one is done already: the batch fails, and goes on without it.

    Unlike `AlreadyDone` it is not ignored: the rest of the batch would wait for its lease.
    """
