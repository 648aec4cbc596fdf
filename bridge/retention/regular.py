"""Prune for a moment whenever beat says so, and warn of a log that is large. Nothing is removed because of its size."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from bridge.archive.places import place_of
from bridge.errors import UsageError
from bridge.retention.archive import archiver
from bridge.retention.prune import prune
from bridge.retention.size import size_warning
from bridge.settings.amount import bytes_of, seconds_of
from bridge.store import Store
from bridge.store.pruning import log_bytes

RUN_SECONDS = 1.0
FROM_THE_BEGINNING_SECONDS = 3600.0  # how often all of the log is looked at, for events that are needed no more by now
WARN_EVERY_SECONDS = 3600.0

logger = logging.getLogger("bridge")
# How far this process has pruned each log, and when it last began at the beginning.
_reached: WeakKeyDictionary[Store, tuple[int, float]] = WeakKeyDictionary()
_warned: dict[str, float] = {}  # when each kind of warning was last logged by this process


def prune_regularly(store: Store, *, keep: str, limit: str, archive: str = "") -> dict[str, Any]:
    """Remove what is older than `keep` for a second at most, warn of a log near its `limit`, and tell what was done.

    Args:
        store: The event log and its clients.
        keep: An age such as `30d`; empty: nothing is removed.
        archive: A directory or URL where events are archived before they are removed; empty: nowhere.
        limit: A size such as `200GB`; empty: nothing is warned of.

    Raises:
        StoreUnavailable: Postgres is away; the next run goes on.
    """
    told: dict[str, Any] = {}
    if keep:
        before = datetime.now(UTC) - timedelta(seconds=seconds_of(keep))
        first = archiver(store, place_of(archive)) if archive else None
        after, began = _beginning(store)
        try:
            done = prune(store, before=before, keep=None, after=after, seconds=RUN_SECONDS, first=first)
            _reached[store] = (after if done.last is None else done.last, began)
            told |= {"removed": done.events, "held_by": [it.name for it in done.held_by]}
        except UsageError as error:  # somebody began to need an event meanwhile: the next run sees that at once
            told |= {"stopped": str(error)}
    if limit and (warning := size_warning(log_bytes(store), bytes_of(limit))):
        told |= {"warning": warning}
        _warn(warning)
    return told


def _beginning(store: Store) -> tuple[int, float]:
    """Return above which offset to look, and when this process looked at all of the log.

    What was removed before leaves dead rows until a vacuum, and a run that began below them would walk over them.
    """
    after, began = _reached.get(store, (-1, -FROM_THE_BEGINNING_SECONDS))
    return (after, began) if time.monotonic() - began < FROM_THE_BEGINNING_SECONDS else (-1, time.monotonic())


def _warn(warning: str) -> None:
    """Log a warning, once an hour."""
    if time.monotonic() - _warned.get("size", -WARN_EVERY_SECONDS) >= WARN_EVERY_SECONDS:
        _warned["size"] = time.monotonic()
        logger.warning(warning)
