"""A bridge worker that is traced likewise."""

from __future__ import annotations

import spans  # type: ignore[import-not-found] # noqa: F401

from bridge.celery import app

__all__ = ["app"]
