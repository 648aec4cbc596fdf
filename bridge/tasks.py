"""The bridge's own Celery tasks: the pump that beat starts, and the callbacks of what it hands over.

They are shared tasks: importing this module adds them to every app of the process.
"""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from bridge.app import PUMP, bridge_of
from bridge.callbacks import JoinedCallback
from bridge.errors import Unavailable
from bridge.sender import COMMIT, FAIL, SETTLE

PATIENCE: dict[str, Any] = {  # an outcome is never given up: while Postgres is away, it waits
    "autoretry_for": (Unavailable,),
    "max_retries": None,
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "acks_late": True,
    "ignore_result": True,
}


@shared_task(bind=True, name=PUMP, ignore_result=True)
def pump(self: Task[Any, Any]) -> dict[str, int]:
    """Hand over everything that can be, then linger for more; what was done is the result."""
    return bridge_of(self.app).tick()._asdict()


@shared_task(bind=True, name=COMMIT, base=JoinedCallback, **PATIENCE)
def commit(self: Task[Any, Any], *args: Any) -> None:
    """Settle one success. A worker with the collector does this for many at once."""
    bridge_of(self.app).settle([(COMMIT, args)])


@shared_task(bind=True, name=FAIL, base=JoinedCallback, **PATIENCE)
def fail(self: Task[Any, Any], *args: Any) -> None:
    """Settle one failure."""
    bridge_of(self.app).settle([(FAIL, args)])


@shared_task(bind=True, name=SETTLE, **PATIENCE)
def settle(self: Task[Any, Any], *args: Any) -> None:
    """Settle many successes and failures, as pairs of task name and arguments."""
    bridge_of(self.app).settle([(SETTLE, args)])
