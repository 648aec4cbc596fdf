"""The tasks that beat starts are neither seen nor heard: no task-sent event, and lines of level DEBUG."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import LOG_FAILURE, LOG_RECEIVED, LOG_SUCCESS
from redis import Redis

import bridge
from bridge.broker.periodic import PERIODIC, TickLines
from bridge.contract import PRUNE, PUMP
from bridge.tasks import prune, pump


def test_the_periodic_tasks_are_those_that_beat_starts() -> None:
    assert {PUMP, PRUNE} == PERIODIC


def test_celery_s_request_class_of_a_periodic_task_is_found_by_its_name() -> None:
    from celery.utils.imports import symbol_by_name
    from celery.worker.request import Request

    for task in (pump, prune):
        assert issubclass(symbol_by_name(task.Request), Request)
        assert not task.send_events


@pytest.mark.parametrize(
    ("logger", "message", "name", "level"),
    [
        ("celery.worker.strategy", LOG_RECEIVED, PUMP, "DEBUG"),
        ("celery.app.trace", LOG_SUCCESS, PUMP, "DEBUG"),
        ("celery.app.trace", LOG_SUCCESS, PRUNE, "DEBUG"),
        ("celery.app.trace", LOG_FAILURE, PUMP, "INFO"),
        ("celery.app.trace", LOG_SUCCESS, "bridge.commit", "INFO"),
        ("celery.app.trace", LOG_SUCCESS, "shop.own", "INFO"),
        ("celery.beat", "Scheduler: Sending due task %s (%s)", PUMP, "DEBUG"),
        ("celery.beat", "Scheduler: Sending due task %s (%s)", "shop.own", "INFO"),
    ],
)
def test_only_lines_that_say_that_a_tick_came_or_went_are_of_level_debug(
    caplog: pytest.LogCaptureFixture, logger: str, message: str, name: str, level: str
) -> None:
    quiet, it = TickLines(), logging.getLogger(logger)
    it.addFilter(quiet)
    try:
        for least in (logging.DEBUG, logging.INFO):
            caplog.set_level(least, logger)
            if logger == "celery.beat":
                it.info(message, name, name)
            else:
                data: dict[str, Any] = {"id": "i", "name": name, "runtime": 1.0, "return_value": "{}"}
                data |= {"args": "()", "kwargs": "{}", "description": "raised expected", "exc": "no"}
                it.info(message, data, extra={"data": data})
    finally:
        it.removeFilter(quiet)
    assert [record.levelname for record in caplog.records] == ([level] if level == "DEBUG" else [level] * 2)


def test_a_tick_has_no_task_sent_event_where_the_app_s_own_tasks_have_one(redis_url: str) -> None:
    with Celery("shop", broker=redis_url, set_as_current=False) as app, Redis.from_url(redis_url) as redis:
        app.conf.task_send_sent_event = True
        bridge.install(app)
        heard = redis.pubsub()
        heard.psubscribe("*celeryev*")
        assert heard.get_message(timeout=10)["type"] == "psubscribe"
        app.tasks[PUMP].apply_async(queue="bridge", ignore_result=True)
        app.send_task("shop.own", queue="bridge")
        found = heard.get_message(timeout=10)
        assert found is not None
        assert json.loads(b64decode(json.loads(found["data"])["body"]))["name"] == "shop.own", "it is not the tick's"
        assert redis.llen("bridge") == 2
        heard.close()
        app.close()
