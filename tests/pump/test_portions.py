"""Large events go out in portions that are bounded in bytes, in order, whatever way they take (G5, G10)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.pump import slices
from bridge.pump.one_pass import hand_over
from bridge.store import bodies
from bridge.store.horizon import advance_horizon
from tests.support.world import World, offsets

BATCH_BYTES = 100_000


def publish(world: World, *sizes: int, key: str | None = None) -> None:
    """Append events of these sizes; what is repeated in them can't be compressed away by chance."""
    for size in sizes:
        world.eyes.execute(
            "INSERT INTO fq.events (topic, key, payload)"
            " SELECT 'a', %s, jsonb_build_object('b', left(string_agg(md5(random()::text), ''), %s))"
            " FROM generate_series(1, %s)",
            (key, size, size // 32 + 1),
        )


def run(world: World, client: str = "c") -> list[list[Delivery]]:
    """Run one pass; return the deliveries of each call of the sender."""
    calls: list[list[Delivery]] = []

    def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        calls.append(list(deliveries))
        return []

    horizon = advance_horizon(world.store)
    hand_over(world.store, client, horizon=horizon, limit=5000, send=send, batch_bytes=BATCH_BYTES)
    return calls


def sizes(call: Sequence[Delivery]) -> list[int]:
    return [len(json.loads(delivery.body)["payload"]["b"]) for delivery in call]


def assert_bounded(calls: Sequence[Sequence[Delivery]], largest: int) -> None:
    for call in calls:
        large = [delivery for delivery in call if len(delivery.body) > 8192]
        assert sum(len(delivery.body) for delivery in large) <= BATCH_BYTES + largest + 1000


@pytest.mark.parametrize("ordering", ["none", "key", "strict"])
def test_g10_large_events_are_fetched_and_sent_in_portions_and_in_order(world: World, ordering: str) -> None:
    world.client(ordering=ordering)
    wanted = [10, 30_000, 30_000, 10, 8_000, 50_000, 9_000, 250_000, 10, 30_000, 10]
    publish(world, *wanted)
    calls = run(world)
    if ordering == "strict":
        wanted = wanted[:1]
    sent = [delivery for call in calls for delivery in call]
    assert offsets(sent) == list(range(1, len(wanted) + 1)) == world.rows("deliveries")
    assert sizes(sent) == wanted
    assert_bounded(calls, largest=250_000)


def test_g10_portions_of_many_slices_are_fetched_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_EVENTS", 10)
    world.client(window=100)
    wanted = [30_000 if nth % 3 else 10 for nth in range(60)]
    publish(world, *wanted)
    calls = run(world)
    assert [size for call in calls for size in sizes(call)] == wanted
    assert_bounded(calls, largest=30_000)


def test_g10_retries_successors_redriven_and_replayed_events_are_large_too(world: World) -> None:
    world.client(backoff_seconds=0, max_attempts=2)
    publish(world, *[30_000] * 6, key="k")
    publish(world, *[40_000] * 6)
    first = [delivery for call in run(world) for delivery in call]
    assert offsets(first) == [1, *range(7, 13)]
    world.fail(*first)
    world.make_due()
    calls = run(world)
    again = [delivery for call in calls for delivery in call]
    assert [(one.offset, one.attempt) for one in again] == [(offset, 2) for offset in offsets(first)]
    assert all(json.loads(one.body)["attempt"] == 2 for one in again)
    assert_bounded(calls, largest=40_000)
    world.fail(*again)
    assert world.rows("parked") == offsets(first)
    world.eyes.execute("UPDATE fq.parked SET redrive = true")
    world.make_due()
    calls = run(world)
    found = [delivery for call in calls for delivery in call]
    assert sorted(offsets(found)) == offsets(first), "a successor waits for the redriven event of its key"
    assert all(one.body for one in found)
    assert_bounded(calls, largest=40_000)


def test_g10_an_event_that_is_too_large_to_be_sent_is_parked_and_its_neighbours_go_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_BYTES", 60_000)
    world.client()
    publish(world, 10, 70_000, 50_000, 10)
    calls = run(world)
    assert [size for call in calls for size in sizes(call)] == [10, 50_000, 10]
    [(offset, reason)] = world.rows("parked", '"offset", reason')
    assert offset == 2
    assert reason.startswith("undeliverable: it has 70")
    assert reason.endswith("bytes: at most 60000 are sent")


def test_g10_a_few_bytes_of_numbers_may_be_a_large_text(world: World) -> None:
    world.client(call="payload")
    world.eyes.execute("""INSERT INTO fq.events (topic, payload) VALUES ('a', '[1e131071, 1e131071]'), ('a', '1')""")
    calls = run(world)
    found: list[Any] = [len(delivery.body) for call in calls for delivery in call]
    assert found == [2 * 131_072 + 4, 1]
