"""Wait for other processes: with a condition and a deadline, never with a bare sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout: float = 30.0, what: str = "", poll_seconds: float = 0.02) -> T:
    """Call `condition` until it returns something true, and return that.

    Args:
        condition: Returns a false value for "not yet". An exception ends the wait.
        timeout: Seconds. Be generous: a machine under load is no reason to fail.
        what: The end of the message "not reached in 30 s: …".
        poll_seconds: Pause between two looks.

    Raises:
        AssertionError: the deadline passed; the message names the last value.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            wanted = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not reached in {timeout:g} s: {wanted} (last seen: {value!r})")
        time.sleep(poll_seconds)
    return value
