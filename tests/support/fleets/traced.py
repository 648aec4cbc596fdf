"""The ordinary fleet, traced by OpenTelemetry's instrumentation of Celery."""

from __future__ import annotations

import spans  # noqa: F401
from plain import app

__all__ = ["app"]
