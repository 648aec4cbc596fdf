"""What is pruned is archived first, and is read, replayed and erased from there; G1: no event is removed unarchived."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery

import bridge
from bridge.archive.events import archived_events
from bridge.archive.files import manifests
from bridge.archive.places import Directory, Named, Place, place_of
from bridge.errors import Unavailable, UsageError
from bridge.model import Position
from bridge.operate.audit import audit
from bridge.operate.erase import erase
from bridge.operate.replay import Replay
from bridge.operate.replay_archived import replay_archived
from bridge.operate.tail import tail
from bridge.retention import prune as module
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from bridge.retention.regular import prune_regularly
from bridge.store.archive import log_identity
from bridge.store.events import Wanted
from tests.conftest import Connect
from tests.support.pruning import age, left
from tests.support.world import World, offsets

NUMBER = "1" + "0" * 5000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of(str(tmp_path / "archive"))


def finish(world: World, client: str = "c", **settings: Any) -> None:
    world.client(client, **{"ordering": "none"} | settings)
    while handed := world.hand_over(client):
        world.succeed(*handed)


def write(world: World, *keys: str | None) -> None:
    for key in keys:
        bridge.publish(world.eyes, "order.created", {"email": "bob"}, key=key, headers={"n": 1})


def archive(world: World, place: Place, *, keep: int = 0) -> None:
    prune(world.store, before=None, keep=keep, first=archiver(world.store, place))


def in_archive(world: World, place: Place) -> list[int]:
    log = log_identity(world.store)
    return [event.offset for event in archived_events(place, log=log.id, starts=log.starts)]


def replayed(world: World, place: Place, **places: Any) -> Replay:
    return replay_archived(world.store, "c", archive=place, per_second=1000, by="me", **places)


def test_g1_what_is_pruned_is_in_the_archive_as_it_was(world: World, place: Place) -> None:
    write(world, "a", None)
    world.eyes.execute(f"INSERT INTO fq.events (payload, topic) VALUES ('{{\"n\": {NUMBER}}}', 'é.x')".encode())
    write(world, "b")
    finish(world)
    columns = '"offset", topic, key, payload::text, headers::text, created_at'
    before = world.rows("events", columns)
    archive(world, place, keep=1)
    assert left(world) == [4]
    found = archived_events(place, log=log_identity(world.store).id)
    assert [(e.offset, e.topic, e.key, e.payload_json, e.headers_json, e.created_at) for e in found] == before[:3]
    [manifest] = manifests(place, log=log_identity(world.store).id)
    assert (manifest.generation, manifest.first, manifest.last, manifest.count) == (1, 1, 3, 3)


@pytest.mark.parametrize("files", [0, 1])
def test_g1_what_can_t_be_archived_stays_in_the_log_and_the_next_run_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    class Full(Directory):
        written = 0

        def write(self, name: str, pieces: Iterable[bytes]) -> None:
            if self.written == 2 + files:
                raise OSError("no space left on device")
            Full.written += 1
            super().write(name, pieces)

    monkeypatch.setattr(module, "ARCHIVED_EVENTS", 3)
    write(world, *[None] * 8)
    finish(world)
    with pytest.raises(Unavailable, match="no space"):
        archive(world, Named(Full(tmp_path), "x"))
    assert left(world) == [4, 5, 6, 7, 8], "the first file is whole"
    archive(world, place_of(str(tmp_path)))
    assert (left(world), in_archive(world, place_of(str(tmp_path)))) == ([], [1, 2, 3, 4, 5, 6, 7, 8])


def test_a_run_that_dies_between_archiving_and_removing_archives_again_and_each_is_read_once(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world, *[None] * 4)
    finish(world)
    with monkeypatch.context() as dying:
        dying.setattr(module, "remove_events", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            archive(world, place, keep=2)
    assert (left(world), in_archive(world, place)) == ([1, 2, 3, 4], [1, 2])
    archive(world, place)
    assert (left(world), in_archive(world, place)) == ([], [1, 2, 3, 4])


def test_tail_shows_archived_events_between_those_that_are_still_in_the_log(world: World, place: Place) -> None:
    world.client(max_attempts=1, ordering="none")
    write(world, *[None] * 3)
    first, second, third = world.hand_over()
    world.fail(second)
    world.succeed(first, third)
    write(world, "k", "k")
    finish(world)
    archive(world, place, keep=1)
    assert left(world) == [2, 5], "parked, and the newest"

    def shown(*, topics: tuple[str, ...] = ("#",), **options: Any) -> list[int]:
        asked: dict[str, Any] = {"start": Position(), "archive": place}
        return [event.offset for event in tail(world.store, Wanted(topics=topics), **asked | options)]

    assert shown() == [1, 2, 3, 4, 5]
    assert shown(archive=None) == [2, 5]
    assert shown(start=Position(offset=3), most=2) == [3, 4]
    assert shown(topics=("nothing.*",)) == []
    moment = world.ask('SELECT created_at FROM fq.events WHERE "offset" = 5')
    assert shown(start=Position(since=moment)) == [5]
    assert next(
        iter(tail(world.store, Wanted(topics=("order.*",), characters=3), start=Position(), archive=place))
    ) == next(event for event in tail(world.store, Wanted(characters=3), start=Position(offset=1), archive=place))


def test_a_replay_from_the_archive_hands_events_over_as_they_were_and_retries_and_parks_them(
    world: World, place: Place
) -> None:
    write(world, "a", "b", "a", None)
    finish(world, max_attempts=2)
    finish(world, "other")
    archive(world, place)
    assert left(world) == []
    before = [json.loads(d.body) for d in world.sent if d.client.id == "c"]
    begun = replayed(world, place, start=Position(offset=1), end=Position(offset=3))
    assert (begun.restored, begun.events, left(world)) == (3, 3, [1, 2, 3])
    handed = world.hand_over()
    again = [json.loads(delivery.body) for delivery in handed]
    same = ("offset", "topic", "key", "payload", "headers", "created_at")
    assert [[event[name] for name in same] for event in again] == [
        [event[name] for name in same] for event in before[:3]
    ]
    world.fail(handed[0])
    world.succeed(*handed[1:])
    world.make_due()
    [retried] = world.hand_over()
    assert json.loads(retried.body)["payload"] == {"email": "bob"}
    world.fail(retried)
    assert world.rows("parked") == [1]
    assert world.hand_over("other") == [], "only to the one client"
    assert world.ask("SELECT count(*) FROM fq.holds") == 0
    archive(world, place)
    assert left(world) == [1], "parked; the others are pruned again"
    assert in_archive(world, place) == [1, 2, 3, 4]
    assert bridge.publish(world.eyes, "a", {}) > 4


def test_g1_a_replay_of_some_topics_that_is_pruned_again_leaves_the_other_events_in_the_archive(
    world: World, place: Place
) -> None:
    for topic in ("a", "b", "a"):
        bridge.publish(world.eyes, topic, {})
    finish(world, topics=["a"])
    archive(world, place)
    assert replayed(world, place, start=Position(offset=1), end=Position(end=True), topics=["a"]).restored == 2
    world.succeed(*world.hand_over())
    archive(world, place)
    assert (left(world), in_archive(world, place)) == ([], [1, 2, 3])


def test_a_replay_since_a_moment_begins_at_the_archived_event_of_that_moment(world: World, place: Place) -> None:
    write(world, *[None] * 4)
    finish(world)
    moment = world.ask('SELECT created_at FROM fq.events WHERE "offset" = 3')
    archive(world, place)
    begun = replayed(world, place, start=Position(since=moment), end=Position(end=True))
    assert (begun.first, begun.restored) == (3, 2)
    assert offsets(world.hand_over()) == [3, 4]


def test_g10_only_what_was_pruned_is_put_back_and_only_by_who_may_erase(
    world: World, place: Place, connect: Connect
) -> None:
    write(world, "a", "a", "a")
    finish(world)
    archive(world, place, keep=1)
    forged = """INSERT INTO fq.events ("offset", topic) OVERRIDING SYSTEM VALUE VALUES (%s, 'forged')"""
    owner = connect()
    bridge.publish(owner, "a", {})
    for offset in (-1, 0, 100):
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(forged, [offset])
    publisher = connect()
    publisher.execute("CREATE ROLE forger")
    try:
        publisher.execute("GRANT USAGE ON SCHEMA fq TO forger; GRANT INSERT, SELECT ON fq.events TO forger")
        publisher.execute("SET ROLE forger")
        bridge.publish(publisher, "a", {})
        with pytest.raises(psycopg.errors.CheckViolation):
            publisher.execute(forged, [1])
    finally:
        publisher.execute("RESET ROLE")
        publisher.execute("DROP OWNED BY forger")
        publisher.execute("DROP ROLE forger")
    with pytest.raises(UsageError, match="has not finished"):
        replayed(world, place, start=Position(offset=100), end=Position(end=True))


def test_erase_reaches_into_the_archive_and_what_a_replay_puts_back_is_erased(world: World, place: Place) -> None:
    write(world, "customer-17", "other", "customer-17")
    finish(world)
    archive(world, place, keep=1)
    tried = erase(world.store, "customer-17", by="me", archive=place, dry_run=True)
    assert (tried.erased, tried.archived) == (1, 1)
    done = erase(world.store, "customer-17", by="me", archive=place, key_too=True)
    assert (done.erased, done.archived, done.keys_replaced) == (1, 1, 1)
    found = list(archived_events(place, log=log_identity(world.store).id))
    assert [event.key for event in found] == [done.pseudonym, "other"]
    assert "customer-17" not in str(found)
    replayed(world, place, start=Position(offset=1), end=Position(end=True))
    assert next(json.loads(d.body)["payload"] for d in world.hand_over()) == {"erased": True}


def test_g2_writers_and_a_pump_go_on_while_the_log_is_archived(world: World, place: Place, connect: Connect) -> None:
    world.client(ordering="none")
    writer = connect()

    def append() -> None:
        for _ in range(40):
            bridge.publish_many(writer, [("a", {"n": 1})] * 5)

    writing = threading.Thread(target=append)
    writing.start()
    while writing.is_alive() or world.cursor() < 200:
        world.succeed(*world.hand_over())
        archive(world, place, keep=10)
    writing.join()
    archive(world, place)
    assert in_archive(world, place) == list(range(1, 201))
    assert sorted(offsets(world.sent)) == list(range(1, 201)), "each once"


def test_g3_an_audit_adds_up_while_archived_events_are_back_in_the_log_and_when_they_are_gone_again(
    world: World, place: Place
) -> None:
    world.client(ordering="none")
    write(world, "a", None, "b")
    finish(world)
    finish(world, "later", topics=["other.#"])
    archive(world, place, keep=1)
    finish(world, "from-the-start")
    for _ in range(2):
        assert [audit(world.store, id).contradictions for id in ("c", "later", "from-the-start")] == [()] * 3
        assert replayed(world, place, start=Position(offset=1), end=Position(end=True)).restored == 2
        assert [audit(world.store, id).contradictions for id in ("c", "later", "from-the-start")] == [()] * 3
        while handed := world.hand_over():
            world.succeed(*handed)
        archive(world, place, keep=1)
        assert left(world) == [3]


def test_bridge_archive_is_where_beat_and_the_commands_archive(
    world: World, place: Place, database: str, tmp_path: Path
) -> None:
    write(world, None, None, None)
    age(world)
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.bridge_database_url = database
    app.conf.bridge_archive = str(tmp_path / "archive")
    prune_regularly(world.store, keep="30d", limit="", archive=app.conf.bridge_archive)
    assert (left(world), in_archive(world, place)) == ([], [1, 2, 3])
    write(world, None, None)
    with bridge.Operator(app, by="me") as operator:
        assert operator.prune(keep=1).events == 1
        assert [event.offset for event in operator.tail(start="beginning")] == [1, 2, 3, 4, 5]
        assert operator.prune(keep=0, archive=str(tmp_path / "other")).events == 1
    assert (in_archive(world, place), in_archive(world, place_of(str(tmp_path / "other")))) == ([1, 2, 3, 4], [5])
