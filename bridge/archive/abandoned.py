"""What runs that died have left in an archive: it counts for nothing, takes space, and may hold what was erased.

A file without a manifest may also be of a run that is under way. That run looks at its file and at the log once more
when the manifest is written (`bridge.retention.archive`), so a file may go that holds what is erased in the log.
"""

from __future__ import annotations

import json

from bridge.archive.files import LINES, Manifest, manifests, unpacked_lines
from bridge.archive.lines import ArchiveDamaged, event_of
from bridge.archive.places import Place

ABANDONED_SECONDS = 3600.0  # a run that is under way writes for seconds


def remove_unfinished(place: Place) -> None:
    """Remove files that were never finished, an hour after they were begun."""
    for name in place.unfinished():
        if _is_old(place, name):
            place.remove(name)


def remove_abandoned(place: Place, *, log: str, key: str) -> None:
    """Remove what counts for nothing and may hold what the events of a key held: they are erased in the log by now.

    Args:
        place: Where the archive is.
        log: The log's id.
        key: The ordering key.
    """
    for name in place.unfinished():  # a run that is under way begins its file again
        place.remove(name)
    for name in unnamed(place, log=log):
        if _is_old(place, name) or _holds(place, name, key):
            place.remove(name)


def unnamed(place: Place, *, log: str) -> list[str]:
    """Return the files of events that no manifest names."""
    names = [name for name in place.names() if name.startswith("events-") and name.endswith(LINES)]
    named = {manifest.file for manifest in manifests(place, log=log)}
    return [name for name in names if name not in named]


def is_there(place: Place, manifest: Manifest) -> bool:
    """Tell whether the file of a manifest is there."""
    try:
        place.age_seconds(manifest.file)
    except FileNotFoundError:
        return False
    return True


def discard(place: Place, manifest: Manifest) -> None:
    """Remove a manifest, and then its file."""
    place.remove(manifest.name)
    place.remove(manifest.file)


def _is_old(place: Place, name: str) -> bool:
    try:
        return place.age_seconds(name) > ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _holds(place: Place, name: str, key: str) -> bool:
    """Tell whether a file has something of a key that is not erased; what can't be read has nothing."""
    quoted = json.dumps(key, ensure_ascii=False)
    try:
        return any(
            quoted in line and (event := event_of(line)).key == key and not event.is_erased
            for line in unpacked_lines(place, name)
        )
    except ArchiveDamaged:
        return False
