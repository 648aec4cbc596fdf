"""Settings that are meant for an app's own tasks leave the bridge's tasks as they are (G10)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery, Task
from redis import Redis

import bridge
from bridge.broker.own_task import PINNED, publish_own
from bridge.contract import COMMIT, FAIL, PUMP, SETTLE
from bridge.worker.callbacks import CallbackPublisher

OWN = (PUMP, COMMIT, FAIL, SETTLE)

# What an app might set for all of its tasks, by the attribute of a task that Celery takes from its configuration.
FOR_ALL_TASKS: dict[str, Any] = {
    "serializer": "pickle",
    "rate_limit": "1/h",
    "priority": 5,
    "time_limit": 1,
    "soft_time_limit": 1,
    "track_started": True,
    "acks_late": True,
    "acks_on_failure_or_timeout": False,
    "acks_on_failure": False,
    "acks_on_timeout": False,
    "reject_on_worker_lost": True,
    "retry_on_worker_lost": True,
    "ignore_result": False,
    "store_eager_result": True,
    "store_errors_even_if_ignored": True,
}


def pinned(**conf: Any) -> dict[str, dict[str, Any]]:
    """Return what is pinned, as the bridge's tasks have it in an app with this configuration."""
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.update(conf)
        bridge.install(app)
        app.finalize()
        return {name: {it: getattr(app.tasks[name], it) for it in PINNED} for name in OWN}


def test_g10_no_setting_for_all_tasks_reaches_the_bridge_s_own() -> None:
    settings = {setting: FOR_ALL_TASKS[attribute] for attribute, setting in Task.from_config}
    assert {attribute for attribute, _ in Task.from_config} <= set(PINNED), "Celery has a new one: what becomes of it?"
    plain = pinned()
    assert pinned(**settings) == plain
    assert plain[PUMP]["acks_late"] is False
    assert plain[COMMIT]["acks_late"] is plain[FAIL]["acks_late"] is plain[SETTLE]["acks_late"] is True


@pytest.mark.parametrize("whose", ["*", *OWN])
def test_g10_no_annotation_changes_what_is_pinned_and_others_are_honoured(whose: str) -> None:
    plain = pinned()
    odd = {name: FOR_ALL_TASKS.get(name, "odd") for name in PINNED}
    assert pinned(task_annotations={whose: odd}) == plain
    with Celery("shop", broker="memory://", set_as_current=False) as app:
        app.conf.task_annotations = {whose: {**odd, "mine": 1}}
        bridge.install(app)
        assert [name for name in OWN if getattr(app.tasks[name], "mine", 0)] == [*(OWN if whose == "*" else [whose])]


# What an app's settings could do to a message of the bridge.
MISLEADING: dict[str, Any] = {
    "task_protocol": 1,
    "task_default_priority": 5,
    "task_routes": {"*": {"queue": "elsewhere", "priority": 9}},
    "task_queues": {"elsewhere": {}},
    "task_create_missing_queues": False,
    "task_default_queue": "not among them",
    "task_serializer": "pickle",
    "task_always_eager": True,
    "task_inherit_parent_priority": True,
    "broker_transport_options": {"sep": ":", "priority_steps": [*range(10)]},
}


def test_g10_joined_callbacks_get_to_the_bridge_s_queue_whatever_the_fleet_s_settings_are(redis_url: str) -> None:
    with Celery("fleet", broker=redis_url, set_as_current=False) as app:
        app.conf.update(MISLEADING)
        bridge.install(app)
        CallbackPublisher(app, "bridge").publish([(COMMIT, ["c", n, 1, 1, "signature"]) for n in range(700)])
        with app.producer_or_acquire() as producer:
            publish_own(app, producer, PUMP, [], queue="bridge", shown="")
    with Redis.from_url(redis_url) as redis:
        assert {key.decode() for key in redis.keys("*")} == {"bridge"}
        messages = [json.loads(message) for message in reversed(redis.lrange("bridge", 0, -1))]
    assert [message["headers"]["task"] for message in messages] == [SETTLE, SETTLE, PUMP]
    assert {message["content-type"] for message in messages} == {"application/json"}
    assert messages[0]["headers"]["argsrepr"] == "(500 callbacks,)"


def test_g10_the_pump_is_started_on_the_list_that_is_read_first(redis_url: str) -> None:
    with Celery("shop", broker=redis_url, set_as_current=False) as app:
        app.conf.update(task_default_priority=5, task_time_limit=1)
        bridge.install(app)
        app.finalize()
        options = app.conf.beat_schedule[PUMP]["options"]
        app.tasks[PUMP].apply_async(**options)
    with Redis.from_url(redis_url) as redis:
        [message] = [json.loads(message) for message in redis.lrange("bridge", 0, -1)]
    assert message["properties"]["priority"] == 0
    assert min(message["headers"]["timelimit"]) > 3600
