"""G1, G7: no event is removed that somebody still needs, whoever deletes it, also by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from bridge.errors import UsageError
from bridge.model import Position
from bridge.operate.lifecycle import pause
from bridge.operate.parked import choose, redrive
from bridge.operate.replay import replay
from bridge.operate.seek import seek
from tests.conftest import Connect
from tests.support.pruning import left
from tests.support.waiting import wait_until
from tests.support.world import World

BY = "me@here"


def delete(world: World, where: str = "true") -> None:
    """Delete events by hand, as an operator would."""
    world.eyes.execute(f"DELETE FROM fq.events WHERE {where}".encode())


def finish(world: World, *fates: bool, client: str = "c") -> None:
    """Register a client that has finished one event for each fate: true for success, false for one that is parked."""
    world.client(client, max_attempts=1, ordering="none")
    for delivery, succeeds in zip(world.hand_over(client), fates, strict=True):
        (world.succeed if succeeds else world.fail)(delivery)


def pruned(world: World) -> int:
    return int(world.eyes.execute("SELECT pruned FROM fq.log").fetchone()[0])  # type: ignore[index]


def test_g1_what_a_client_has_not_finished_is_not_deleted_and_the_client_is_named(world: World) -> None:
    world.publish(*"abcd")
    finish(world, True, True, True, True)
    world.client("slow", start="0")
    pause(world.store, "slow", reason="", by=BY)
    with pytest.raises(psycopg.Error, match='event 2 is not done for client "slow"') as refused:
        delete(world, '"offset" IN (2, 3)')
    assert refused.value.sqlstate == "FQ001"
    assert (left(world), pruned(world)) == ([1, 2, 3, 4], -1)
    world.eyes.execute("DELETE FROM fq.clients WHERE id = 'slow'")
    delete(world, '"offset" IN (2, 3)')
    assert (left(world), pruned(world)) == ([1, 4], 3)
    delete(world, '"offset" = 1')
    assert pruned(world) == 3


def test_g1_a_plain_sql_reader_keeps_what_it_has_not_committed(world: World) -> None:
    world.publish(*"ab")
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    with pytest.raises(psycopg.Error, match='event 2 is not done for client "reader"'):
        delete(world)
    delete(world, '"offset" = 1')


def test_g7_a_parked_event_is_not_deleted_and_can_be_redriven(world: World) -> None:
    world.publish(*"abc")
    finish(world, True, False, True)
    assert world.cursor() == 3
    with pytest.raises(psycopg.Error, match='event 2 is parked for client "c"'):
        delete(world)
    delete(world, '"offset" <> 2')
    redrive(world.store, "c", choose("c", everything=True), by=BY)
    [delivery] = world.hand_over()
    with pytest.raises(psycopg.Error, match='event 2 is open for client "c"'):
        delete(world)
    world.succeed(delivery)
    delete(world)
    assert left(world) == []


def test_g1_what_a_replay_still_has_before_it_or_aside_is_not_deleted(world: World) -> None:
    world.publish(*"aabbc")
    finish(world, *[True] * 5)
    world.client("c", ordering="key", window=2)
    replay(world.store, "c", start=Position.parse("2"), end=Position.parse("4"), per_second=1000, by=BY)
    delete(world, '"offset" IN (1, 5)')
    for _ in range(20):
        with pytest.raises(psycopg.Error, match=r'event 4 is (in a replay to|open for) client "c"'):
            delete(world, '"offset" = 4')
        deliveries = world.hand_over()
        world.succeed(*deliveries)
        if [d.offset for d in deliveries][-1:] == [4]:
            break
    world.eyes.execute("DELETE FROM fq.replays")
    delete(world)
    assert left(world) == []


def test_g1_an_unexpired_hold_keeps_events_and_an_expired_one_does_not(world: World) -> None:
    world.publish(*"abc")
    hold = "INSERT INTO fq.holds (name, \"offset\", expires_at, by) VALUES ('backup', 2, now() + interval '1 h', 'me')"
    world.eyes.execute(hold)
    with pytest.raises(psycopg.Error, match='event 2 is held by "backup"'):
        delete(world)
    delete(world, '"offset" = 1')
    world.eyes.execute("UPDATE fq.holds SET expires_at = now()")
    delete(world)
    assert left(world) == []


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("move", ["seek", "replay"])
def test_g1_who_goes_back_while_events_are_deleted_either_keeps_them_or_is_told(
    world: World, connect: Connect, isolation: str, move: str
) -> None:
    world.publish(*"abc")
    finish(world, True, True, True)

    def go_back() -> object:
        if move == "seek":
            return seek(world.store, "c", to=Position.parse("0"), by=BY)
        return replay(world.store, "c", start=Position.parse("1"), end=Position.parse("3"), per_second=1, by=BY)

    with connect() as first:  # a DELETE that is not committed yet, and then somebody who goes back
        first.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode())
        first.execute('DELETE FROM fq.events WHERE "offset" = 1')
        with ThreadPoolExecutor(1) as pool:
            moving = pool.submit(go_back)
            wait_until(lambda: waiting(world) == 1, what="it waits for the DELETE")
            first.execute("COMMIT")
            told(moving.result)
    world.eyes.execute("DELETE FROM fq.replays")
    seek(world.store, "c", to=Position.parse("end"), by=BY)
    with connect() as second:  # and the other way round
        second.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode())
        second.execute("SELECT count(*) FROM fq.events")
        told(go_back)
        with pytest.raises(psycopg.Error, match=r"event 2 is|could not serialize"):
            second.execute('DELETE FROM fq.events WHERE "offset" = 2')
    assert left(world) == [2, 3]


def waiting(world: World) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return int(world.eyes.execute(query).fetchone()[0])  # type: ignore[index]


def told(move: Callable[[], object]) -> None:
    """See that whoever goes back to where events are gone is told so."""
    assert getattr(move(), "pruned", None) == 1


def test_a_delete_of_nothing_and_one_of_many_are_looked_at_once(world: World) -> None:
    world.eyes.execute("INSERT INTO fq.events (topic) SELECT 'a.b' FROM generate_series(1, 5000)")
    delete(world, "false")
    assert pruned(world) == -1
    plan = world.eyes.execute("EXPLAIN (ANALYZE, COSTS OFF) DELETE FROM fq.events").fetchall()
    assert [line for (line,) in plan if "events_kept" in line and "calls=1" in line]
    assert pruned(world) == 5000


def test_a_cursor_at_the_end_of_all_numbers_stops_nobody(world: World) -> None:
    world.publish("a")
    world.eyes.execute("INSERT INTO fq.clients (id, \"offset\") VALUES ('odd', 9223372036854775807)")
    delete(world)
    assert left(world) == []
    with pytest.raises(UsageError):
        replay(world.store, "c", start=Position.parse("1"), end=Position.parse("2"), per_second=1, by=BY)
