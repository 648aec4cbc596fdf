"""Interleavings that broke a promise once, or that the search finds too rarely: each as a test of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.errors import BrokerUnavailable, Undeliverable
from bridge.model import Client, Delivery
from tests.support.world import World, offsets


def test_g6_a_key_that_waits_goes_out_once_when_order_is_no_longer_asked_for(world: World) -> None:
    world.client()
    world.publish("a", "a")
    [first] = world.hand_over()
    world.client(ordering="none")
    world.publish("a")
    sent = world.hand_over()
    world.succeed(first, *sent)
    while new := world.hand_over():
        sent += new
        world.succeed(*new)
    assert sorted(offsets(sent)) == [2, 3]


def test_g4_a_new_event_of_a_key_waits_for_one_that_waits_for_its_retry(world: World) -> None:
    world.client(backoff_seconds=1000, backoff_max_seconds=5000)
    world.publish("a")
    world.fail(*world.hand_over())
    world.publish("a", "b")
    assert offsets(world.hand_over()) == [3]


def test_g6_a_success_counts_although_one_of_a_pass_that_crashed_comes_in_the_same_batch(world: World) -> None:
    world.client()
    world.publish(None)
    [first] = world.hand_over()
    world.make_due()
    arrived: list[Delivery] = []

    def crash(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        arrived.extend(deliveries)
        raise BrokerUnavailable("the broker is away")

    with pytest.raises(BrokerUnavailable):
        world.one_pass(send=crash)
    assert [delivery.attempt for delivery in arrived] == [2], "an attempt that nobody remembers"
    assert world.succeed(first, *arrived).succeeded == 1
    assert world.cursor() == 1
