"""What a broker does not take for now holds up no outcome, and is passed on when it takes it again (G10)."""

from __future__ import annotations

import pytest
from celery import Celery
from redis import Redis

from bridge.collector import onward
from bridge.collector.redis import RedisReader
from bridge.errors import BrokerUnavailable
from tests.collector.collecting import SECONDS, OnRabbit, collecting, genuine
from tests.support.rabbit import alarm
from tests.support.waiting import wait_until
from tests.support.world import World


def test_g10_outcomes_are_settled_while_the_queue_of_ticks_is_a_key_of_another_type(
    world: World, redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onward, "AGAIN_SECONDS", 0.1)
    world.client(ordering="none")
    world.publish(*"abcd")
    sent = world.hand_over()
    with Redis.from_url(redis_url) as redis, Celery("publisher", broker=redis_url, set_as_current=False) as publisher:
        redis.set("bridge.ticks", "x")
        with collecting(world, redis_url):
            for delivery in sent:
                publisher.send_task("bridge.pump", queue="bridge")
                publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
            wait_until(lambda: not world.rows("deliveries"), timeout=SECONDS, what="all are settled")
            redis.delete("bridge.ticks")
            wait_until(lambda: redis.llen("bridge.ticks") == 1, timeout=SECONDS, what="the last tick is passed on")
            wait_until(lambda: not redis.keys("bridge.taken.*"), timeout=SECONDS, what="nothing stays in hand")
    assert caplog.text.count("ticks are not passed on") == 1
    assert "'bridge.ticks': WRONGTYPE" in caplog.text
    assert "ticks are passed on again" in caplog.text


def test_g10_a_key_of_another_type_in_place_of_the_bridge_s_queue_is_named(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis, Celery("collector", broker=redis_url, set_as_current=False) as app:
        reader = RedisReader(app, queue="bridge", others="bridge.ticks")
        redis.set("bridge", "x")
        with pytest.raises(BrokerUnavailable, match="nothing of 'bridge': WRONGTYPE"):
            reader.wait(1)
        redis.delete("bridge")
        assert reader.wait(0.01) == []
        reader.close()


@pytest.mark.slow
def test_g10_outcomes_are_settled_while_rabbitmq_is_short_of_memory(
    world: World, amqp_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.collector.loop.MESSAGES_AT_ONCE", 2)
    monkeypatch.setattr("bridge.collector.amqp.PREFETCH", 4)
    world.client(ordering="none")
    world.publish(*[None] * 12)
    broker = OnRabbit(amqp_url)
    with Celery("publisher", broker=amqp_url, set_as_current=False) as publisher:
        for delivery in world.hand_over():
            publisher.send_task("bridge.pump", queue="bridge")
            publisher.send_task("bridge.commit", args=genuine(delivery), queue="bridge")
    with alarm(amqp_url), collecting(world, amqp_url, bridge_connect_timeout_seconds=0.5):
        wait_until(lambda: not world.rows("deliveries"), timeout=SECONDS, what="all are settled")
    with collecting(world, amqp_url):
        wait_until(lambda: broker.waiting("bridge") == 0, timeout=SECONDS, what="nothing stays in hand")
        wait_until(lambda: broker.waiting("bridge.ticks") > 0, timeout=SECONDS, what="the last tick is passed on")
    broker.close()
    assert "is it short of memory or disk?" in caplog.text
