"""Archive what is pruned: a range is written, synced, read back and compared before any of its events is removed."""

from __future__ import annotations

from collections.abc import Callable

from bridge.archive.events import archive_events
from bridge.archive.places import Place
from bridge.errors import ArchiveUnavailable
from bridge.retention.prune import FreeRange
from bridge.store import Store
from bridge.store.archive import archivable_events, log_identity


def archiver(store: Store, place: Place) -> Callable[[FreeRange], None]:
    """Return what `prune` is to do first with each range: write it into a file of an archive.

    What is archived and not removed, because the run was interrupted, is archived again by the next; readers of the
    archive get it once.
    """

    def archive(found: FreeRange) -> None:
        log = log_identity(store)
        try:
            archive_events(place, archivable_events(store, found.offsets), log=log.id, generation=log.generation)
        except ArchiveUnavailable as error:
            raise ArchiveUnavailable(f"{error}: events from {found.first} on stay in the log") from error

    return archive
