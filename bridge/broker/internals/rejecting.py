"""Borrow from Celery's tracing the moment at which a task rejects its message for good.

No signal says so in the process that runs the task, and only Celery 5.7 says it in the main process. In Celery 5.2 to
5.7 the method is called for each `Reject`, with the task and its request. Where it is gone, nothing is told, and the
lease of the event ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.app.trace import TraceInfo

_watched: list[Callable[..., Any]] = []  # what `handle_reject` has been made


def watch_rejections(tell: Callable[[Any, Any, BaseException], None]) -> None:
    """Have `tell` called with each task that rejects its message for good, its request and the exception.

    Calling it again changes nothing.
    """
    handle = getattr(TraceInfo, "handle_reject", None)
    if handle is None or handle in _watched:
        return

    @wraps(handle)
    def telling(self: Any, task: Any, req: Any, **kwargs: Any) -> Any:
        rejected = getattr(self, "retval", None)
        if isinstance(rejected, BaseException) and not getattr(rejected, "requeue", True):
            tell(task, req, rejected)
        return handle(self, task, req, **kwargs)

    _watched.append(telling)
    TraceInfo.handle_reject = telling
