"""The verbs that take something out of the database for good: erase events, and archive the journal."""

from __future__ import annotations

from bridge.archive.places import place_of
from bridge.operate.archive_journal import ArchivedJournal, archive_journal
from bridge.operate.erase import Erasure, erase
from bridge.operate.viewer import Viewer


class Archivist(Viewer):
    """The part of `Operator` that forgets."""

    by: str

    def erase(self, key: str, *, key_too: bool = False, archive: str | None = None, dry_run: bool = False) -> Erasure:
        """Erase what the events of a key hold, for good: payloads, headers, and the texts of errors.

        It takes many transactions, each of a bounded number of events; an interrupted run is finished by the next.

        Args:
            key: The ordering key.
            key_too: Also replace the key by a random one, on the events that no client needs any more.
            archive: A directory or URL with events that were pruned: they are erased too. None:
                `bridge_archive`.
            dry_run: Only count.
        """
        place = self._archive_to_read(archive)
        return erase(self._store, key, by=self.by, key_too=key_too, archive=place, dry_run=dry_run)

    def archive_journal(self, archive: str, *, older_seconds: float) -> ArchivedJournal:
        """Move old entries of the journal into an archive; one entry more tells which, and where.

        Args:
            archive: A directory or URL.
            older_seconds: Only entries that are older than this.
        """
        return archive_journal(self._store, place_of(archive), older_seconds=older_seconds, by=self.by)
