"""The bridge's own tasks are known here, as they are in a bridge worker."""

from __future__ import annotations

from bridge import tasks

__all__ = ["tasks"]
