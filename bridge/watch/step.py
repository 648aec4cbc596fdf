"""The watch as a bootstep: a thread of a bridge worker's main process. Of several bridge workers, one looks."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING

from bridge.app import Bridge, bridge_of
from bridge.collector.in_thread import InThread
from bridge.collector.loop import reader_on
from bridge.errors import BridgeError
from bridge.store.losses import take_watch
from bridge.trouble import Trouble
from bridge.watch.watching import Watch

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.watch")

TURN_SECONDS = 60.0  # a look may wait for a broker that does not answer
KEPT_SECONDS = 5.0  # the turn is not taken anew at each look: that is a write
FIRST_DELAY_SECONDS, DELAY_SECONDS = 0.1, 2.0
LONGEST_DELAY_SECONDS = 30.0


class LostMessages(InThread):
    """Runs where a collector runs: without one, outcomes may wait in workers, where they are not looked for."""

    label = "Bridge watch"
    thread_name = "bridge-watch"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker with a collector, and messages are to be looked for."""
        bridge = bridge_of(parent.app)
        wanted = bridge.is_served_here and bridge.settings.find_lost and bridge.settings.collector
        return wanted and reader_on(parent.app) is not None

    def run(self, bridge: Bridge, stopping: threading.Event) -> None:
        """Look again and again, whatever breaks meanwhile."""
        turn, watch, delay = Turn(bridge), Watch(bridge), FIRST_DELAY_SECONDS
        trouble = Trouble(logger, what="lost messages are not looked for", over="lost messages are looked for again")
        while not stopping.wait(delay):
            try:
                if turn.is_ours():
                    watch.look()
                    delay = watch.rest_seconds
                else:
                    delay = DELAY_SECONDS
            except BridgeError as error:
                trouble.went(error)
            except Exception as error:  # kombu's and the driver's: a message that is lost waits for its lease
                trouble.went(f"{type(error).__name__}: {error}")
            else:
                trouble.back()
                continue
            watch = Watch(bridge)  # two looks in a row: none may be missing in between
            delay = min(max(2 * delay, DELAY_SECONDS), LONGEST_DELAY_SECONDS)


class Turn:
    """The turn to look: of several bridge workers, one has it.

    Args:
        bridge: The settings and the store.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge, self._holder = bridge, uuid.uuid4().hex
        self._kept = 0.0  # until this time.monotonic()

    def is_ours(self) -> bool:
        """Take or keep the turn; tell whether this worker has it.

        Raises:
            StoreUnavailable: nothing is known.
        """
        now, name = time.monotonic(), self._bridge.settings.queue
        if now >= self._kept:
            ours = take_watch(self._bridge.store, bridge=name, holder=self._holder, seconds=TURN_SECONDS)
            self._kept = now + KEPT_SECONDS if ours else 0.0
            return ours
        return True
