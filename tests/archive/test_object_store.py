"""An archive on an object store: G1, nothing is removed from the log that does not lie there; trouble is one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.archive import places
from bridge.archive.places import place_of
from bridge.operate.audit import audit
from bridge.retention import prune as module
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from bridge.store import Store as Log
from tests.archive.stores import BUCKET, Store, store
from tests.command.running import Run, done, refused, runner
from tests.support.pruning import left
from tests.support.world import World, offsets

PLACE = f"s3://{BUCKET}/old events/größer ✓ [a]*"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with store(monkeypatch) as it:
        yield it
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def run(database: str) -> Run:
    return runner(database)


@pytest.fixture
def log(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A log of eight events that client `c` has finished; three go into each file."""
    monkeypatch.setattr(module, "ARCHIVED_EVENTS", 3)
    for n in range(8):
        bridge.publish(world.eyes, "order.created", {"n": n}, key=f"k{n % 3}")
    world.client("c", ordering="none")
    world.succeed(*world.hand_over())
    return world


def test_what_is_pruned_lies_there_and_is_shown_replayed_erased_and_audited(s3: Store, run: Run, log: World) -> None:
    assert "7 events removed" in done(run("prune", "--keep", "1", "--archive", PLACE))
    assert left(log) == [8]
    assert len(s3.objects("old events/größer ✓ [a]*/")) == 6, "three files, and a manifest for each"
    shown = done(run("tail", "--from", "beginning", "--archive", PLACE))
    assert [n for n in range(8) if f'"n": {n}' in shown] == list(range(8))
    assert "7 events" in done(run("replay", "c", "--from", "1", "--to", "7", "--archive", PLACE))
    again: list[int] = []
    while handed := log.hand_over():
        log.succeed(*handed)
        again += offsets(handed)
    assert sorted(again) == [1, 2, 3, 4, 5, 6, 7]
    assert audit(log.store, "c").contradictions == ()
    done(run("erase", "--key", "k0", "--archive", PLACE, "--yes"))
    shown = done(run("tail", "--from", "beginning", "--archive", PLACE))
    assert '"erased": true' in shown and '"n": 1' in shown and '"n": 3' not in shown
    assert len(s3.objects("old events/größer ✓ [a]*/")) == 6, "the old files are gone"


def test_files_of_a_place_whose_name_is_a_pattern_are_not_those_of_another_place(s3: Store) -> None:
    for name in ("a*", "ab"):
        place_of(f"s3://{BUCKET}/{name}").write("file", [b"x"])
    place_of(f"s3://{BUCKET}/a*").remove("file")
    place_of(f"s3://{BUCKET}/a*").remove("file")
    assert s3.objects() == ["ab/file"]


def test_g1_a_store_that_goes_away_half_way_keeps_what_it_has_and_the_log_keeps_the_rest(
    s3: Store, run: Run, log: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, times = places.Remote.write, iter(range(100))

    def cut_off(self: places.Remote, name: str, pieces: Any) -> None:
        if next(times) == 2:  # the first range has its file and its manifest
            s3.link.close()
        write(self, name, pieces)

    monkeypatch.setattr(places.Remote, "write", cut_off)
    said = refused(run("prune", "--keep", "0", "--archive", PLACE))
    assert "events from 4 on stay in the log" in said and PLACE in said
    assert left(log) == [4, 5, 6, 7, 8]
    assert len(s3.objects()) == 2
    said = refused(run("tail", "--from", "beginning", "--archive", PLACE))
    assert "can't be listed" in said
    monkeypatch.setattr(places.Remote, "write", write)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3.port}")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    done(run("prune", "--keep", "0", "--archive", PLACE))
    assert (left(log), len(s3.objects())) == ([], 6)


@pytest.mark.parametrize("damage", ["cut off", "other bytes", "gone", "manifest"])
def test_g1_a_damaged_object_is_named_and_nothing_is_read_past_it(s3: Store, run: Run, log: World, damage: str) -> None:
    done(run("prune", "--keep", "5", "--archive", PLACE))
    assert left(log) == [4, 5, 6, 7, 8]
    name = next(it for it in s3.objects() if it.endswith("json" if damage == "manifest" else "zst"))
    body = s3.get(name)
    if damage == "gone":
        s3.client.delete_object(Bucket=BUCKET, Key=name)
    else:
        s3.put(name, body[:-9] if damage == "cut off" else body[:9] + b"?" * (len(body) - 9))
    for command in (("tail", "--from", "beginning"), ("replay", "c", "--from", "1")):
        said = refused(run(*command, "--archive", PLACE))
        assert "events-0000000000000000001" in said
    assert left(log) == [4, 5, 6, 7, 8], "a replay that can't read all puts nothing back"


def test_a_bucket_that_is_not_there_is_said_by_every_command(s3: Store, run: Run, log: World) -> None:
    there_is_none = "s3://our-evnets/old"
    done(run("prune", "--keep", "5", "--archive", PLACE))
    for command in (("prune", "--keep", "0"), ("tail", "--from", "beginning"), ("replay", "c", "--from", "1")):
        said = refused(run(*command, "--archive", there_is_none))
        assert there_is_none in said, said
    assert left(log) == [4, 5, 6, 7, 8]
    assert '"n": 7' in done(run("tail", "--from", "beginning", "--archive", f"s3://{BUCKET}/nothing yet"))


@pytest.mark.parametrize("wrong", ["key", "secret", "none"])
def test_wrong_credentials_are_one_line_that_shows_none_of_them(
    *, s3: Store, run: Run, log: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    done(run("prune", "--keep", "5", "--archive", PLACE))
    key, secret = ("AKIAWRONGWRONGWRONG1", s3.secret) if wrong == "key" else (s3.key, "wr0ng/secret+that/is/long")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if wrong == "none":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    for command in (("prune", "--keep", "0"), ("tail", "--from", "beginning")):
        said = refused(run(*command, "--archive", PLACE))
        assert PLACE in said
        assert not [it for it in (key, secret, s3.secret) if it in said], said
    assert left(log) == [4, 5, 6, 7, 8]


def test_g1_two_pruners_at_once_leave_an_archive_with_each_event_once(
    s3: Store, run: Run, log: World, database: str
) -> None:
    def one(_: int) -> None:
        its = Log(database)
        prune(its, before=None, keep=0, first=archiver(its, place_of(PLACE)))
        its.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(one, range(2)))
    assert left(log) == []
    shown = done(run("tail", "--from", "beginning", "--archive", PLACE))
    assert [shown.count(f'"n": {n}') for n in range(8)] == [1] * 8


def test_a_store_s_package_that_is_missing_is_refused(run: Run, log: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = vars(sys.modules["fsspec.registry"])["_registry"]  # what it has imported before
    monkeypatch.delitem(known, "s3", raising=False)
    said = refused(run("prune", "--keep", "0", "--archive", PLACE))
    assert "s3fs" in said
    assert left(log) == list(range(1, 9))
