"""A fleet without the bridge, whose tasks use Celery's own machinery: retries, time limits, workflows.

Steps note their names on the Redis list `steps`; a step called `gate …` waits for an entry in the list of its name.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task, chain, chord, group
from celery.exceptions import Ignore, Reject
from kombu import Queue
from redis import Redis

LONGEST_WAIT_SECONDS = 60
REDIS = os.environ["CELERY_BROKER_URL"]

app = Celery("workflows", broker=REDIS, backend=REDIS)  # Celery's chords need a result backend, the bridge does not
app.conf.update(
    task_create_missing_queues=False,
    task_queues=[Queue("workflows")],
    task_default_queue="workflows",
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task
def step(name: str) -> str:
    with Redis.from_url(REDIS) as notebook:
        notebook.rpush("steps", name)
        if name.startswith("gate"):
            notebook.blpop([name], timeout=LONGEST_WAIT_SECONDS)
    if name == "broken":
        raise ValueError("told to fail")
    return name


@app.task
def collect(names: list[str]) -> None:
    step("collected")


@app.task
def handle(event: dict[str, Any]) -> None:
    step(event["topic"])


@app.task(bind=True, max_retries=2)
def retry(self: Task[Any, Any], event: dict[str, Any]) -> None:
    """Succeed in the third of Celery's own tries; fail for good if the payload says so."""
    step(f"try {self.request.retries} of attempt {event['attempt']}")
    if self.request.retries < 2 or event["payload"].get("poison"):
        raise self.retry(countdown=0, exc=ValueError("told to fail"))


@app.task(bind=True, autoretry_for=(ValueError,), max_retries=2, default_retry_delay=0)
def autoretry(self: Task[Any, Any], event: dict[str, Any]) -> None:
    """Do the same by Celery's `autoretry_for`."""
    step(f"try {self.request.retries} of attempt {event['attempt']}")
    if self.request.retries < 2 or event["payload"].get("poison"):
        raise ValueError("told to fail")


@app.task(time_limit=1)
def too_long(event: dict[str, Any]) -> None:
    step("gate of too long")


@app.task
def ignore(event: dict[str, Any]) -> None:
    step("ignored")
    if event["attempt"] == 1:
        raise Ignore


@app.task(acks_late=True)
def reject(event: dict[str, Any]) -> None:
    raise Reject("told to", requeue=False)


@app.task(bind=True)
def become_chain(self: Task[Any, Any], event: dict[str, Any]) -> None:
    last = "broken" if event["payload"].get("poison") else "gate of the last"
    raise self.replace(chain(step.si("first"), step.si("second"), step.si(last)))


@app.task(bind=True)
def become_group(self: Task[Any, Any], event: dict[str, Any]) -> None:
    last = "broken" if event["payload"].get("poison") else "gate of the group"
    raise self.replace(group(step.si("first"), step.si(last)))


@app.task(bind=True)
def become_chord(self: Task[Any, Any], event: dict[str, Any]) -> None:
    last = "broken" if event["payload"].get("poison") else "gate of the header"
    raise self.replace(chord([step.si("first"), step.si(last)], collect.s()))


@app.task
def spawn(event: dict[str, Any]) -> None:
    """Start subtasks and return: Celery does not wait for them, so neither does the bridge."""
    step.delay("gate of the spawned")
    chain(step.si("spawned first"), step.si("spawned second")).delay()
