"""zstd: Python's own from 3.14 on, else the same as `backports.zstd`, which the extra `archive` installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bridge.errors import NotInstalled


def zstd() -> Any:
    """Return the module.

    Raises:
        NotInstalled: there is none.
    """
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise NotInstalled("an archive needs zstd: pip install 'celery-event-bridge[archive]'")
