"""The fleet that handles events in benchmarks: an ordinary Celery app without the bridge."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from redis import Redis

QUEUE = "fleet"
HOT = "hot"

broker_url = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
app = Celery("fleet", broker=broker_url)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("FLEET_PREFETCH", "4")),
)
redis = Redis.from_url(os.environ.get("NOTES_URL", broker_url))


@app.task(name="fleet.noop", shared=False)
def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


@app.task(name="fleet.note", shared=False)
def note(event: dict[str, Any]) -> None:
    """Note when the handler began."""
    began = time.time()
    redis.rpush("bench:notes", json.dumps([event["offset"], began]))


@app.task(name="fleet.keyed", shared=False)
def keyed(event: dict[str, Any]) -> None:
    """Take a while for an event of the hot key, and note when; count the events of other keys."""
    if event["key"] != HOT:
        redis.incr("bench:others")
        return
    began = time.time()
    time.sleep(event["payload"].get("seconds", 0))
    redis.rpush("bench:hot", json.dumps([event["offset"], began, time.time()]))


@worker_ready.connect
def _ready(**_: Any) -> None:
    redis.rpush("bench:ready", "fleet")
