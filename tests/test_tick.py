"""A tick serves every client that can be served, whatever is wrong with another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from redis import Redis

from bridge.app import Bridge
from tests.world import World


@pytest.fixture
def bridge(world: World, database: str, redis_url: str) -> Iterator[Bridge]:
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=0)
        bridge = Bridge(app)
        yield bridge
        bridge.sender.close()
        bridge.store.close()


@pytest.mark.parametrize("wrong", ["routes = '[1]'", 'routes = \'[["a..b", "t"]]\'', "serializer = 'no-such-thing'"])
def test_a_client_that_plain_sql_made_unusable_is_named_and_the_others_are_served(
    world: World, bridge: Bridge, redis_url: str, wrong: str
) -> None:
    world.client("a-broken-one")
    world.client("good")
    world.eyes.execute(f"UPDATE fq.clients SET {wrong} WHERE id = 'a-broken-one'".encode())
    world.publish("k")
    done = bridge.tick()
    assert (done.sent, done.troubled) == (1, 1)
    assert world.row("a-broken-one")["trouble"]
    assert world.row("a-broken-one")["dispatched"] == -1, "nothing of it is remembered"
    with Redis.from_url(redis_url) as redis:
        assert redis.llen("celery") == 1
