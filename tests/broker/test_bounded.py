"""How long the bridge, and Celery in a bridge worker, wait for a broker: an app's own limit counts (G10)."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from celery import Celery

from bridge.broker.transports import ANSWER_SECONDS, bound_celery, bounded

REDIS, AMQP = "redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"


def app_on(url: str, **options: Any) -> Celery:
    app = Celery("bounded", broker=url, set_as_current=False)
    app.conf.broker_transport_options = options
    return app


@pytest.mark.parametrize(
    ("url", "own", "bound"),
    [
        (REDIS, {}, 5),
        (REDIS, {"socket_timeout": 2}, 2),
        (REDIS, {"socket_timeout": None}, 5),
        (REDIS, {"socket_timeout": 0}, 5),
        ("sentinel://127.0.0.1:1", {"master_name": "m"}, 5),
    ],
)
def test_g10_an_app_s_own_limit_counts_and_no_limit_does_not(url: str, own: dict[str, Any], bound: float) -> None:
    assert bounded(app_on(url, **own), socket_timeout=5) == {"socket_timeout": bound}


@pytest.mark.parametrize(
    ("own", "bound"),
    [
        ({}, {"socket_timeout": 5, "read_timeout": 5, "write_timeout": 3}),
        ({"socket_timeout": 2, "read_timeout": 4}, {"socket_timeout": 2, "read_timeout": 4, "write_timeout": 3}),
    ],
)
def test_g10_each_wait_for_rabbitmq_has_a_limit(own: dict[str, Any], bound: dict[str, float]) -> None:
    assert bounded(app_on(AMQP, **own), socket_timeout=5, write_timeout=3) == bound


def test_transports_that_know_no_limits_get_none() -> None:
    assert bounded(app_on("memory://"), socket_timeout=5) == {}


def test_g10_celery_s_own_waits_for_redis_get_limits_that_are_not_taken_for_the_app_s() -> None:
    app = app_on(REDIS, visibility_timeout=7200, socket_keepalive=False)
    bound_celery(app)
    bound_celery(app)
    options = app.conf.broker_transport_options
    assert options["visibility_timeout"] == 7200 and options["socket_keepalive"] is False
    assert options["socket_timeout"] == ANSWER_SECONDS
    assert options["socket_keepalive_options"][socket.TCP_KEEPCNT] > 0
    assert bounded(app, socket_timeout=5) == {"socket_timeout": 5}


@pytest.mark.parametrize(("url", "own"), [(AMQP, {}), ("memory://", {}), (REDIS, {"socket_timeout": 3})])
def test_celery_s_own_waits_keep_their_limits(url: str, own: dict[str, Any]) -> None:
    app = app_on(url, **own)
    bound_celery(app)
    assert {**app.conf.broker_transport_options, **own} == app.conf.broker_transport_options
    assert ("socket_timeout" in app.conf.broker_transport_options) == bool(own)
