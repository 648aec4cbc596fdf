"""Archives, erasures and replays at the same time: nothing is lost, and nothing comes back that was erased."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.archive.erase import erase_in_archive
from bridge.archive.files import manifests, unpacked_lines
from bridge.archive.places import Directory, Place, place_of
from bridge.model import Position
from bridge.operate.audit import audit
from bridge.operate.erase import erase
from bridge.operate.tail import tail
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from bridge.store.archive import log_identity, restore_events
from bridge.store.events import Wanted
from tests.retention.test_archive import archive, finish, in_archive, replayed, write
from tests.support.pruning import left
from tests.support.world import World


class Meeting(Directory):
    """A directory where something happens just before a file with this in its name is written, once."""

    def __init__(self, path: Path, then: Callable[[], object], *, at: str) -> None:
        super().__init__(path)
        self._then, self._at = then, at

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        if self._at in name:
            self._at = "never again"
            self._then()
        super().write(name, pieces)


def whole(path: Path) -> list[str]:
    """Read every line of an archive as any program would, whatever the manifests say."""
    place = place_of(str(path))
    return [line for name in place.names() if name.endswith(".zst") for line in unpacked_lines(place, name)]


@pytest.mark.parametrize("at", [".jsonl.zst", ".manifest.json"])
def test_g1_an_event_that_is_erased_while_it_is_archived_is_erased_in_the_archive(
    world: World, tmp_path: Path, at: str
) -> None:
    write(world, "customer-17", "other", "customer-17")
    finish(world)

    def erasing() -> None:
        erase(world.store, "customer-17", by="me", archive=place_of(str(tmp_path)))

    meeting = Meeting(tmp_path, erasing, at=at)
    prune(world.store, before=None, keep=0, first=archiver(world.store, meeting))
    assert left(world) == []
    found = whole(tmp_path)
    assert len(found) == 3
    assert ["bob" in line for line in found] == [False, True, False]
    assert in_archive(world, place_of(str(tmp_path))) == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_put_back_while_it_is_erased_in_the_archive_is_erased_in_the_log(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world, "customer-17", "other")
    finish(world)
    place = place_of(str(tmp_path))
    archive(world, place)

    def late(*args: Any) -> int:
        erase(world.store, "customer-17", by="me", archive=place)
        return restore_events(*args)

    monkeypatch.setattr("bridge.operate.archived.restore_events", late)
    replayed(world, place, start=Position(offset=1), end=Position(end=True))
    assert world.rows("events", "payload") == [{"erased": True}, {"email": "bob"}]


def test_what_is_put_back_before_the_archive_is_erased_is_erased_in_the_log(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world, "customer-17", "other")
    finish(world)
    place = place_of(str(tmp_path))
    archive(world, place)

    def late(*args: Any, **options: Any) -> int:
        replayed(world, place, start=Position(offset=1), end=Position(end=True))
        return erase_in_archive(*args, **options)

    monkeypatch.setattr("bridge.operate.erase.erase_in_archive", late)
    erase(world.store, "customer-17", by="me", archive=place)
    assert world.rows("events", "payload") == [{"erased": True}, {"email": "bob"}]


def test_g1_a_replay_of_some_topics_from_the_archive_takes_nothing_from_the_archive(
    world: World, tmp_path: Path
) -> None:
    for topic in ("a.x", "b.x", "a.x"):
        bridge.publish(world.eyes, topic, {})
    finish(world)
    place = place_of(str(tmp_path))
    archive(world, place)
    replayed(world, place, start=Position(offset=1), end=Position(end=True), topics=["a.#"])
    assert left(world) == [1, 3]
    while handed := world.hand_over():
        world.succeed(*handed)
    archive(world, place)
    assert (left(world), in_archive(world, place)) == ([], [1, 2, 3])


def test_g6_after_a_restore_the_archive_gives_the_events_that_the_log_had_last(world: World, tmp_path: Path) -> None:
    """The worst case: a restore took events away that were pruned and archived, and nobody knew their offsets."""
    write(world, None, None, None)
    finish(world)
    place = place_of(str(tmp_path))
    archive(world, place)
    assert in_archive(world, place) == [1, 2, 3]
    world.eyes.execute("SELECT setval('fq.events_offset_seq', 1)")
    world.eyes.execute("UPDATE fq.log SET starts = '{0,2}', pruned = 1")
    world.eyes.execute("UPDATE fq.horizon SET \"offset\" = 1, steps = '[]'")
    world.eyes.execute('UPDATE fq.clients SET "offset" = 1, dispatched = 1, epoch = 5')
    assert in_archive(world, place) == [1], "the others are of a generation that the log has left"
    bridge.publish(world.eyes, "order.created", {"n": "new"})
    bridge.publish(world.eyes, "order.created", {"n": "new"})
    finish(world)
    archive(world, place)
    assert in_archive(world, place) == [1, 2, 3]
    shown = tail(world.store, Wanted(), start=Position(), archive=place)
    assert [event.payload_json for event in shown] == ['{"email": "bob"}', '{"n": "new"}', '{"n": "new"}']
    replayed(world, place, start=Position(offset=1), end=Position(end=True))
    assert world.rows("events", "payload")[1:] == [{"n": "new"}] * 2
    assert len(manifests(place, log=log_identity(world.store).id)) == 2, "what was lost is still there for people"


def test_two_pruners_with_one_archive_lose_nothing(world: World, tmp_path: Path) -> None:
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'order.created' FROM generate_series(1, 3000)")
    world.limit = 5000
    finish(world, window=5000)
    failed: list[BaseException] = []

    def pruning() -> None:
        try:
            prune(world.store, before=None, keep=0, first=archiver(world.store, place_of(str(tmp_path))))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=pruning) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    place: Place = place_of(str(tmp_path))
    assert (left(world), in_archive(world, place)) == ([], list(range(1, 3001)))
    assert audit(world.store, "c").contradictions == ()
