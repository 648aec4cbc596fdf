"""Files of an archive that have the same range: none takes the place of another, and each event is the log's own."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.archive.erase import erase_in_archive
from bridge.archive.events import archive_events, archived_events
from bridge.archive.files import manifests, write_file
from bridge.archive.places import Directory, place_of
from bridge.errors import ArchiveUnavailable
from tests.archive.test_files import LOG, archive, event, read


def generations(place: Any, *starts: int) -> list[tuple[int, str]]:
    return [(e.offset, e.payload_json) for e in archived_events(place, log=LOG, starts=starts)]


def test_g1_a_file_of_a_few_events_never_takes_the_place_of_one_with_all_between_them(tmp_path: Path) -> None:
    """A replay of some topics puts some events back, and they are archived again when they are pruned again."""
    place = place_of(str(tmp_path))
    archive(place, 1, 2, 3)
    archive(place, 1, 3)
    assert read(place) == [1, 2, 3]
    assert len(manifests(place, log=LOG)) == 2


def test_g6_of_an_offset_that_was_used_twice_the_archive_gives_the_event_that_the_log_had_last(tmp_path: Path) -> None:
    place = place_of(str(tmp_path))
    archive(place, 1, 2, 3, payload_json='"before"')
    again = [event(3, payload_json='"after"', generation=2), event(4, payload_json='"after"', generation=2)]
    archive_events(place, again, log=LOG, generation=2)
    archive(place, 4, payload_json='"lost"')
    assert generations(place, 0, 3) == [(1, '"before"'), (2, '"before"'), (3, '"after"'), (4, '"after"')]
    assert generations(place, 0, 3, 3) == [(1, '"before"'), (2, '"before"')], "a second restore has lost them too"
    assert len(manifests(place, log=LOG)) == 3, "and what was lost is still in the archive"


def test_an_erasure_that_dies_before_the_old_file_is_gone_leaves_what_is_erased_in_force(tmp_path: Path) -> None:
    class Dying(Directory):
        def remove(self, name: str) -> None:
            raise KeyboardInterrupt

    place = place_of(str(tmp_path))
    archive(place, 1, 2)
    with pytest.raises(KeyboardInterrupt):
        erase_in_archive(Dying(tmp_path), "k", log=LOG)
    assert len(manifests(place, log=LOG)) == 2
    assert {e.payload_json for e in archived_events(place, log=LOG)} == {'{"erased": true}'}
    erase_in_archive(place, "k", log=LOG)
    [_] = manifests(place, log=LOG)
    assert b'"n"' not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(place.names()) == 2


def test_an_erasure_leaves_the_files_of_the_journal_in_the_same_archive_alone(tmp_path: Path) -> None:
    place = place_of(str(tmp_path))
    write_file(place, [(1, "{}")], kind="journal", log=LOG, generation=1)
    archive(place, 1)
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    erase_in_archive(place, "k", log=LOG)
    assert [name.partition("-")[0] for name in place.names()] == ["events"] * 2 + ["journal"] * 2


def test_a_full_disk_keeps_nothing_of_what_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveUnavailable, match="no space"):
        archive(place_of(str(tmp_path)), 1)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_that_write_the_same_file_both_finish_it(tmp_path: Path) -> None:
    place, failed = place_of(str(tmp_path)), list[BaseException]()

    def write() -> None:
        try:
            for _ in range(30):
                archive(place, *range(1, 50))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert read(place) == list(range(1, 50))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_removed_while_it_is_written_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, sync = Directory(tmp_path), os.fsync
    left = [1, 2, 3]

    def removing(file: int) -> None:
        sync(file)
        for name in place.unfinished() if left and left.pop() else ():
            (tmp_path / name).unlink()

    monkeypatch.setattr(os, "fsync", removing)
    place.write("events-1", [b"x"])
    assert (left, place.names(), place.unfinished()) == ([], ["events-1"], [])
