"""Warn, when a bridge worker starts, of a visibility timeout that is shorter than a lease."""

from __future__ import annotations

import logging
from functools import cache

from bridge.app import Bridge
from bridge.broker.visibility import visibility_problem
from bridge.store.clients import list_clients
from bridge.wording import said

logger = logging.getLogger("bridge.collector")


def warn_of_visibility(bridge: Bridge) -> None:
    """Write one line into the log if this Redis may hand out a message twice within a lease; once in a process.

    Raises:
        StoreUnavailable: the clients can't be read.
    """
    leases = {
        client.id: float(client.settings["ack_timeout_seconds"])
        for client in list_clients(bridge.store)
        if not client.is_reader and client.settings["bridge"] == bridge.settings.queue
    }
    if problem := visibility_problem(bridge.app, leases):
        _warn(problem)


@cache
def _warn(problem: str) -> None:
    logger.warning("%s", said(problem))
