"""What a broker loses is handed over again; what a database loses stops the bridge. Real servers, no worker."""

from __future__ import annotations

from kombu import Connection
from redis import Redis

from bridge.broker.marks.rabbitmq import seen_queue
from bridge.broker.marks.redis import mark_key
from tests.marks.shop import FLEET, Shop
from tests.support.world import World


def empty(shop: Shop) -> None:
    """Lose everything that the broker has, as `FLUSHALL` and a new virtual host do."""
    if shop.broker.startswith("redis"):
        with Redis.from_url(shop.broker) as redis:
            redis.flushdb()
        return
    with Connection(shop.broker) as connection, connection.channel() as channel:
        for queue in (FLEET, "bridge", mark_key("bridge"), seen_queue("bridge")):
            channel.queue_delete(queue)
        connection.SimpleQueue(FLEET).close()


def purge(shop: Shop) -> None:
    """Lose all messages that the broker has, but no queue."""
    if shop.broker.startswith("redis"):
        return empty(shop)
    with Connection(shop.broker) as connection:
        for queue in (FLEET, "bridge", mark_key("bridge"), seen_queue("bridge")):
            connection.default_channel.queue_purge(queue)


def test_g1_a_mark_is_renewed_and_nothing_is_recalled_while_all_is_well(shop: Shop, world: World) -> None:
    shop.client()
    world.publish("a", "b")
    for _ in range(5):
        shop.tick()
    assert shop.mark()["count"] >= 5
    assert not shop.mark()["losses"]
    assert len(shop.waiting()) == 2


def test_g1_what_an_emptied_broker_had_is_handed_over_again_and_no_attempt_is_counted(shop: Shop, world: World) -> None:
    shop.client(max_attempts=1)
    world.publish("a", "b", "a")
    shop.tick()
    shop.tick()
    assert [it["bridge_offset"] for it in shop.waiting()] == [1, 2]
    empty(shop)
    shop.tick()
    assert [it["bridge_offset"] for it in shop.waiting()] == [1, 2]
    assert shop.mark()["losses"] == 1
    shop.tick()
    shop.tick()
    assert len(shop.waiting()) == 2, "once"
    assert world.eyes.execute("SELECT count(*) FROM fq.parked").fetchone() == (0,)


def test_g1_a_purged_mark_is_written_once_and_stays(shop: Shop, world: World) -> None:
    """The queue of the mark is there and empty: whoever writes the new mark is its consumer, and gets it at once."""
    shop.client(max_attempts=1, ordering="none")
    for losses in range(1, 6):
        world.publish("a")
        shop.tick()
        purge(shop)
        for _ in range(3):
            shop.tick()
        assert shop.mark()["losses"] == losses, "one purge is one loss"
        assert len(shop.waiting()) == losses
