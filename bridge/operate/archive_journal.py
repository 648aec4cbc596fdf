"""Move old entries of the journal into an archive.

The journal is append-only: its trigger lets entries go only where an entry that stays says in which file they are.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.archive.files import write_file
from bridge.archive.places import Place
from bridge.store import Store
from bridge.store.archive import log_identity, old_entries, remove_entries
from bridge.store.journal import WHOLE_LOG, note

BATCH_ENTRIES = 5000


class ArchivedJournal(NamedTuple):
    """What was moved.

    Attributes:
        entries: How many entries.
        files: The files that they are in.
    """

    entries: int
    files: tuple[str, ...]


def archive_journal(store: Store, place: Place, *, older_seconds: float, by: str) -> ArchivedJournal:
    """Move the entries that are older than so many seconds, a file after another.

    Each file is written, read back and compared before its entries are removed.
    """
    log, moved, files = log_identity(store), 0, list[str]()
    while entries := old_entries(store, older_seconds=older_seconds, upto=log.last_entry, most=BATCH_ENTRIES):
        manifest = write_file(place, entries, kind="journal", log=log.id, generation=log.generation)
        if manifest is None:
            break
        details = {
            "first": manifest.first,
            "last": manifest.last,
            "entries": manifest.count,
            "file": manifest.file,
            "sha256": manifest.sha256,
        }
        with store.transaction() as connection:
            note(connection, WHOLE_LOG, "archive journal", by=by, details=details)
            remove_entries(connection, [id for id, _ in entries])
        moved += manifest.count
        files.append(manifest.file)
    return ArchivedJournal(moved, tuple(files))
