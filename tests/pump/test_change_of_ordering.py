"""After a change of `ordering`, what is open under the old one is waited for (G4, G10)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from bridge.model import Delivery
from tests.support.world import World, offsets

ORDERINGS = ("key", "strict", "none")


@pytest.mark.parametrize(("before", "open_"), [("key", [1, 2]), ("none", [1, 2, 3, 4])])
def test_g10_a_client_that_becomes_strict_gets_nothing_new_before_all_that_is_open_has_ended(
    world: World, before: str, open_: list[int]
) -> None:
    world.client(ordering=before)
    world.publish("a", "b", "a", "b")
    out = world.hand_over()
    assert offsets(out) == open_
    world.client(ordering="strict")
    world.publish("c", "d")
    while len(out) > 1:
        world.succeed(out.pop())
        assert world.hand_over() == []
    world.succeed(*out)
    seen = []
    while out := world.hand_over():
        assert len(out) == 1
        seen += offsets(out)
        assert world.hand_over() == []
        world.succeed(*out)
    assert seen == [offset for offset in range(1, 7) if offset not in open_]


@pytest.mark.parametrize("before", ["strict", "none"])
def test_g10_the_keys_of_what_is_open_are_busy_for_a_client_that_orders_by_key_again(world: World, before: str) -> None:
    world.client(ordering=before, window=2)
    world.publish("a", "a")
    out = world.hand_over()
    world.client(ordering="key", window=10)
    world.publish("a", "b")
    assert offsets(world.hand_over()) == [4]
    world.succeed(*out)
    assert offsets(world.hand_over()) == [2 if before == "strict" else 3]


@pytest.mark.parametrize("after", ["key", "strict"])
def test_g10_several_of_a_key_that_are_all_lost_go_out_again_one_at_a_time(world: World, after: str) -> None:
    world.client(ordering="none")
    world.publish("a", "a", "a")
    world.hand_over()
    world.client(ordering=after)
    seen = []
    for _ in range(3):
        world.make_due()
        [again] = world.hand_over()
        seen.append(again.offset)
        assert world.hand_over() == []
        world.succeed(again)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("seed", range(6))
def test_g10_whatever_is_changed_when_the_order_that_holds_is_kept_and_all_is_finished(world: World, seed: int) -> None:
    rng = random.Random(seed)
    ordering = rng.choice(ORDERINGS)
    world.client(ordering=ordering, max_attempts=50, backoff_seconds=0, window=4)
    world.publish(*rng.choices(["a", "b", None], k=30))
    running: dict[int, Delivery] = {}

    def check(found: list[Delivery]) -> None:
        for it in found:
            others = [other for other in running.values() if other.offset != it.offset]
            if ordering == "strict":
                assert others == [], (seed, it.offset)
            if ordering == "key" and key_of(it) is not None:
                assert key_of(it) not in [key_of(other) for other in others], (seed, it.offset)
            running[it.offset] = it

    for _ in range(4000):
        if world.cursor() == 30:
            break
        move = rng.random()
        if move < 0.05:
            ordering = rng.choice(ORDERINGS)
            world.client(ordering=ordering)
        elif move < 0.5 or not running:
            world.eyes.execute("UPDATE fq.deliveries SET due_at = now() WHERE state = 'retrying'")
            world.eyes.execute("UPDATE fq.clients SET wake_at = now()")
            check(world.hand_over())
        else:
            it = running.pop(rng.choice(list(running)))
            (world.fail if rng.random() < 0.3 else world.succeed)(it)
    assert world.cursor() == 30
    assert world.rows("parked") == []


def key_of(delivery: Delivery) -> Any:
    """Return the key of an event that was handed over."""
    return json.loads(delivery.body)["key"]
