"""A RabbitMQ that is short of memory, or has as many queues as it may."""

from __future__ import annotations

import logging

import pytest

from bridge.broker.fast_ways import CONFIRMS
from bridge.pump.loop import pump_of
from tests.marks.shop import MakeShop
from tests.support.rabbit import alarm, connections, no_more
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [False, True])
def test_g5_what_a_broker_does_not_take_for_long_is_not_sent_again_and_again(
    make_shop: MakeShop, world: World, amqp_url: str, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    if one_by_one:
        monkeypatch.setattr(type(CONFIRMS), "conforms", lambda way, *_: way is not CONFIRMS)
    shop = make_shop(amqp_url, bridge_connect_timeout_seconds=1)
    shop.client(ordering="none")
    shop.tick()
    world.publish("a", "b")
    with alarm(amqp_url):
        for _ in range(4):
            shop.stopped()
            pump_of(shop.bridge)._left_alone_until.clear()  # noqa: SLF001 - as if a second had passed
        assert world.row()["dispatched"] <= 0
        if not one_by_one:
            assert connections(amqp_url) <= 4, "two of the mark's keeper, and the sender's, not one for each try"
    wait_until(lambda: shop.stopped() is None and world.row()["dispatched"] == 2, what="it goes on")
    sent = [it["bridge_offset"] for it in shop.waiting()]
    assert sorted(set(sent)) == [1, 2]
    assert len(sent) <= 4, "at most what was under way when the alarm began, once more"


def test_g10_where_no_queue_may_be_added_for_the_mark_it_is_said_once_and_the_bridge_goes_on(
    make_shop: MakeShop, world: World, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(amqp_url)
    with shop.app.connection_for_write() as connection:
        connection.SimpleQueue("bridge").close()  # all other queues are there
    shop.client(ordering="none")
    world.publish("a")
    with caplog.at_level(logging.WARNING), no_more(amqp_url, "queues"):
        for _ in range(4):
            shop.tick()
    assert len(shop.waiting()) == 1
    assert caplog.text.count("refuses the bridge's mark") == 1
    assert "limit" in caplog.text
