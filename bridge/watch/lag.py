"""Say in the log that a client lags: its oldest unfinished event is older than `bridge_lag_limit`.

It is asked in a thread of a bridge worker's main process, so it is said where no pump runs, too.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from bridge.app import Bridge, bridge_of
from bridge.collector.in_thread import InThread
from bridge.errors import BridgeError
from bridge.settings.amount import seconds_of
from bridge.store.losses import lagging
from bridge.trouble import Trouble
from bridge.wording import counted, said, span

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.watch")

LOOK_SECONDS = 10.0


class Lag:
    """What one bridge worker has said of its clients.

    Args:
        bridge: The settings and the store.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._limit_seconds = seconds_of(bridge.settings.lag_limit)
        self._troubles: dict[str, Trouble] = {}

    def look(self) -> None:
        """Look at all clients of this bridge, and say which ones lag, and which ones do so no more.

        Raises:
            StoreUnavailable: nothing is known.
        """
        found = lagging(self._bridge.store, bridge=self._bridge.settings.queue, seconds=self._limit_seconds)
        for it in found:
            what, over = f"client {it.client} lags", f"client {it.client} lags no more"
            trouble = self._troubles.setdefault(it.client, Trouble(logger, what=what, over=over, client=it.client))
            state = "" if it.state == "active" else f" is {it.state}, and"
            events = counted(it.offsets, "offset", "offsets")
            trouble.went(
                f"it{state} has {events} of the log before it, and its oldest event not finished is event {it.offset}, "
                f"{span(it.seconds)} old: see `eventbridge explain {it.client}`"
            )
        for client in self._troubles.keys() - {it.client for it in found}:
            self._troubles.pop(client).back()


class LagWatch(InThread):
    """Runs in bridge workers where `bridge_lag_limit` is set."""

    label = "Bridge lag"
    thread_name = "bridge-lag"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker, and there is a limit."""
        bridge = bridge_of(parent.app)
        return bool(bridge.settings.lag_limit) and bridge.is_served_here

    def run(self, bridge: Bridge, stopping: threading.Event) -> None:
        """Look again and again; while Postgres is away, others say so."""
        lag = Lag(bridge)
        trouble = Trouble(logger, what="it is not known which clients lag", over="it is known again which clients lag")
        while not stopping.wait(LOOK_SECONDS):
            try:
                lag.look()
            except BridgeError as error:
                logger.debug("it is not known which clients lag: %s", said(error))
            except Exception as error:
                trouble.went(error, unexpected=error)
            else:
                trouble.back()
