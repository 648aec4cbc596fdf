"""What is kept of each failed attempt beside the whole reason of the last one, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.bounds import KEPT_ERROR_CHARACTERS, KEPT_TRACEBACK_CHARACTERS
from bridge.model import Failure

LEFT_OUT = " … "


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A failed attempt, as far as it is known. The names are keys of `parked CLIENT --offset N --json`.

    Attributes:
        attempt: Its number, from 1.
        at: When its outcome was settled.
        error_type: Name of the exception.
        error: Its message; of all attempts but the last cut short.
        traceback: Its traceback, likewise.
        host: The worker that it was on.
        runtime_seconds: How long it ran.
        told_by: Who told why: `callback`, `worker`, `event` or `result backend`; None if nobody did.
    """

    attempt: int
    at: datetime
    error_type: str | None = None
    error: str | None = None
    traceback: str | None = None
    host: str | None = None
    runtime_seconds: float | None = None
    told_by: str | None = None


def kept_json(failure: Failure) -> str:
    """Return what is kept of one failed attempt as JSON: what is known, its texts cut short.

    `settle.reasons` has made the texts such that Postgres takes them.
    """
    kept = {
        "error_type": failure.type,
        "error": _cut(failure.message, KEPT_ERROR_CHARACTERS),
        "traceback": _cut(failure.traceback, KEPT_TRACEBACK_CHARACTERS, tail=KEPT_TRACEBACK_CHARACTERS * 3 // 4),
        "host": failure.host,
        "runtime_seconds": failure.runtime_seconds,
        "told_by": failure.told_by,
    }
    return json.dumps({name: value for name, value in kept.items() if value is not None}, ensure_ascii=False)


def read_kept(kept: Sequence[Mapping[str, Any]] | None) -> list[FailedAttempt]:
    """Read what is kept of the failed attempts of an event, the first one first."""
    return [FailedAttempt(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in kept or ()]


def _cut(text: str | None, most: int, *, tail: int = 0) -> str | None:
    """Cut a text to about so many characters, and keep so many of its end."""
    if text is None or len(text) <= most:
        return text
    return text[: most - tail] + LEFT_OUT + (text[-tail:] if tail else "")
