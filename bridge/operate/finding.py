"""Look one thing up: what became of an event at every client, and which clients have handled a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import sleep
from typing import TypeVar

from bridge.app import bridge_of
from bridge.archive.events import archived_events
from bridge.broker.transports import broker_is_set
from bridge.errors import UsageError
from bridge.operate.archived import as_logged
from bridge.operate.fate import Fate, fate_of
from bridge.operate.patience import Patience
from bridge.operate.viewer import Viewer
from bridge.store.archive import log_identity
from bridge.store.events import LoggedEvent
from bridge.store.journal import JournalEntry
from bridge.store.looking_up import (
    EventFound,
    KeyAtClient,
    event_at_clients,
    find_event,
    key_at_clients,
    moment_before,
)
from bridge.store.parked import ParkedEvent

FOLLOW_SECONDS = 0.5
MOST_SEEN = 1000  # of what is followed: the newest so many are looked at each time
MOST_OFFSET = 2**63 - 2

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """An event, and what became of it. The names are the keys of `show --json`.

    Attributes:
        offset: Its place in the log.
        generation: The log's generation to which it belongs.
        found: Where it was found: `log`, `archive`, or `nowhere`.
        note: What else there is to say of it, such as why it is nowhere; empty if there is nothing.
        event: The event itself; None where it is nowhere.
        fates: What became of it at each client, in the order of their ids; none of an event that never was.
    """

    offset: int
    generation: int
    found: str
    note: str
    event: LoggedEvent | None
    fates: tuple[Fate, ...]


class Finder(Viewer):
    """The part of `Operator` that looks up single things, and follows what is done."""

    def show(self, offset: int, *, characters: int | None = None, archive: str | None = None) -> FoundEvent:
        """Show an event with what became of it at every client.

        Args:
            offset: Its place in the log.
            characters: Where its payload, and its headers, are cut off; None: nowhere.
            archive: A directory or URL with events that were pruned; None: `bridge_archive`.

        Raises:
            UsageError: it is no offset.
        """
        if not 0 <= offset <= MOST_OFFSET:
            raise UsageError(f"{offset} is not the offset of an event, a number such as 1200")
        found = find_event(self._store, offset, characters=characters)
        event, where, note = found.event, "log", "what it held was erased" if found.is_erased else ""
        if event is None and offset <= found.pruned:
            event, note = self._archived(offset, archive, characters)
            where = "archive" if event else "nowhere"
        elif event is None:
            note = f"there is no such event: {_never(offset, found)}"
            return FoundEvent(
                offset=offset, generation=found.generation, found="nowhere", note=note, event=None, fates=()
            )
        elif offset > found.horizon:
            note = f"not final yet (final up to {found.horizon}): an open transaction may still commit events before it"
        at = event_at_clients(
            self._store, offset, topic=event.topic if event else None, key=event.key if event else None
        )
        fates = tuple(fate_of(one, offset, found) for one in at)
        return FoundEvent(offset=offset, generation=found.generation, found=where, note=note, event=event, fates=fates)

    def key(self, key: str) -> list[KeyAtClient]:
        """Say where a key stands at every client: its last finished event, and what is open, waiting and parked.

        Of a key with more than 10,000 events at a client that has not read them, no more are counted.
        """
        return key_at_clients(self._store, key)

    def unknown_tasks(self, *clients: str, timeout_seconds: float = 1.0) -> dict[str, str]:
        """Say of which clients no worker on their queue knows the task, by their ids.

        Args:
            *clients: Ids of clients; none for all of this bridge.
            timeout_seconds: How long to wait for the broker, and then for its workers' answers.
        """
        from bridge.operate.workers import tasks_unknown  # only now: it comes with the drivers of brokers

        own = bridge_of(self.app).settings.queue
        asked = [it for it in self.clients() if not it.is_reader and it.settings["bridge"] == own]
        asked = [it for it in asked if it.id in clients] if clients else asked
        return tasks_unknown(self.app, asked, timeout_seconds=timeout_seconds) if asked else {}

    def unreadable(self, *, timeout_seconds: float = 1.0) -> int | None:
        """Count the messages of this bridge that were set aside; None where no broker is set, it is away or silent.

        Args:
            timeout_seconds: How long to wait for the broker.
        """
        if not broker_is_set(self.app):
            return None
        from bridge.operate.workers import count_unreadable  # only now: it comes with the drivers of brokers

        return count_unreadable(self.app, bridge_of(self.app).settings.queue, timeout_seconds=timeout_seconds)

    def moment_before(self, seconds: float) -> datetime:
        """Return the moment that was so many seconds ago by Postgres' clock, which dates the events."""
        return moment_before(self._store, seconds)

    def follow_journal(self, client: str | None = None, *, most: int = 20) -> Iterator[JournalEntry]:
        """Yield what was done lately, at most so many, and then what is done from now on, oldest first.

        Once something was read, it waits while Postgres is away.
        """

        def read(number: int) -> Sequence[JournalEntry]:
            return self.journal(client, most=number)

        return _follow(read, lambda it: (it.at, it.client, it.action, it.by, repr(it.details)), most=most)

    def follow_parked(self, client: str | None = None, *, most: int = 50, **chosen: object) -> Iterator[ParkedEvent]:
        """Yield parked events, at most so many, and then those that are parked from now on; see `parked`.

        Once something was read, it waits while Postgres is away.
        """

        def read(number: int) -> Sequence[ParkedEvent]:
            return self.parked(client, most=number, **chosen)  # type: ignore[arg-type]

        return _follow(read, lambda it: (it.client_id, it.offset, it.parked_at), most=most)

    def _archived(self, offset: int, archive: str | None, characters: int | None) -> tuple[LoggedEvent | None, str]:
        """Find an event that was pruned in the archive, and say where it is or why it is not found."""
        place = self._archive_to_read(archive)
        if place is None:
            return None, "it was pruned; if it was archived, --archive DIR says where"
        log = log_identity(self._store)
        for it in archived_events(place, log=log.id, starts=log.starts, after=offset - 1, upto=offset):
            return as_logged(it, characters), "it was pruned from the log, and is in the archive"
        return None, "it was pruned, and is not in the archive; or there never was one"


def _never(offset: int, found: EventFound) -> str:
    """Say why the log never had an event at an offset."""
    if offset == 0:
        return "the first offset is 1"
    if offset > found.drawn:
        return f"the last offset that was drawn is {found.drawn}" if found.drawn > 0 else "the log is empty"
    return "its transaction was rolled back" if offset <= found.horizon else "its transaction is still open"


def _follow(read: Callable[[int], Sequence[Item]], name: Callable[[Item], Hashable], *, most: int) -> Iterator[Item]:
    """Yield the newest items, oldest first, and then each that was not there before.

    They are not told apart by a number that grows: of two transactions that write at the same time, the one with the
    lower number may end last. So the newest are looked at again each time.
    """
    seen: deque[Hashable] = deque(maxlen=4 * MOST_SEEN)
    shown, patience = most, Patience()
    while True:
        known = set(seen)
        found = [it for it in patience.read(partial(read, MOST_SEEN)) if name(it) not in known]
        seen.extend(name(it) for it in reversed(found))
        yield from reversed(found[:shown])
        shown = MOST_SEEN
        sleep(FOLLOW_SECONDS)
