"""A worker that shuts down does not drain the log first: its ticks end after the slice at hand (G6, G10)."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from bridge.app import Bridge
from bridge.pump import slices, stopping
from bridge.pump.loop import pump_of
from tests.conftest import StartWorker
from tests.support.waiting import wait_until
from tests.support.world import World, offsets

CLIENTS, EVENTS = 60, 20
SHOP = """
import os, time
from celery import Celery
import bridge
from bridge.sender.sender import Sender

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, bridge_database_url=os.environ["DATABASE"])
bridge.install(app)
send = Sender.send

def slowly(self, *args):  # so that all of it would take half a minute
    time.sleep(0.5)
    return send(self, *args)

Sender.send = slowly
"""

SELDOM = ("solo", "gevent")  # pools that few use: `make slow`


@pytest.fixture
def stops() -> Iterator[None]:
    """Let the worker of this process be about to stop at the end of the first slice, and go on after the test."""
    yield
    stopping.set_stopping(False)


def test_g10_a_pass_ends_after_the_slice_at_hand_and_the_next_one_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, stops: None
) -> None:
    monkeypatch.setattr(slices, "SLICE_EVENTS", 10)
    world.client(window=100)
    world.publish(*[None] * 60)

    def send(client: object, deliveries: list[object]) -> list[object]:
        stopping.set_stopping(True)
        world.sent += deliveries  # type: ignore[arg-type]
        return []

    world.one_pass(send=send)
    first = offsets(world.sent)
    assert first == list(range(1, len(first) + 1)) == world.rows("deliveries")
    assert 10 <= len(first) <= 20, "the next slice may have been on its way"
    stopping.set_stopping(False)
    world.hand_over()
    assert offsets(world.sent) == list(range(1, 61))


def test_g10_a_tick_of_a_worker_that_stops_hands_nothing_over(
    world: World, database: str, redis_url: str, stops: None
) -> None:
    world.client()
    world.publish(None)
    stopping.set_stopping(True)
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.update(bridge_database_url=database, bridge_linger_seconds=600)
        bridge = Bridge(app)
        assert pump_of(bridge).tick().sent == 0
        bridge.store.close()
    assert world.rows("deliveries") == []


@pytest.mark.parametrize("pool", ["prefork", "threads", *(pytest.param(it, marks=pytest.mark.slow) for it in SELDOM)])
def test_g10_a_worker_ends_without_draining_the_log_and_nothing_is_doubled(
    world: World, database: str, redis_url: str, worker: StartWorker, tmp_path: Path, *, pool: str
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    for number in range(CLIENTS):
        world.client(f"c{number}", queue="fleet")
    world.publish(*[None] * EVENTS)
    with Redis.from_url(redis_url) as redis:
        shop = worker("shop", directory=tmp_path, queues=["bridge"], pool=pool, env={"DATABASE": database}, beat=False)
        with Celery(broker=redis_url, set_as_current=False) as app:
            app.send_task("bridge.pump", queue="bridge")
            wait_until(lambda: redis.llen("fleet") > 0, what="the pump hands over", timeout=90)
            assert shop.stop(number=signal.SIGTERM) == 0
        sent = Counter(json.loads(one)["headers"]["id"] for one in redis.lrange("fleet", 0, -1))
    assert set(sent.values()) == {1}
    assert len(sent) < CLIENTS * EVENTS, "it does not drain the log first"
    assert len(world.rows("deliveries")) == len(sent)
