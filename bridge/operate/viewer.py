"""Everything that a person can look at. Looking changes nothing, but it may move the horizon on, as any pass does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from celery import Celery

from bridge.app import bridge_of
from bridge.archive.places import Place, filled_place_of, place_of
from bridge.errors import StoreLocked, UnknownClient
from bridge.operate.audit import Audit, audit
from bridge.operate.explain import Cause, explain
from bridge.operate.explain.database import explain_tables, explain_waits
from bridge.operate.explain.log import explain_size, say_holder
from bridge.operate.parked import choose
from bridge.operate.places import PlaceInLog, dated, position_of
from bridge.operate.tail import tail
from bridge.retention.size import size_warning
from bridge.settings.amount import bytes_of
from bridge.store import Store
from bridge.store.checkup import look_at_waits
from bridge.store.clients import ListedClient, list_clients
from bridge.store.events import LoggedEvent, Wanted
from bridge.store.facts import collect_facts
from bridge.store.fate import EventFate, read_fate
from bridge.store.journal import JournalEntry, list_journal
from bridge.store.locks import lock_holders, table_holders
from bridge.store.migrate import check_schema
from bridge.store.parked import ParkedEvent, Selection, count_parked, list_parked
from bridge.store.pruning import log_bytes
from bridge.store.scheduled import ScheduledCount, count_scheduled
from bridge.store.status import ClientStatus, read_status


class Viewer:
    """See where clients stand, and what is in the log.

    Every verb raises `ConfigurationError` if no database is set, `StoreUnavailable` while Postgres does not answer, and
    `SchemaError` if the schema is not the one that this code knows. A verb with a `client` raises `UnknownClient` if
    there is none of this id, unless it says otherwise. Moments are aware datetimes.

    Args:
        app: Its configuration names the database and the broker.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.lock_seconds: float | None = None
        self._opened: Store | None = None

    @property
    def bridge(self) -> str:
        """The name of the bridge that the app has: its `bridge_queue`."""
        return bridge_of(self.app).settings.queue

    def clients(self) -> list[ListedClient]:
        """List the clients with their settings, in the order of their ids."""
        return list_clients(self._store)

    def status(self, client: str | None = None) -> list[ClientStatus]:
        """Say where a client stands, or all of them in the order of their ids.

        Counting the lag of a client that is far behind takes about a tenth of a second.
        """
        try:
            return read_status(self._store, client)
        except StoreLocked as error:
            if causes := explain_tables(table_holders(bridge_of(self.app).store)):
                raise StoreLocked(f"{causes[0].text}: {causes[0].do}", names_holder=True) from error
            raise

    def count_scheduled(self) -> ScheduledCount:
        """Say how many events are scheduled for later, and in how many seconds the next one is due."""
        return count_scheduled(self._store)

    def size_warning(self) -> str:
        """Say that the log comes near `bridge_log_limit`, from four fifths of it on; else nothing."""
        limit = bridge_of(self.app).settings.log_limit
        return size_warning(log_bytes(self._store), bytes_of(limit)) if limit else ""

    def waits(self) -> list[Cause]:
        """Say what keeps the bridge itself waiting: locks of others, and commits that wait for a standby."""
        return explain_waits(look_at_waits(self._store))

    def explain(self, client: str, *, ask_broker: bool = True, timeout_seconds: float = 1.0) -> list[Cause]:
        """Say why a client stands where it stands, and what to do about it.

        Args:
            client: Id of a client.
            ask_broker: Ask the broker and its workers too; else only the database.
            timeout_seconds: How long to wait for the broker, and then for its workers' answers. It always waits that
                long for answers, because the number of workers is not known.

        Returns:
            At least one cause, the one that matters most first. A broker that is away is a cause, and no error. The
            broker of another bridge is not asked.
        """
        from bridge.operate.workers import ask_workers  # only now: it comes with the drivers of brokers

        settings = bridge_of(self.app).settings
        try:
            facts = collect_facts(self._store, client)
        except StoreLocked:
            if causes := explain_tables(table_holders(bridge_of(self.app).store)):
                return causes
            raise
        seen = None
        if ask_broker and facts.task is not None and facts.bridge == settings.queue:
            seen = ask_workers(
                self.app,
                queue=facts.queue,
                bridge_queue=settings.queue,
                timeout_seconds=timeout_seconds,
                client=client,
                tasks=facts.tasks,
            )
        causes = explain(facts, seen, bridge_queue=settings.queue, lingers=settings.linger_seconds > 0)
        return [*causes, *explain_size(self.size_warning())]

    def audit(self, client: str, *, first: int | None = None, last: int | None = None) -> Audit:
        """Prove from the tables that every event of a range is accounted for, or name the offsets that are not.

        It reads the log in slices, and takes about a second for a million events.

        Args:
            client: Id of a client.
            first: The first offset; None for the first of the log.
            last: The last one; None for the horizon.

        Raises:
            UsageError: it is a plain SQL reader, or the range is empty.
        """
        return audit(self._store, client, first=first, last=last)

    def tail(
        self,
        *,
        topics: Sequence[str] = ("#",),
        key: str | None = None,
        client: str | None = None,
        start: PlaceInLog | None = None,
        most: int | None = None,
        follow: bool = False,
        characters: int | None = None,
        archive: str | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[LoggedEvent]:
        """Yield events of the log, oldest first; only such as are final.

        Args:
            topics: AMQP topic patterns, of which one must match.
            key: Only events of this key.
            client: Only events that match the topics of this client.
            start: The first event: `beginning`, `now`, an offset that is included, or a moment. None for the last ones.
            most: How many; None for all from `start` on, or for the last 10.
            follow: Wait for more at the end instead of returning, also while Postgres is away.
            characters: Where payloads, and headers, are cut off; None: nowhere.
            archive: A directory or URL with events that were pruned; they are read only from a `start` on. None:
                `bridge_archive`.
            say: Is told where only a part of the log was looked through for the last events.

        Raises:
            UsageError: `start` is no place in the log.
        """
        position = None if start is None else dated(self._store, position_of(start))
        place = self._archive(archive)
        also = tuple(read_status(self._store, client)[0].topics) if client is not None else ("#",)
        wanted = Wanted(topics=tuple(topics), also=also, key=key, characters=characters)
        return tail(self._store, wanted, start=position, most=most, follow=follow, archive=place, say=say)

    def parked(
        self,
        client: str | None = None,
        *,
        keys: Sequence[str] = (),
        error_types: Sequence[str] = (),
        offsets: Sequence[int] = (),
        older_seconds: float | None = None,
        most: int = 50,
    ) -> list[ParkedEvent]:
        """List events that were set aside for a client, or for any; those that were set aside last come first.

        Args:
            client: Id of a client; None for all clients.
            keys: Only events of these keys.
            error_types: Only events that failed with these exceptions, such as `ValueError`.
            offsets: Only the events at these offsets.
            older_seconds: Only events that have been parked for longer than this.
            most: How many at most.
        """
        if client is not None:
            self._check_client(client)
        selection = Selection(
            keys=tuple(keys), error_types=tuple(error_types), offsets=tuple(offsets), older_seconds=older_seconds
        )
        return list_parked(self._store, client, selection=selection, most=most)

    def fate(self, client: str, offset: int, *, characters: int | None = None) -> EventFate | None:
        """Show an event with its failed attempts, and what has become of it at a client: parked, open or finished.

        Args:
            client: Id of a client.
            offset: Offset of an event.
            characters: Where payload and headers are cut off; None: nowhere.

        Returns:
            None if there is no event at this offset.
        """
        self._check_client(client)
        return read_fate(self._store, client, offset, characters=characters)

    def count_parked(
        self,
        client: str,
        *,
        everything: bool = False,
        keys: Sequence[str] = (),
        error_types: Sequence[str] = (),
        offsets: Sequence[int] = (),
        older_seconds: float | None = None,
    ) -> int:
        """Count a client's parked events that fit all that is given, or `everything`, as `redrive` and `discard` would.

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
        self._check_client(client)
        return count_parked(self._store, client, selection=selection)

    def journal(self, client: str | None = None, *, most: int = 20) -> list[JournalEntry]:
        """List what was done to a client, or to any, the newest first.

        A client that was removed is still in it, so the id of none that is registered is only an error if nothing was
        ever done to it.

        Args:
            client: Id of a client; None for all clients.
            most: How many entries at most.
        """
        found = list_journal(self._store, client, most=most)
        if client is not None and not found:
            self._check_client(client)
        return found

    def who_locks(self) -> str:
        """Say in a sentence who holds what a verb has waited for in vain (`StoreLocked`); empty if nobody is seen."""
        found = lock_holders(bridge_of(self.app).store)
        told = [f"{who} has locked {table}: {do}" for table, holder, _ in found for who, do in [say_holder(holder)]]
        return "; ".join(told)

    def close(self) -> None:
        """Close this process's connections to Postgres; the next verb opens new ones."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _store(self) -> Store:
        """The store, once its schema is known to be the one that this code needs."""
        if self._opened is None:
            bridge = bridge_of(self.app)
            bridge.lock_seconds = bridge.lock_seconds or self.lock_seconds
            store = bridge.store
            check_schema(store.engine)
            self._opened = store
        return self._opened

    def _archive(self, named: str | None) -> Place | None:
        """Return the archive of this name, else that of `bridge_archive`, if there is one."""
        name = bridge_of(self.app).settings.archive if named is None else named
        return place_of(name) if name else None

    def _archive_to_read(self, named: str | None) -> Place | None:
        """Return the same, where it has files: a mistyped name would leave what is to be erased, say."""
        return self._archive(None) if named is None else filled_place_of(named)

    def _check_client(self, client: str) -> None:
        if all(found.id != client for found in list_clients(self._store)):
            raise UnknownClient(client)
