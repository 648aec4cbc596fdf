"""The collector on a Redis that lacks a newer command, or does not allow it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from celery import Celery
from redis import Redis

from bridge.collector.redis import RedisReader


@pytest.fixture
def url_without_blmove(redis_url: str) -> Iterator[str]:
    """The URL of a user whom the server refuses BLMOVE, as one before 6.2 refuses it to everybody."""
    name = f"old-{uuid.uuid4().hex}"
    with Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", name, "on", ">pw", "~*", "&*", "+@all", "-blmove")
        parts = urlsplit(redis_url)
        place = parts.netloc.rpartition("@")[2]
        try:
            yield urlunsplit(parts._replace(netloc=f"{name}:pw@{place}"))
        finally:
            admin.execute_command("ACL", "DELUSER", name)


def test_g10_a_redis_without_blmove_is_collected_from_by_an_older_command(url_without_blmove: str) -> None:
    with Celery("collector", broker=url_without_blmove, set_as_current=False) as app:
        reader = RedisReader(app, queue="bridge", others="bridge.ticks")
        assert reader.wait(0.1) == []
        for number in (1, 2):
            app.send_task("bridge.commit", args=["c", number, 1, 1, "signature"], queue="bridge")
        found = [reader.read(message) for _ in range(2) for message in reader.wait(1)]
        assert [call.args[1] for call in found if call] == [1, 2]
        with Redis.from_url(url_without_blmove) as broker:
            [own] = broker.keys("bridge.taken.*")
            assert broker.llen(own) == 2, "they stay in the broker until they are done"
            reader.done()
            assert broker.keys("bridge.taken.*") == []
        reader.close()
