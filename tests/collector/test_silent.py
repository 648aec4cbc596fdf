"""A broker that says nothing any more, as one whose machine has vanished, is given up and connected to anew (G10)."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery

from bridge.app import Bridge
from bridge.collector import redis as on_redis
from bridge.collector.step import Collector
from tests.collector.collecting import SECONDS, genuine
from tests.support.link import Link
from tests.support.waiting import wait_until
from tests.support.world import World


@pytest.mark.parametrize("broker", ["redis_url", pytest.param("amqp_url", marks=pytest.mark.slow)])
def test_g10_outcomes_are_settled_when_the_broker_fell_silent_on_the_connections_that_there_were(
    world: World, broker: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_redis, "SILENT_SECONDS", 2.0)
    url: str = request.getfixturevalue(broker)
    world.client(ordering="none")
    world.publish(None, None)
    theirs, port = world.hand_over(), urlsplit(url).port
    assert port is not None
    link, stopping = Link(port), threading.Event()
    with Celery("fleet", broker=url, set_as_current=False) as fleet, Celery("bridge", set_as_current=False) as app:

        def report(nth: int) -> None:
            fleet.send_task("bridge.commit", args=genuine(theirs[nth]), queue="bridge")

        address = world.store.engine.url.render_as_string(hide_password=False)
        through: dict[str, Any] = {"broker_url": url.replace(f":{port}/", f":{link.port}/"), "broker_heartbeat": 2}
        app.conf.update(through, bridge_secret="s", bridge_database_url=address)
        bridge = Bridge(app)
        collector = Collector(SimpleNamespace(connection=None))
        thread = threading.Thread(target=collector.run, args=(bridge, stopping))
        thread.start()
        try:
            report(0)
            wait_until(lambda: world.cursor() == 1, timeout=SECONDS, what="the first outcome is settled")
            link.lose()
            report(1)
            wait_until(lambda: world.cursor() == 2, timeout=SECONDS, what="the second one is settled as well")
        finally:
            stopping.set()
            link.cut()
            thread.join(SECONDS)
            link.close()
            bridge.store.close()
