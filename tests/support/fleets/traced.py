"""The ordinary fleet, traced by OpenTelemetry's instrumentation of Celery."""

from __future__ import annotations

import spans  # type: ignore[import-not-found] # noqa: F401
from plain import app  # type: ignore[import-not-found]

__all__ = ["app"]
