"""Keys of parked events: a redrive waits for its turn, a held key for its event or its discard (G4, G7)."""

from __future__ import annotations

import pytest

from bridge.errors import UnknownClient
from bridge.operate.lifecycle import pause, remove
from bridge.operate.parked import discard, redrive
from bridge.store.parked import Selection
from bridge.store.rounds import clients_to_serve
from tests.operate.parking import BY, fail, journal_of, park, redriven
from tests.support.world import World, offsets


def test_g4_redriven_events_of_a_key_go_out_one_at_a_time_and_beside_nothing_of_their_key(world: World) -> None:
    park(world, "a", "a", "b")
    world.publish("a", "a")
    [live] = world.hand_over()
    assert live.offset == 4
    redriven(world)
    assert offsets(world.hand_over()) == [3], "the key a is busy"
    world.succeed(live)
    seen = []
    for _ in range(3):
        [delivery] = world.hand_over()
        assert world.hand_over() == []
        world.succeed(delivery)
        seen.append(delivery.offset)
    assert sorted(seen) == [1, 2, 5]
    assert seen.index(1) < seen.index(2)
    assert world.rows("lanes") == []
    assert world.cursor() == 5


def test_a_key_that_waits_for_a_redriven_event_lets_the_pump_sleep(world: World) -> None:
    park(world, "a")
    world.publish("a", "a")
    [live] = world.hand_over()
    redriven(world)
    world.succeed(live)
    assert offsets(world.hand_over()) == [1]
    assert world.rows("lanes", '"offset", ready') == [(3, False)]
    assert clients_to_serve(world.store, horizon=3) == []


def test_g7_a_held_key_waits_for_its_redriven_event(world: World) -> None:
    park(world, "a", on_exhausted="hold-key")
    world.publish("a", "b")
    [other] = world.hand_over()
    assert other.offset == 3
    redriven(world)
    [again] = world.hand_over()
    assert again.offset == 1
    world.publish("a")
    assert world.hand_over() == [], "the key is still blocked, now by the delivery"
    fail(world, again, "ValueError")
    assert world.hand_over() == []
    assert world.rows("parked", '"offset", held') == [(1, True)]
    redriven(world)
    world.succeed(*world.hand_over())
    assert offsets(world.hand_over()) == [2]


def test_g7_a_key_that_two_parked_events_hold_goes_on_after_both(world: World) -> None:
    park(world, "a", "a")
    world.eyes.execute("UPDATE fq.parked SET held = true")
    world.publish("a")
    assert world.hand_over() == []
    assert redriven(world, offsets=(2,)) == [2]
    assert world.hand_over() == [], "the older one holds the key"
    assert redriven(world, offsets=(1,)) == [1]
    [one] = world.hand_over()
    world.succeed(one)
    [two] = world.hand_over()
    assert (one.offset, two.offset) == (1, 2)
    world.succeed(two)
    assert offsets(world.hand_over()) == [3]


def test_g7_a_discarded_event_is_gone_and_frees_its_key(world: World) -> None:
    park(world, "a", None, on_exhausted="hold-key")
    world.publish("a", "a")
    assert world.hand_over() == []
    assert discard(world.store, "c", Selection(keys=("a",)), by=BY) == [1]
    assert world.rows("parked") == [2]
    assert world.rows("lanes", "ready") == [True]
    assert "c" in clients_to_serve(world.store, horizon=4)
    [next] = world.hand_over()
    assert next.offset == 3
    world.succeed(next)
    assert offsets(world.hand_over()) == [4]


def test_discarding_one_of_two_that_hold_a_key_frees_nothing(world: World) -> None:
    park(world, "a", "a")
    world.eyes.execute("UPDATE fq.parked SET held = true")
    world.publish("a")
    assert world.hand_over() == []
    discard(world.store, "c", Selection(offsets=(2,)), by=BY)
    assert world.hand_over() == []
    discard(world.store, "c", Selection(offsets=(1,)), by=BY)
    assert offsets(world.hand_over()) == [3]


def test_redrives_and_discards_are_in_the_journal(world: World) -> None:
    park(world, "a", "b")
    redriven(world, keys=("a",))
    discard(world.store, "c", Selection(), by=BY)
    assert journal_of(world) == [
        ("redrive", {"events": 1, "offsets": [1], "asked": {"keys": 1}}),
        ("discard", {"events": 2, "offsets": [1, 2], "asked": "all"}),
    ]
    assert world.eyes.execute(
        "SELECT DISTINCT by, client_id FROM fq.journal WHERE action <> 'register'"
    ).fetchall() == [(BY, "c")]


def test_nothing_is_redriven_or_discarded_of_who_is_not_there(world: World) -> None:
    for act in (redrive, discard):
        with pytest.raises(UnknownClient):
            act(world.store, "nobody", Selection(), by=BY)
    with pytest.raises(UnknownClient):
        pause(world.store, "nobody", reason="", by=BY)
    with pytest.raises(UnknownClient):
        remove(world.store, "nobody", by=BY)
