"""Borrow from billiard whether a process of its pool was told to end, and so its task was interrupted from outside.

A handler may raise what is no `Exception`: an `asyncio.CancelledError`, a time-out of gevent's, `sys.exit()`. That is
the end of its attempt. The same kinds are raised in a task by who stops the worker, and then it has not failed. Where
billiard does not say which it was (4.3.2 does), `SystemExit` counts as that.
"""

from __future__ import annotations

import sys

from billiard import common


def left_by_itself(error: BaseException) -> bool:
    """Tell whether this left a task because of the task itself, and is nothing that Celery calls a failure."""
    if isinstance(error, Exception | KeyboardInterrupt | GeneratorExit | _killed()):
        return False
    told_to_end = getattr(common, "terminate_handler_fired", None)
    if isinstance(error, SystemExit):  # its subclasses are Celery's, for a worker that ends
        return type(error) is SystemExit and told_to_end is not None and not told_to_end()
    return told_to_end is None or not told_to_end()


def _killed() -> type[BaseException] | tuple[()]:
    """Return what ends a greenlet from outside, where there are greenlets."""
    found: type[BaseException] | tuple[()] = getattr(sys.modules.get("greenlet"), "GreenletExit", ())
    return found
