"""Archive what is pruned: a range is written, synced, read back and compared before any of its events is removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bridge.archive.abandoned import is_there, remove_unfinished
from bridge.archive.erase import erase_in_file
from bridge.archive.events import archive_events
from bridge.archive.lines import ArchiveDamaged, ArchivedEvent
from bridge.archive.places import Place
from bridge.errors import ArchiveUnavailable
from bridge.retention.prune import FreeRange
from bridge.store import Store
from bridge.store.archive import archivable_events, erased_offsets, log_identity

MOST_TRIES = 10


def archiver(store: Store, place: Place) -> Callable[[FreeRange], None]:
    """Return what `prune` is to do first with each range: write it into a file of an archive.

    What is archived and not removed, because the run was interrupted, is archived again by the next; readers of the
    archive get it once. An erasure erases the log first and then the archive. So when the manifest is written, the log
    is looked at again: what was erased meanwhile is written anew, or the erasure has yet to come to the archive.
    """
    swept = False

    def archive(found: FreeRange) -> None:
        nonlocal swept
        try:
            if not swept:
                remove_unfinished(place)
                swept = True
            _archive(store, place, found)
        except ArchiveUnavailable as error:
            raise ArchiveUnavailable(f"{error}: events from {found.first} on stay in the log") from error

    return archive


def _archive(store: Store, place: Place, found: FreeRange) -> None:
    """Archive a range, again where an erasure has come in between."""
    for _ in range(MOST_TRIES):
        try:
            if _archived(store, place, found):
                return
        except FileNotFoundError:
            continue
        except ArchiveDamaged as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    raise ArchiveUnavailable("its events are erased again and again")


def _archived(store: Store, place: Place, found: FreeRange) -> bool:
    """Archive a range, and tell whether that stands: no erasure has removed the file, or erased any of its events."""
    log, erased = log_identity(store), set[int]()
    events = _noting(archivable_events(store, found.offsets), erased)
    manifest = archive_events(place, events, log=log.id, generation=log.generation)
    if manifest is None:
        return True
    if not is_there(place, manifest):
        place.remove(manifest.name)
        return False
    since = erased_offsets(store, found.offsets) - erased
    if since:
        erase_in_file(place, manifest, since)
    return not since


def _noting(events: Iterable[ArchivedEvent], erased: set[int]) -> Iterator[ArchivedEvent]:
    """Yield events, and note which of them are erased."""
    for event in events:
        if event.is_erased:
            erased.add(event.offset)
        yield event
