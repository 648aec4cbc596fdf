"""A newer kombu never stops a fleet: with no borrowed name in reach, real workers still deliver and settle all (G1)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import bridge
from bridge.broker.conformance import FastWay
from bridge.broker.fast_ways import (
    AMQP_COLLECTOR,
    CONFIRMS,
    DELIVERY_TAGS,
    GUARD,
    JOINED_ACKS,
    JOINED_CALLBACKS,
    MARKS_ON_REDIS,
    REDIS_COLLECTOR,
    REDIS_STENCIL,
)
from tests.conftest import StartWorker
from tests.support.stage import REPOSITORY
from tests.support.waiting import wait_until
from tests.support.workers import Worker
from tests.support.world import World

SHOP = """
import os
from tests.support.withdrawn import withdraw_all
if os.environ["KOMBU"] == "newer":
    withdraw_all()

from celery import Celery
import bridge

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True)
bridge.install(app)

@app.task(name="shop.handle")
def handle(event):
    if event["payload"] == "poison":
        raise ValueError("no")
"""
EVENTS = 40

OFF = {
    "redis": {
        "bridge": [
            REDIS_STENCIL,
            DELIVERY_TAGS,
            REDIS_COLLECTOR,
            GUARD,
            JOINED_ACKS,
            JOINED_CALLBACKS,
            MARKS_ON_REDIS,
        ],
        "fleet": [JOINED_ACKS, JOINED_CALLBACKS],
    },
    "amqp": {"bridge": [CONFIRMS, AMQP_COLLECTOR, GUARD, JOINED_CALLBACKS], "fleet": [JOINED_CALLBACKS]},
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def said(worker: Worker) -> Counter[str]:
    """Count the fast ways that a worker's log says are off."""
    lines = [line for line in worker.log.splitlines() if " is off: " in line]
    return Counter(line.partition(" is off: ")[0].partition("] ")[2] for line in lines)


def once(ways: list[FastWay]) -> Counter[str]:
    return Counter(way.name for way in ways)


@pytest.mark.parametrize("broker", [pytest.param("redis", marks=pytest.mark.slow), "amqp"])
def test_g1_with_every_name_withdrawn_all_is_delivered_and_each_worker_warns_once(
    *, broker: str, request: pytest.FixtureRequest, world: World, database: str, shop: Path, worker: StartWorker
) -> None:
    world.client("c", task="shop.handle", max_attempts=1, queue="celery")
    world.client("d", task="shop.handle", max_attempts=1, queue="celery", batch=5, batch_as="calls")
    with world.store.transaction() as connection:
        bridge.publish_many(connection, [("t", "poison" if n == 7 else n, f"k{n % 5}") for n in range(EVENTS)])
    env = {
        "CELERY_BROKER_URL": request.getfixturevalue(f"{broker}_url"),
        "BRIDGE_DATABASE_URL": database,
        "KOMBU": "newer",
        "PYTHONPATH": str(REPOSITORY),
    }
    fleet = worker("shop", directory=shop, env=env, name="fleet")
    it = worker("shop", directory=shop, env=env, queues=["bridge"], beat=True, name="bridge")
    wait_until(lambda: [world.cursor(id) for id in "cd"] == [EVENTS] * 2, timeout=90, what="both cursors at the end")
    assert sorted(world.rows("parked", 'client_id, "offset"')) == [("c", 8), ("d", 8)]
    assert said(it) == once(OFF[broker]["bridge"])
    assert said(fleet) == once(OFF[broker]["fleet"])


def test_where_nothing_is_withdrawn_nothing_is_off(
    world: World, database: str, shop: Path, worker: StartWorker
) -> None:
    world.client("c", task="shop.handle", queue="celery")
    world.publish(*[None] * 3)
    env = {"BRIDGE_DATABASE_URL": database, "KOMBU": "as seen", "PYTHONPATH": str(REPOSITORY)}
    it = worker("shop", directory=shop, env=env, queues=["bridge", "celery"], beat=True, name="bridge")
    wait_until(lambda: world.cursor("c") == 3, timeout=90, what="the cursor at the end")
    assert said(it) == Counter()
