"""Erase what the archived events of a key hold: each file that has any is written anew, and verified.

The new file and its manifest have names of their own. When both are there, the old manifest is removed, and then the
old file. A crash leaves the old ones in force as well, and the next run erases them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from bridge.archive.files import LINES, Manifest, manifests, read_lines, write_file
from bridge.archive.lines import ArchivedEvent, event_of, line_of
from bridge.archive.places import Place

ABANDONED_SECONDS = 86_400.0
PAYLOAD, HEADERS = '{"erased": true}', "{}"


def erase_in_archive(place: Place, key: str, *, log: str, pseudonym: str | None = None, dry_run: bool = False) -> int:
    """Erase the events of a key in every file of an archive, and return how many there were to be erased.

    Args:
        place: Where the archive is.
        key: The ordering key.
        log: The log's id.
        pseudonym: What replaces the key; None to keep it.
        dry_run: Only count.
    """
    found = 0
    for manifest in manifests(place, log=log):
        here = sum(_erased(event, pseudonym) != event for event in _of_key(place, manifest, key))
        if here and not dry_run:
            written = write_file(
                place,
                _lines(place, manifest, key, pseudonym),
                kind=manifest.kind,
                log=manifest.log,
                generation=manifest.generation,
            )
            if written is not None and written.file != manifest.file:
                place.remove(manifest.name)
                place.remove(manifest.file)
        found += here
    if not dry_run:
        _remove_unnamed(place, log=log)
    return found


def _of_key(place: Place, manifest: Manifest, key: str) -> Iterator[ArchivedEvent]:
    quoted = json.dumps(key, ensure_ascii=False)  # as line_of writes it
    for line in read_lines(place, manifest):
        if quoted in line and (event := event_of(line)).key == key:
            yield event


def _lines(place: Place, manifest: Manifest, key: str, pseudonym: str | None) -> Iterator[tuple[int, str]]:
    for line in read_lines(place, manifest):
        event = event_of(line)
        yield event.offset, line_of(_erased(event, pseudonym)) if event.key == key else line


def _erased(event: ArchivedEvent, pseudonym: str | None) -> ArchivedEvent:
    return event._replace(payload_json=PAYLOAD, headers_json=HEADERS, key=pseudonym or event.key)


def _remove_unnamed(place: Place, *, log: str) -> None:
    """Remove files that no manifest names: what an interrupted run has left may hold what was to be erased.

    One that is young may be of a run that is under way, whose manifest is still to come.
    """
    named = {manifest.file for manifest in manifests(place, log=log)}
    for name in place.names():
        if name.endswith(LINES) and name not in named and place.age_seconds(name) > ABANDONED_SECONDS:
            place.remove(name)
