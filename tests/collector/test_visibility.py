"""A visibility timeout that is shorter than a lease or a time limit is said once, and what to set (G10)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from bridge.app import bridge_of
from bridge.broker.visibility import visibility_problem
from bridge.collector.visibility import warn_of_visibility
from tests.support.world import World

REDIS, AMQP = "redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"
HOUR = 3600.0


@pytest.mark.parametrize(
    ("broker", "conf", "leases", "said"),
    [
        (REDIS, {}, {}, ""),
        (REDIS, {}, {"c": HOUR}, ""),
        (REDIS, {}, {"c": HOUR + 1}, "3600 s, and the lease of client 'c' is 3601 s"),
        (REDIS, {"visibility_timeout": 5}, {"a": 10, "c": 60, "b": 4}, "5 s, and the lease of client 'c' is 60 s"),
        (REDIS, {"visibility_timeout": 60}, {"c": 60}, ""),
        (REDIS, {"visibility_timeout": 60, "task_time_limit": 90}, {"c": 60}, "the time limit of a task is 90 s"),
        (REDIS, {"visibility_timeout": 60, "task_soft_time_limit": 61}, {}, "the time limit of a task is 61 s"),
        (REDIS, {"task_time_limit": 90}, {}, ""),
        (AMQP, {"visibility_timeout": 5}, {"c": HOUR}, ""),
        ("memory://", {"visibility_timeout": 5}, {"c": HOUR}, ""),
    ],
)
def test_g10_what_is_longer_than_the_visibility_timeout_is_named(
    broker: str, conf: dict[str, Any], leases: dict[str, float], said: str
) -> None:
    with Celery("bridge", broker=broker, set_as_current=False) as app:
        app.conf.broker_transport_options = {k: v for k, v in conf.items() if k == "visibility_timeout"}
        app.conf.update({k: v for k, v in conf.items() if k != "visibility_timeout"})
        problem = visibility_problem(app, leases)
    assert (said in problem) if said else problem == ""
    assert not said or 'set broker_transport_options["visibility_timeout"] to' in problem


@pytest.fixture
def app(world: World, redis_url: str) -> Iterator[Celery]:
    """An app with a visibility timeout of a minute."""
    with Celery("bridge", broker=redis_url, set_as_current=False) as app:
        app.conf.bridge_database_url = world.store.engine.url.render_as_string(hide_password=False)
        app.conf.broker_transport_options = {"visibility_timeout": 60}
        yield app
        bridge_of(app).store.close()


def test_g10_a_worker_says_it_in_one_line_once(world: World, app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    world.client("long", ack_timeout_seconds=7321.0)
    world.client("short", ack_timeout_seconds=30)
    world.eyes.execute("SELECT fq.commit('reader', 1)")
    with caplog.at_level(logging.WARNING, "bridge.collector"):
        for _ in range(3):
            warn_of_visibility(bridge_of(app))
    [record] = [record for record in caplog.records if "visibility_timeout" in record.getMessage()]
    assert "the lease of client 'long' is 7321 s" in record.getMessage()
    assert "\n" not in record.getMessage()
