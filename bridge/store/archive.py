"""The SQL of archives: read what goes into one, and put back what a replay wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.archive.lines import ArchivedEvent
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.streaming import stream_by

STREAMED_EVENTS = 50  # in one statement; in memory there is one: each may be large


class LogIdentity(NamedTuple):
    """Which log this is.

    Attributes:
        id: Tells it from every other log.
        starts: The first offset of each of its generations.
        pruned: The offset up to which events may be gone.
        last_entry: The number of the last entry of its journal.
    """

    id: str
    starts: tuple[int, ...]
    pruned: int
    last_entry: int

    @property
    def generation(self) -> int:
        """The generation that the log is in."""
        return len(self.starts)


def log_identity(store: Store) -> LogIdentity:
    """Tell which log this is, and how far it is pruned."""
    with store.reading() as connection:
        id, starts, pruned, last_entry = connection.execute(statement("archive/look_at_log")).one()
        return LogIdentity(id, tuple(starts), pruned, last_entry)


def archivable_events(store: Store, offsets: Sequence[int]) -> Iterator[ArchivedEvent]:
    """Yield events of the log as an archive keeps them, one at a time, in one transaction."""
    with store.transaction() as connection:
        binds = {"offsets": list(offsets)}
        for row in stream_by(connection, "archive/read_events", binds, rows=STREAMED_EVENTS):
            yield ArchivedEvent(*row)


def erased_offsets(store: Store, offsets: Sequence[int]) -> set[int]:
    """Return which of these events are erased."""
    with store.reading() as connection:
        return set(connection.execute(statement("archive/erased"), {"offsets": list(offsets)}).scalars())


def erase_again(store: Store, offsets: Sequence[int]) -> None:
    """Erase events that were put back as they were before they were erased."""
    with store.writing() as connection:
        connection.execute(statement("archive/erase_again"), {"offsets": list(offsets)})


def restore_events(store: Store, events: Sequence[ArchivedEvent]) -> int:
    """Put archived events back into the log in one transaction, and return how many were not there.

    Raises:
        UsageError: one lies above what is pruned; nothing was put back.
    """
    binds = {
        "offsets": [event.offset for event in events],
        "topics": [event.topic for event in events],
        "keys": [event.key for event in events],
        "payloads": [event.payload_json for event in events],
        "headers": [event.headers_json for event in events],
        "created": [event.created_at for event in events],
    }
    with store.transaction() as connection:
        savepoint = connection.begin_nested()
        connection.execute(statement("archive/define_currval"))
        savepoint.rollback()
        return len(connection.execute(statement("archive/restore"), binds).all())


def old_entries(store: Store, *, older_seconds: float, upto: int, most: int) -> list[tuple[int, str]]:
    """Return the oldest entries of the journal that are older than this, each with its number, as JSON."""
    with store.reading() as connection:
        rows = connection.execute(
            statement("archive/read_journal"), {"older": older_seconds, "upto": upto, "most": most}
        )
        return [(id, line) for id, line in rows]


def remove_entries(connection: Connection, ids: Sequence[int]) -> None:
    """Remove entries of the journal that are archived, in the transaction that notes it.

    Raises:
        UsageError: no entry says that they are.
    """
    connection.execute(statement("archive/remove_journal"), {"ids": list(ids)})
