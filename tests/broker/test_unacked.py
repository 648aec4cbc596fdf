"""What workers have taken from Redis is looked through a bounded number of bytes at a time (G10)."""

from __future__ import annotations

from celery import Celery
from redis import Redis

from bridge.broker.internals.redis import unacked_messages

SIZES = [10, 700_000, 700_000, 10, 3_000_000, 20, 30]


def test_g10_unacknowledged_messages_of_any_size_are_all_found(redis_url: str) -> None:
    wanted = {f"tag-{nth}": str(nth).encode() * size for nth, size in enumerate(SIZES)}
    with (
        Redis.from_url(redis_url) as redis,
        Celery("fleet", broker=redis_url, set_as_current=False).connection_for_write() as connection,
    ):
        channel = connection.default_channel
        assert list(unacked_messages(channel, 0) or ()) == []
        redis.hset("unacked", mapping=wanted)
        assert unacked_messages(channel, len(SIZES) - 1) is None
        messages = unacked_messages(channel, len(SIZES))
        assert messages is not None
        assert sorted(messages) == sorted(wanted.values())
        messages = unacked_messages(channel, len(SIZES))
        assert messages is not None
        redis.hdel("unacked", "tag-0", "tag-4")  # they are acknowledged meanwhile
        assert sorted(messages) == sorted(wanted[f"tag-{nth}"] for nth in (1, 2, 3, 5, 6))
