"""Waiting for what happens in other processes: a condition and a deadline, never a bare sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout: float = 30.0, what: str = "", poll_seconds: float = 0.02) -> T:
    """Call `condition` until it returns something true, and return that.

    Args:
        condition: Looks at the world. What it raises ends the wait: "not yet" is a false value.
        timeout: Seconds; generous, since a machine under load is no reason to fail.
        what: What is waited for, as it shall read in "not reached in 30 s: WHAT".
        poll_seconds: Pause between two looks.

    Raises:
        AssertionError: the deadline passed; names the last value.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            wanted = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not reached in {timeout:g} s: {wanted} (last seen: {value!r})")
        time.sleep(poll_seconds)
    return value
