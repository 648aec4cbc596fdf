"""An ordinary fleet: plain Celery, queues of its own, without the bridge.

Its tasks note their arguments on a Redis list. It must run under every Celery that the bridge feeds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from kombu import Queue
from redis import Redis

LONGEST_WAIT_SECONDS = 120
NOTEBOOK = os.environ.get("NOTEBOOK_URL") or os.environ["CELERY_BROKER_URL"]

QUEUE_ARGUMENTS = json.loads(os.environ.get("FLEET_QUEUE_ARGUMENTS", "{}"))

app = Celery("plain", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    task_create_missing_queues=False,
    task_queues=[Queue("fleet", queue_arguments=QUEUE_ARGUMENTS), Queue("chores")],
    task_default_queue="chores",
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control="FLEET_IS_SILENT" not in os.environ,
    task_acks_late="FLEET_TAKES_BACK" in os.environ,
    task_reject_on_worker_lost="FLEET_TAKES_BACK" in os.environ,
    worker_max_tasks_per_child=int(os.environ.get("FLEET_TASKS_PER_CHILD", "0")) or None,
    broker_transport_options=json.loads(os.environ.get("FLEET_TRANSPORT_OPTIONS", "{}")),
)


def note(task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    noted = {
        "task": task.name,
        "id": task.request.id,
        "args": args,
        "kwargs": kwargs,
        "headers": {
            name: getattr(task.request, name, None) for name in ("bridge_client", "bridge_offset", "traceparent")
        },
        "callbacks": task.request.callbacks,
        "errbacks": task.request.errbacks,
        "bridge installed": importlib.util.find_spec("bridge") is not None,
    }
    with Redis.from_url(NOTEBOOK, socket_timeout=None) as notebook:
        notebook.rpush("handled", json.dumps(noted))


@app.task(bind=True)
def handle(self: Task[Any, Any], event: dict[str, Any]) -> None:
    """Do what the payload says: `fail`, `die` (kill -9 the worker, once), `wait` (for the test's word) ..."""
    note(self, (event,), {})
    do = event["payload"].get("do")
    if do == "fail":
        raise ValueError("told to fail")
    if do == "fail once" and event["attempt"] == 1:
        raise ValueError("told to fail once")
    if do == "die" and event["attempt"] == 1:
        os.killpg(os.getpgrp(), signal.SIGKILL)
    if do == "lose the process" and event["attempt"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "lose each process":
        os.kill(os.getpid(), signal.SIGKILL)
    if do in ("give back", "retry at once"):
        time.sleep(0.3)  # long enough to be seen
        with Redis.from_url(NOTEBOOK, socket_timeout=None) as notebook:
            starts = notebook.incr(f"starts:{event['offset']}")
        if starts < 6:
            raise Reject(requeue=True) if do == "give back" else self.retry(countdown=0, max_retries=9)
    if do == "retry later":
        raise self.retry(countdown=600)
    if do in ("wait", "fail once"):
        with Redis.from_url(NOTEBOOK, socket_timeout=None) as notebook:
            notebook.blpop([f"go-on:{event['offset']}"], timeout=LONGEST_WAIT_SECONDS)


@app.task(bind=True)
def handle_batch(self: Task[Any, Any], events: Any) -> None:
    note(self, (events,), {})
    if any(event["payload"].get("do") == "lose each process" for event in events):
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(bind=True)
def archive(self: Task[Any, Any], event: dict[str, Any]) -> None:
    note(self, (event,), {})


@app.task(bind=True)
def store(self: Task[Any, Any], payload: Any) -> None:
    note(self, (payload,), {})


@app.task(bind=True)
def send_invoice(self: Task[Any, Any], order_id: int, email: str) -> None:
    note(self, (), {"order_id": order_id, "email": email})
