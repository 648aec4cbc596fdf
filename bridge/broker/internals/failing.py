"""Borrow from the frames of a worker that is about to call a failed task's errbacks.

Celery tells an errback that is called by its name nothing but the id of the task. The functions that call it know the
rest: which exception, since when the task ran. They are looked at only when a task has failed, so a success pays
nothing. Where they have changed, nothing is found, and the failure counts without its reason.
"""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any, NamedTuple

MOST_FRAMES = 40


class Failing(NamedTuple):
    """What a worker knows of a failed task.

    Attributes:
        error: The exception; None if it is not known.
        traceback: Its traceback as text.
        host: The worker's name.
        began: The `time.monotonic()` at which the task began to run; None in a worker's main process.
    """

    error: Any = None
    traceback: Any = None
    host: Any = None
    began: Any = None


def failing_task() -> Failing:
    """Look for the failed task whose errbacks, or whose signal, this thread is about to call."""
    found = Failing()
    frame: FrameType | None = inspect.currentframe()
    for _ in range(MOST_FRAMES):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            break
        name = frame.f_code.co_name
        if name == "_call_task_errbacks" and found.error is None:
            known = frame.f_locals
            host = getattr(known.get("request"), "hostname", None)
            found = found._replace(error=known.get("exc"), traceback=known.get("traceback"), host=host)
        elif name == "trace_task":
            return found._replace(began=frame.f_locals.get("time_start"))
    return found
