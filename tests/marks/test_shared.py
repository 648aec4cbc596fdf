"""G6: two logs on one broker, and two brokers on one log: one of the two is refused, and says what to do."""

from __future__ import annotations

import pytest

from bridge.errors import BrokerTaken
from bridge.marks import witness
from tests.conftest import Connect
from tests.marks.shop import MakeShop, Shop
from tests.support.databases import Databases
from tests.support.world import World


def test_g6_a_second_log_on_the_same_broker_and_queue_is_refused_and_the_first_goes_on(
    shop: Shop, world: World, make_shop: MakeShop, _databases: Databases, connect: Connect, broker_url: str
) -> None:
    shop.client()
    world.publish("a")
    shop.tick()
    with _databases.clone() as url:
        from bridge.store import Store

        store = Store(url)
        other_world = World(store, connect(url))
        other_world.eyes.execute("UPDATE fq.log SET id = gen_random_uuid()")  # the tests' logs are clones of one
        other = make_shop(broker_url, database=url, world=other_world)
        other.client("d")
        other_world.publish("a")
        error = other.stopped()
        assert isinstance(error, BrokerTaken)
        assert "bridge_queue" in str(error) and "serves another log" in str(error)
        assert other.bridge.store.vouched == "unknown"
        (status,) = other_world.eyes.execute("SELECT trouble_kind FROM fq.mark_troubles").fetchall()
        assert status == ("other-log",)
        shop.tick()
        assert len(shop.waiting()) == 1
        beside = make_shop(broker_url, database=url, world=other_world, bridge_queue="bridge2")
        assert beside.stopped() is None, "with a queue of its own it is served"
        for it in (other, beside):
            it.close()
        other_world.eyes.close()
        store.close()


def test_g6_a_second_broker_of_a_log_is_refused_while_the_first_is_alive_and_takes_over_when_it_has_left(
    *, shop: Shop, world: World, make_shop: MakeShop, redis_url: str, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "WATCHED_SECONDS", 0.0)
    shop.client()
    world.publish("a")
    shop.tick()
    second = make_shop(amqp_url if shop.broker == redis_url else redis_url)
    world.eyes.execute("UPDATE fq.marks SET seen_at = clock_timestamp()")
    second.witness.look_at_once()
    with pytest.raises(BrokerTaken, match="already"):
        second.witness.check()
    shop.tick()
    assert shop.stopped() is None, "the first one goes on"
    assert len(second.waiting()) == 0
    world.eyes.execute("UPDATE fq.marks SET seen_at = clock_timestamp() - interval '1 minute'")
    for _ in range(2):  # the first time it may only have begun to watch
        second.stopped()
    assert [it["bridge_offset"] for it in second.waiting()] == [1]
    assert second.mark()["broker"] != shop.witness._here.broker  # noqa: SLF001
    world.eyes.execute("UPDATE fq.marks SET seen_at = clock_timestamp()")
    shop.witness.look_at_once()
    with pytest.raises(BrokerTaken):
        shop.witness.check()


def test_g6_a_broker_under_two_names_is_one_broker(make_shop: MakeShop, world: World, broker_url: str) -> None:
    one, two = make_shop(broker_url), make_shop(broker_url.replace("127.0.0.1", "localhost"))
    one.client()
    world.publish("a")
    for _ in range(3):
        assert one.stopped() is None
        assert two.stopped() is None
    assert not one.mark()["losses"]
    assert len(one.waiting()) == 1
