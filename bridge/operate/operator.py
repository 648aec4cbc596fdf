"""Every verb of an operator in one place: the command line calls it, and a user's own code can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery

from bridge.app import bridge_of
from bridge.operate.archivist import Archivist
from bridge.operate.audit import accept
from bridge.operate.examiner import Examiner
from bridge.operate.finding import Finder
from bridge.operate.keeping import Keeper
from bridge.operate.lifecycle import Resumed, pause, remove, resume
from bridge.operate.parked import choose, discard, redrive
from bridge.operate.places import PlaceInLog, dated, position_of
from bridge.operate.publishing import Publisher
from bridge.operate.recall import recall
from bridge.operate.registering import (
    DeclaredClients,
    RegisteredClient,
    complete_registration,
    declared_registrations,
    register_client,
    register_clients,
)
from bridge.operate.replay import Replay, replay, stop_replays
from bridge.operate.replay_archived import replay_archived
from bridge.operate.seek import Sought, seek
from bridge.operate.user import kept, user_at_host
from bridge.store.held import HeldClient, StoppedReplay
from bridge.store.migrate import migrate
from bridge.store.recall import Recalled

if TYPE_CHECKING:
    from bridge.operate.resync import Resynced


class Operator(Publisher, Keeper, Archivist, Examiner, Finder):
    """See and do everything that an operator does.

    ::

        operator = bridge.Operator(app)
        for row in operator.status():
            print(row.client, row.state, row.lag_events)
        operator.seek("billing", to="2026-01-31T12:00:00+00:00", dry_run=True)

    Each verb is one transaction: if it raises, nothing changed. Only `register_declared` has one for each client, and
    `erase` many. `by`
    is noted in the journal. The verbs that act on a `client` raise `UsageError` where it is a plain SQL reader, which
    the bridge does not drive; only `seek` and `remove` take such a client too. For the errors that every verb can raise
    see `Viewer`, which has the verbs that only look.

    Args:
        app: Its configuration names the database and the broker.
        by: Who acts, for the journal; by default user@host.
    """

    def __init__(self, app: Celery, *, by: str | None = None) -> None:
        super().__init__(app)
        self.by = by or user_at_host()

    def migrate(self, *, roles: bool = False) -> list[str]:
        """Create or upgrade the schema, see `bridge.migrate`, and return the revisions that were applied."""
        return migrate(self.app, roles=roles)

    def register(
        self, client: str, *, start: PlaceInLog | None = None, replace_task: bool = False, **settings: Any
    ) -> RegisteredClient:
        """Register a client, or change its settings; the cursor of one that exists stays where it is.

        Args:
            client: Id of the client.
            start: Where a new client begins: `beginning`, `now`, a moment, or the offset after which it begins.
            replace_task: Let a client that exists call another task from now on.
            **settings: The fields of `ClientSettings` but `id`. What is not given keeps its registered value, or that
                which the app's code declares with `@bridge.client`.

        Raises:
            InvalidClient: a setting is out of range, or a new client has no task.
            ClientConflict: the id calls another task already.
            BridgeError: a module of the app's tasks can't be imported.
        """
        position = None if start is None else position_of(start)
        wanted = complete_registration(self.app, client, settings, start=position)
        return register_client(self.app, self._store, wanted, by=self.by, replace_task=replace_task)

    def register_declared(self, *, replace_task: bool = False, may_be_none: bool = False) -> DeclaredClients:
        """Register every client that the app's code declares, each in a transaction of its own.

        Args:
            replace_task: Let clients that exist call another task from now on.
            may_be_none: Whether the code may declare none.

        Raises:
            UsageError: the code declares none.
            BridgeError: a module of the app's tasks can't be imported.
        """
        wanted = declared_registrations(self.app, may_be_none=may_be_none)
        return register_clients(self.app, self._store, wanted, by=self.by, replace_task=replace_task)

    def pause(self, client: str, *, reason: str = "") -> str:
        """Stop handing events to a client, and return its state, `paused`; its open deliveries still finish."""
        return pause(self._store, client, reason=kept(reason), by=self.by)

    def drain(self, client: str, *, reason: str = "") -> str:
        """Pause a client after its open deliveries have finished, with all their retries; nothing new goes out.

        Returns:
            `draining` while deliveries are open, `paused` if there were none.
        """
        return pause(self._store, client, reason=kept(reason), by=self.by, drain=True)

    def resume(self, client: str) -> Resumed:
        """Go on handing events to a client; say in what state it was, and what it missed if it was released."""
        return resume(self._store, client, by=self.by)

    def remove(self, client: str, *, force: bool = False, reason: str = "") -> HeldClient:
        """Remove a client with its cursor, deliveries and parked events, and return it as it was.

        Args:
            client: Id of a client.
            force: Remove it even while deliveries are open, and forget them.
            reason: Why, for the journal.

        Raises:
            UsageError: deliveries are open.
        """
        return remove(self._store, client, by=self.by, force=force, reason=kept(reason))

    def seek(self, client: str, *, to: PlaceInLog, dry_run: bool = False) -> Sought:
        """Move a client's cursor, forward or back, and forget its open deliveries.

        Parked events above the new place are handed over again.

        Args:
            client: Id of a client.
            to: `beginning`, `end`, the moment from which on events are delivered, or the offset of the last event to
                pass over.
            dry_run: Only say what would happen.

        Raises:
            UsageError: it is no place in the log, or lies above the horizon.
        """
        return seek(self._store, client, to=position_of(to), by=self.by, dry_run=dry_run)

    def replay(
        self,
        client: str,
        *,
        start: PlaceInLog,
        end: PlaceInLog = "end",
        topics: Sequence[str] | None = None,
        per_second: float = 100,
        archive: str | None = None,
    ) -> Replay:
        """Start handing old events to a client again, beside its cursor, which stays.

        Args:
            client: Id of a client.
            start: The first event: `beginning`, an offset, or a moment.
            end: The last event: `end`, an offset, or the moment before which it was created.
            topics: AMQP topic patterns, beside the client's own; None for all that it reads.
            per_second: Most events in a second (above 0).
            archive: A directory or URL with events that were pruned: those of the range go back into the log first.
                None: `bridge_archive`.

        Raises:
            UsageError: the client has finished nothing in this range.
        """
        place = self._archive_to_read(archive)
        begin = replay if place is None else partial(replay_archived, archive=place)
        first, last = (dated(self._store, position_of(it)) for it in (start, end))
        return begin(self._store, client, start=first, end=last, topics=topics, per_second=per_second, by=self.by)

    def stop_replays(self, client: str) -> list[StoppedReplay]:
        """Stop a client's replays where they are, those that wait as well."""
        return stop_replays(self._store, client, by=self.by)

    def accept(self, client: str) -> None:
        """Begin a client's ledger anew, from what its tables hold now, so that `audit` starts from here."""
        accept(self._store, client, by=self.by)

    def redrive(
        self,
        client: str,
        *,
        everything: bool = False,
        keys: Sequence[str] = (),
        error_types: Sequence[str] = (),
        offsets: Sequence[int] = (),
        older_seconds: float | None = None,
    ) -> list[int]:
        """Hand parked events to a client again: those that fit all that is given, or `everything`.

        Returns:
            Their offsets in order; without those that were redriven before and still wait.

        Raises:
            UsageError: nothing is given, or both `everything` and a part of it.
        """
        selection = choose(
            client,
            everything=everything,
            keys=keys,
            error_types=error_types,
            offsets=offsets,
            older_seconds=older_seconds,
        )
        return redrive(self._store, client, selection, by=self.by)

    def discard(
        self,
        client: str,
        *,
        everything: bool = False,
        keys: Sequence[str] = (),
        error_types: Sequence[str] = (),
        offsets: Sequence[int] = (),
        older_seconds: float | None = None,
        reason: str | None = None,
    ) -> list[int]:
        """Give parked events up for good: those that fit all that is given, or `everything`.

        With a `reason`, `offsets` may also be open deliveries, and events that would be handed over next.

        Returns:
            Their offsets in order. Keys that were held for them, or waited for them, go on.

        Raises:
            UsageError: nothing is given, or both `everything` and a part of it.
        """
        selection = choose(
            client,
            everything=everything,
            keys=keys,
            error_types=error_types,
            offsets=offsets,
            older_seconds=older_seconds,
        )
        return discard(self._store, client, selection, by=self.by, reason=kept(reason))

    def recall(
        self, client: str, *, keys: Sequence[str] = (), offsets: Sequence[int] = (), reason: str = ""
    ) -> Recalled:
        """Hand open events to a client again at once, because their messages are lost; no attempt is counted.

        Args:
            client: Id of a client.
            keys: Only events of these keys; all if empty.
            offsets: Only these events; all if empty.
            reason: Why, for the journal.
        """
        return recall(self.app, self._store, client, keys=keys, offsets=offsets, reason=kept(reason), by=self.by)

    def resync(self, *, from_broker_mark: bool = False, above: int | None = None, dry_run: bool = False) -> Resynced:
        """After a restore of the database, say what was lost, begin a new generation of the log, and go on.

        It needs the rights of the schema's owner, as `migrate` does.

        Args:
            from_broker_mark: Refuse where the broker has no mark of this log.
            above: Count offsets up to this one as drawn before, for example where the broker is new, too.
            dry_run: Only say what would happen.

        Raises:
            UsageError: the broker has no mark of this log, and one was asked for.
            BrokerUnavailable: the broker can't be asked, and no offset was given instead.
        """
        from bridge.operate.resync import resync  # only now: it comes with the drivers of brokers

        _ = self._store  # a schema that is not there is said before anything else
        return resync(bridge_of(self.app), by=self.by, from_broker_mark=from_broker_mark, above=above, dry_run=dry_run)
