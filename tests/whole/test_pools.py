"""Every pool that Celery has works on both brokers: pumps that share a process do not disturb each other (G1, G10)."""

from __future__ import annotations

import pytest

from tests.whole.shop import Shop

CLIENTS = ("a", "b", "c", "d", "e", "f")
EVENTS = 400


@pytest.mark.parametrize("broker", ["redis", pytest.param("amqp", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "pool", ["threads", pytest.param("solo", marks=pytest.mark.slow), pytest.param("gevent", marks=pytest.mark.slow)]
)
def test_g10_a_bridge_worker_serves_many_clients_in_whatever_pool(shop: Shop, pool: str) -> None:
    for id in CLIENTS:
        shop.client(id, topics=[f"{id}.#"], queue="celery")
    shop.worker("fleet", "celery", settings={})
    it = shop.worker("bridge", "bridge", settings={}, pool=pool, concurrency=4)
    shop.worker("beat", "none", settings={}, beat=True)  # a green pool can't have a beat of its own
    for id in CLIENTS:
        shop.publish(EVENTS, topic=f"{id}.event")
    shop.wait_until_all_done(EVENTS * len(CLIENTS), *CLIENTS)
    assert set(shop.handled()) == set(range(1, EVENTS * len(CLIENTS) + 1))
    assert "ConcurrentObjectUseError" not in it.log and "UnexpectedFrame" not in it.log
    assert "Traceback" not in it.log


@pytest.mark.parametrize("broker", ["amqp"])  # tests/whole/test_installed.py has all of them on Redis
@pytest.mark.parametrize(
    ("report_by", "pool"),
    [
        ("callback", "threads"),
        pytest.param("in-process", "gevent", marks=pytest.mark.slow),
        pytest.param("callback", "solo", marks=pytest.mark.slow),
        pytest.param("callback", "gevent", marks=pytest.mark.slow),
        pytest.param("in-process", "threads", marks=pytest.mark.slow),
        pytest.param("in-process", "solo", marks=pytest.mark.slow),
    ],
)
def test_g10_a_fleet_with_the_bridge_in_it_reports_from_whatever_pool(shop: Shop, pool: str, report_by: str) -> None:
    shop.client("c", report_by=report_by, queue="celery")
    shop.publish(120, poison=7)
    shop.worker("fleet", "celery", settings={}, pool=pool, concurrency=4)
    shop.worker("bridge", "bridge", settings={}, beat=True)
    shop.wait_until_all_done(120)
    assert shop.world.rows("parked") == [8]
    assert set(shop.handled()) == set(range(1, 121))
