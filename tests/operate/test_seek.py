"""Moving a cursor: what is delivered again, what is passed over, and what outcomes from before still do (G3, G6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.errors import UnknownClient, UsageError
from bridge.model import Position
from bridge.operate.lifecycle import pause, resume
from bridge.operate.parked import redrive
from bridge.operate.replay import replay
from bridge.operate.seek import Sought, seek
from bridge.settle.settle import Settled
from bridge.store.parked import Selection
from bridge.store.rounds import clients_to_serve
from tests.support.world import World, offsets

NOTHING = Settled(ignored=1)


def do_seek(world: World, to: str, *, client: str = "c", dry_run: bool = False) -> Sought:
    return seek(world.store, client, to=Position.parse(to), by="me@here", dry_run=dry_run)


def journal_of(world: World) -> list[tuple[Any, ...]]:
    return world.eyes.execute(
        "SELECT client_id, action, by, details FROM fq.journal WHERE action NOT IN ('register', 'change') ORDER BY id"
    ).fetchall()


def test_seeking_back_delivers_again_as_a_new_epoch(world: World) -> None:
    world.client()
    world.publish("a", None, "b")
    world.succeed(*world.hand_over())
    assert do_seek(world, "1") == Sought(before=3, offset=1, again=2, passed_over=0, exact=True, moved=True)
    assert (world.cursor(), world.row()["dispatched"]) == (1, 1)
    again = world.hand_over()
    assert [(d.offset, d.epoch, d.attempt) for d in again] == [(2, 2, 1), (3, 2, 1)]
    assert [d.task_id for d in again] == ["c:2:e2", "c:3:e2"]
    world.succeed(*again)
    assert world.cursor() == 3


def test_seeking_forward_passes_over_what_is_not_finished(world: World) -> None:
    world.client(window=2)
    world.publish("a", "a", None, None, None)
    world.publish(None, topic="other")
    first, third = world.hand_over()
    assert offsets([first, third]) == [1, 3]
    world.succeed(third)
    assert do_seek(world, "5").passed_over == 4, "1 is out, 2 waits for it, 3 is done, 4 and 5 were never handed over"
    assert world.rows("lanes") == world.rows("deliveries") == []
    assert offsets(world.hand_over()) == [6]


def test_only_events_that_match_are_counted(world: World) -> None:
    world.client(topics=("order.#",))
    world.publish(None, None)
    world.publish(None, None, None, topic="other")
    world.succeed(*world.hand_over())
    assert do_seek(world, "beginning", dry_run=True).again == 2
    world.client("d", topics=("order.#",))
    assert do_seek(world, "end", client="d", dry_run=True).passed_over == 2


def test_a_long_way_is_not_counted_to_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.store.held.MOST_EVENTS_LOOKED_AT", 3)
    world.client()
    world.publish(*[None] * 5)
    world.succeed(*world.hand_over())
    assert (sought := do_seek(world, "beginning", dry_run=True)).again == 3
    assert not sought.exact
    assert do_seek(world, "3", dry_run=True).exact


def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    world.client()
    world.publish("a", "a", None)
    open_ones = world.hand_over()
    before = world.row()
    tried = do_seek(world, "2", dry_run=True)
    assert world.row() == before
    assert world.rows("deliveries") == [1, 3] and world.rows("lanes") == [2]
    assert journal_of(world) == []
    assert world.succeed(*open_ones).succeeded == 2, "nothing in flight was forgotten"
    world.client("d")
    open_ones = world.hand_over("d")
    assert do_seek(world, "2", client="d") == tried._replace(moved=True)


@pytest.mark.parametrize("to", ["beginning", "1", "end"])
def test_g6_outcomes_from_before_a_seek_change_nothing(world: World, to: str) -> None:
    world.client(max_attempts=1)
    world.publish("a", "a", None, None)
    old = world.hand_over()
    do_seek(world, to)
    cursor = world.cursor()
    new = world.hand_over()
    for delivery in old:
        assert world.succeed(delivery) == NOTHING
        assert world.fail(delivery) == NOTHING
    assert (world.cursor(), world.rows("parked")) == (max(cursor, min(offsets(new), default=5) - 1), [])
    assert world.rows("deliveries") == offsets(new)
    world.succeed(*new)
    world.succeed(*world.hand_over())
    assert world.cursor() == 4


def test_a_seek_back_and_forward_while_deliveries_are_open_ends_in_order(world: World) -> None:
    world.client()
    world.publish("a", "a", "a", "b")
    first = world.hand_over()
    do_seek(world, "end")
    do_seek(world, "beginning")
    second = world.hand_over()
    do_seek(world, "1")
    third = world.hand_over()
    assert (offsets(first), offsets(second), offsets(third)) == ([1, 4], [1, 4], [2, 4])
    assert [d[0].epoch for d in (first, second, third)] == [1, 3, 4]
    world.succeed(*first, *second)
    assert world.cursor() == 1
    world.succeed(*third)
    [last] = world.hand_over()
    world.succeed(last)
    assert (last.offset, world.cursor()) == (3, 4)


def test_seeking_to_a_moment_delivers_what_was_created_since(world: World) -> None:
    world.client()
    world.publish(None, None)
    moment = world.eyes.execute("SELECT clock_timestamp()").fetchone()
    assert moment is not None
    world.publish(None, None)
    world.succeed(*world.hand_over())
    assert do_seek(world, moment[0].isoformat()).offset == 2
    assert offsets(world.hand_over()) == [3, 4]
    assert do_seek(world, (moment[0] + timedelta(days=1)).isoformat()).offset == 4
    assert do_seek(world, "2020-01-01").offset == 0


def test_seeking_above_the_horizon_is_refused(world: World) -> None:
    world.client()
    world.publish(None)
    with pytest.raises(UsageError, match="offset 2 is above the horizon 1"):
        do_seek(world, "2")
    with pytest.raises(UnknownClient):
        do_seek(world, "end", client="nobody")
    assert (world.row()["epoch"], journal_of(world)) == (1, [])


def test_parked_events_above_the_new_place_are_delivered_again_and_those_below_stay(world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None, None, None)
    world.fail(*world.hand_over())
    assert world.rows("parked") == [1, 2, 3]
    assert do_seek(world, "1").again == 2
    assert world.rows("parked") == [1]
    again = world.hand_over()
    assert offsets(again) == [2, 3]
    world.fail(*again)
    assert world.rows("parked", '"offset", epoch') == [(1, 1), (2, 2), (3, 2)]


def test_a_redrive_that_is_out_below_the_new_place_is_parked_again_and_may_still_succeed(world: World) -> None:
    world.client(max_attempts=1)
    world.publish(None, None, None)
    one, *others = world.hand_over()
    world.fail(one)
    world.succeed(*others)
    redrive(world.store, "c", Selection(), by="me@here")
    [again] = world.hand_over()
    do_seek(world, "2")
    assert world.rows("deliveries") == []
    assert world.rows("parked", '"offset", attempts, redrive') == [(1, 2, False)], "not lost"
    assert world.succeed(again).succeeded == 1
    assert world.rows("parked") == []
    assert world.cursor() == 2


def test_a_seek_ends_replays(world: World) -> None:
    world.client()
    world.publish(None, None, None)
    world.succeed(*world.hand_over())
    replay(world.store, "c", start=Position(), end=Position(end=True), per_second=1, by="me@here")
    [out] = world.hand_over()
    do_seek(world, "2")
    assert world.eyes.execute("SELECT count(*) FROM fq.replays").fetchone() == (0,)
    assert world.rows("parked") == world.rows("deliveries") == [], "an event that was done stays done"
    assert world.succeed(out) == NOTHING
    [new] = world.hand_over()
    assert (new.offset, new.epoch) == (3, 3), "no epoch is used twice"


def test_a_client_whose_window_was_full_is_looked_at_again(world: World) -> None:
    world.client(window=1)
    world.publish(None, None)
    world.hand_over()
    assert world.row()["full"] and clients_to_serve(world.store, horizon=2) == []
    do_seek(world, "1")
    assert (world.row()["full"], clients_to_serve(world.store, horizon=2)) == (False, ["c"])
    assert offsets(world.hand_over()) == [2]


def test_a_paused_client_is_moved_and_stays_paused(world: World) -> None:
    world.client()
    world.publish(None, None)
    pause(world.store, "c", reason="", by="me@here")
    do_seek(world, "1")
    assert world.row()["state"] == "paused"
    assert world.one_pass() is None
    resume(world.store, "c", by="me@here")
    assert offsets(world.hand_over()) == [2]


def test_a_plain_sql_reader_s_cursor_moves_too(world: World) -> None:
    world.publish(None, None, None)
    world.eyes.execute("SELECT fq.commit('reader', 2)")
    assert do_seek(world, "beginning", client="reader") == Sought(2, -1, again=2, passed_over=0, exact=True, moved=True)
    assert world.eyes.execute("""SELECT "offset" FROM fq.get('reader')""").fetchone() == (1,)
    assert do_seek(world, "end", client="reader").passed_over == 3
    world.eyes.execute("SELECT fq.commit('reader', 3)")
    assert world.cursor("reader") == 3


def test_a_seek_is_in_the_journal(world: World) -> None:
    world.client()
    world.publish(None, None)
    world.succeed(*world.hand_over())
    do_seek(world, "1")
    [(client, action, by, details)] = journal_of(world)
    assert (client, action, by) == ("c", "seek", "me@here")
    assert (details["from"], details["to"], details["again"], details["epoch"]) == (2, 1, 1, 2)


def test_a_seek_waits_for_the_pass_that_has_the_client(world: World) -> None:
    import threading

    world.client()
    world.publish(None)
    inside, go_on = threading.Event(), threading.Event()

    def slowly(*_: Any) -> list[Any]:
        inside.set()
        assert go_on.wait(30)
        return []

    passing = threading.Thread(target=world.one_pass, kwargs={"send": slowly})
    seeking = threading.Thread(target=do_seek, args=(world, "end"))
    passing.start()
    try:
        assert inside.wait(30)
        seeking.start()
        seeking.join(0.3)
        assert seeking.is_alive()
    finally:
        go_on.set()
        passing.join(30)
    seeking.join(30)
    assert world.rows("deliveries") == []
    assert (world.cursor(), world.row()["epoch"]) == (1, 2)
