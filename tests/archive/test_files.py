"""The files of an archive: what is written is what is read, and what is not whole is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.archive import zstd
from bridge.archive.erase import erase_in_archive
from bridge.archive.events import archive_events, archived_events
from bridge.archive.files import manifests
from bridge.archive.lines import ArchiveDamaged, ArchivedEvent, event_of, line_of
from bridge.archive.places import Directory, Named, place_of, without_password
from bridge.errors import ArchiveUnavailable, NotInstalled, UsageError

LOG = "0b1c6f3e-0000-4000-8000-000000000001"
AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def event(offset: int, **fields: Any) -> ArchivedEvent:
    whole = {
        "offset": offset,
        "generation": 1,
        "topic": "order.created",
        "key": "k",
        "payload_json": '{"n": 1}',
        "headers_json": "{}",
        "created_at": AT,
    }
    return ArchivedEvent(**{**whole, **fields})


def archive(place: Any, *offsets: int, **fields: Any) -> None:
    archive_events(place, [event(offset, **fields) for offset in offsets], log=LOG, generation=1)


def read(place: Any, **bounds: Any) -> list[int]:
    return [found.offset for found in archived_events(place, log=LOG, **bounds)]


@pytest.fixture(params=["directory", "file://", "memory://"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory://":
        return place_of(f"memory://{tmp_path}")
    return place_of(str(tmp_path / "archive") if request.param == "directory" else f"file://{tmp_path}/archive")


@pytest.mark.parametrize(
    "fields",
    [
        {"payload_json": '{"n": 1' + "0" * 6000 + "}"},  # more digits than Python reads
        {"payload_json": "[" * 3000 + "]" * 3000},
        {"payload_json": '{"a": ", \\"payload\\": "}', "headers_json": '{"payload": 1, "headers": {}}'},
        {"key": '", "headers": {}, "payload": "', "topic": "é✓"},
        {"key": None, "payload_json": '"\u2028\x85 \\n"'},
    ],
)
def test_an_event_is_the_same_after_a_round_trip_whatever_it_holds(place: Any, fields: dict[str, Any]) -> None:
    archive(place, 1, **fields)
    assert list(archived_events(place, log=LOG)) == [event(1, **fields)]
    assert event_of(line_of(event(1, **fields))) == event(1, **fields)


def test_a_manifest_says_what_is_in_its_file(place: Any) -> None:
    archive(place, 3, 5, 9)
    [manifest] = manifests(place, log=LOG)
    assert (manifest.first, manifest.last, manifest.count, manifest.log) == (3, 9, 3, LOG)
    assert len(place.names()) == 2


def test_files_that_overlap_are_read_in_the_order_of_the_log_and_each_event_once(place: Any) -> None:
    archive(place, 1, 2, 4, 6)
    archive(place, 5)
    archive(place, 4, 6, 7)
    archive(place, 3)
    archive(place, 10, 11)
    assert read(place) == [1, 2, 3, 4, 5, 6, 7, 10, 11]
    assert read(place, after=3, upto=10) == [4, 5, 6, 7, 10]
    assert read(place, after=11) == []


def test_g1_another_content_of_the_same_range_takes_nothing_s_place(place: Any) -> None:
    archive(place, 1, 2, 3)
    archive(place, 1, 3)
    assert read(place) == [1, 2, 3]
    assert erase_in_archive(place, "k", log=LOG) == 5
    assert {event.payload_json for event in archived_events(place, log=LOG)} == {'{"erased": true}'}
    assert read(place) == [1, 2, 3]


def test_an_empty_range_and_an_archive_that_is_not_there_are_no_error(place: Any) -> None:
    assert read(place) == []
    assert archive_events(place, [], log=LOG, generation=1) is None
    assert place.names() == []


def test_an_archive_of_another_log_is_refused(place: Any) -> None:
    archive(place, 1)
    with pytest.raises(UsageError, match="is of log"):
        list(archived_events(place, log="another"))


class Dying(Directory):
    """A directory whose process dies when it has written so many bytes, or files."""

    def __init__(self, path: Path, *, files: int) -> None:
        super().__init__(path)
        self._files = files

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        if self._files == 0:
            self._path.mkdir(exist_ok=True)
            (self._path / f".{name}.unfinished").write_bytes(b"".join(pieces)[:10])
            raise KeyboardInterrupt
        self._files -= 1
        super().write(name, pieces)


@pytest.mark.parametrize("files", [0, 1])
def test_a_run_that_is_interrupted_leaves_no_file_that_counts_and_the_next_goes_on(tmp_path: Path, files: int) -> None:
    archive(place_of(str(tmp_path)), 1)
    with pytest.raises(KeyboardInterrupt):
        archive(Dying(tmp_path, files=files), 2, 3)
    place = place_of(str(tmp_path))
    assert read(place) == [1]
    archive(place, 2, 3)
    assert read(place) == [1, 2, 3]


def test_what_is_read_back_differently_gets_no_manifest(tmp_path: Path) -> None:
    class Lying(Directory):
        def write(self, name: str, pieces: Iterable[bytes]) -> None:
            super().write(name, [b"".join(pieces)[:-3], b"xyz"])

    with pytest.raises(ArchiveDamaged, match="not as it was written"):
        archive(Lying(tmp_path), 1, 2)
    assert read(place_of(str(tmp_path))) == []


def test_a_file_that_was_cut_off_later_is_said_and_not_read_as_shorter(tmp_path: Path) -> None:
    place = place_of(str(tmp_path))
    archive(place, *range(1, 2000))
    [file] = [path for path in tmp_path.iterdir() if path.name.endswith(".zst")]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArchiveDamaged):
        read(place)
    file.unlink()
    with pytest.raises(ArchiveDamaged):
        read(place)


def test_a_key_is_erased_in_every_file_that_has_it_and_no_other_file_is_touched(place: Any) -> None:
    archive(place, 1, 2)
    archive(place, 3, key="other", payload_json='{"about": "k"}')
    archive(place, 4, key="k2")
    untouched = [name for name in place.names() if "000000000003-" in name or "000000000004-" in name]
    assert erase_in_archive(place, "k", log=LOG, dry_run=True) == 2
    assert next(archived_events(place, log=LOG)).payload_json == '{"n": 1}'
    assert erase_in_archive(place, "k", log=LOG, pseudonym="erased-1") == 2
    found = {event.offset: event for event in archived_events(place, log=LOG)}
    assert found[1] == event(1, payload_json='{"erased": true}', key="erased-1")
    assert found[3].payload_json == '{"about": "k"}'
    assert found[4] == event(4, key="k2")
    assert set(untouched) <= set(place.names())
    assert len(place.names()) == 6, "the old file is gone"
    assert erase_in_archive(place, "k", log=LOG) == 0


@pytest.mark.parametrize("files", [0, 1])
def test_what_an_interrupted_run_has_left_of_a_key_is_removed_by_an_erasure(tmp_path: Path, files: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        archive(Dying(tmp_path, files=files), 1)
    place = place_of(str(tmp_path))
    erase_in_archive(place, "other", log=LOG)
    assert len(place.names()) == files, "it may be of a run that is under way, and has nothing of that key"
    erase_in_archive(place, "k", log=LOG)
    assert list(tmp_path.iterdir()) == [], "what was never finished too"


def test_a_file_without_a_manifest_goes_an_hour_later_whatever_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "events-x.jsonl.zst").write_bytes(b"nothing that can be read")
    place = place_of(str(tmp_path))
    erase_in_archive(place, "k", log=LOG)
    assert len(place.names()) == 1
    os.utime(tmp_path / "events-x.jsonl.zst", (0, 0))
    erase_in_archive(place, "k", log=LOG)
    assert place.names() == []


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(zstd, "import_module", missing)
    with pytest.raises(NotInstalled, match=r"celery-event-bridge\[archive\]"):
        archive(place_of(str(tmp_path)), 1)
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(NotInstalled, match=r"celery-event-bridge\[archive\]"):
        place_of("s3://bucket/events")
    with pytest.raises(UsageError):
        place_of("")


def test_a_url_whose_package_is_missing_or_that_is_none_is_said() -> None:
    with pytest.raises((NotInstalled, UsageError), match="the archive"):
        place_of("nonsense://x")


def test_the_lines_are_json_that_any_program_reads() -> None:
    assert json.loads(line_of(event(1)))["payload"] == {"n": 1}


class Refusing(Directory):
    """A place that fails in one way, with an error of the kind that packages for object stores raise."""

    def __init__(self, path: Path, *, at: str) -> None:
        super().__init__(path)
        self._at = at

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name == self._at:
            raise RuntimeError("EndpointConnectionError: no route")
        return super().__getattribute__(name)


@pytest.mark.parametrize("at", ["write", "open", "names", "age_seconds", "remove"])
def test_whatever_a_place_raises_becomes_one_line_that_names_the_archive(tmp_path: Path, at: str) -> None:
    place = Named(Refusing(tmp_path, at=at), "s3://bucket/events")
    asked = {"write": ("x", [b""]), "open": ("x",), "names": (), "age_seconds": ("x",), "remove": ("x",)}[at]
    with pytest.raises(ArchiveUnavailable, match=r"archive s3://bucket/events.*: RuntimeError: .*no route"):
        getattr(place, at)(*asked)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": 1}', '{"format": "1"}', b"\xff\xfe", "MANY", "PATH", "NUMBER"]
)
def test_a_manifest_that_was_damaged_is_named_and_nothing_is_read_past_it(tmp_path: Path, text: str | bytes) -> None:
    place = place_of(str(tmp_path))
    archive(place, 1, 2)
    [manifest] = tmp_path.glob("*.manifest.json")
    said = json.loads(manifest.read_text())
    broken = {
        "MANY": {**said, "more": 1},
        "PATH": {**said, "file": "../x.jsonl.zst"},
        "NUMBER": {**said, "first": "1"},
    }
    if isinstance(text, str):
        text = (json.dumps(broken[text]) if text in broken else text).encode()
    manifest.write_bytes(text)
    with pytest.raises(ArchiveDamaged, match=r"events-.*manifest.json is not as it was written"):
        read(place)


def test_a_place_that_is_a_file_and_one_whose_reading_fails_half_way_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveUnavailable, match="can't be listed: NotADirectoryError"):
        read(place_of(str(tmp_path / "file")))
    archive(place_of(str(tmp_path)), 1, 2)
    [lines] = tmp_path.glob("*.zst")
    lines.unlink()
    lines.mkdir()
    with pytest.raises(ArchiveUnavailable, match="can't be read"):
        read(place_of(str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/events", "s3://bucket/events"),
        ("ftp://user:secret@host/events", "ftp://user:***@host/events"),
        ("sftp://user:se/cr@et@host:22/a", "sftp://user:***@host:22/a"),
        ("https://:secret@host", "https://:***@host"),
        ("/a/plain:directory@here", "/a/plain:directory@here"),
        ("s3://bucket/a@b:c", "s3://bucket/a@b:c"),
    ],
)
def test_no_message_about_an_archive_shows_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_a_place_whose_password_is_in_its_url_is_named_without_it() -> None:
    with pytest.raises((NotInstalled, UsageError), match="the archive") as refused:
        place_of("nonsense://user:secret@host/x")
    assert "secret" not in str(refused.value)
