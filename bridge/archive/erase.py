"""Erase what the archived events of a key hold: each file that has any is written anew, and verified.

The new file and its manifest have names of their own, and only when they are there the old ones are removed. So a crash
leaves one of the two in force, or both, and then readers take what is erased. The next run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator

from bridge.archive.abandoned import discard, remove_abandoned
from bridge.archive.files import Manifest, manifests, read_lines, write_file
from bridge.archive.lines import ERASED_HEADERS, ERASED_PAYLOAD, ArchivedEvent, event_of, line_of
from bridge.archive.places import Place

Change = Callable[[ArchivedEvent], ArchivedEvent]


def erase_in_archive(place: Place, key: str, *, log: str, pseudonym: str | None = None, dry_run: bool = False) -> int:
    """Erase the events of a key in every file of an archive, and return how many there were to be erased.

    Args:
        place: Where the archive is.
        key: The ordering key.
        log: The log's id.
        pseudonym: What replaces the key; None to keep it.
        dry_run: Only count.
    """

    def change(event: ArchivedEvent) -> ArchivedEvent:
        return _erased(event, pseudonym) if event.key == key else event

    found = 0
    for manifest in manifests(place, log=log):
        here = sum(change(event) != event for event in _of_key(place, manifest, key))
        if here and not dry_run:
            _write_anew(place, manifest, change)
        found += here
    if not dry_run:
        remove_abandoned(place, log=log, key=key)
    return found


def erase_in_file(place: Place, manifest: Manifest, offsets: Container[int]) -> None:
    """Erase these events in one file of an archive."""
    _write_anew(place, manifest, lambda event: _erased(event, None) if event.offset in offsets else event)


def _write_anew(place: Place, manifest: Manifest, change: Change) -> None:
    """Write a file anew, and remove the old one: every event of it is in the new one."""
    lines = ((event.offset, line_of(change(event))) for event in map(event_of, read_lines(place, manifest)))
    written = write_file(place, lines, kind=manifest.kind, log=manifest.log, generation=manifest.generation)
    if written is not None and written.file != manifest.file:
        discard(place, manifest)


def _of_key(place: Place, manifest: Manifest, key: str) -> Iterator[ArchivedEvent]:
    quoted = json.dumps(key, ensure_ascii=False)  # as line_of writes it
    for line in read_lines(place, manifest):
        if quoted in line and (event := event_of(line)).key == key:
            yield event


def _erased(event: ArchivedEvent, pseudonym: str | None) -> ArchivedEvent:
    return event._replace(payload_json=ERASED_PAYLOAD, headers_json=ERASED_HEADERS, key=pseudonym or event.key)
