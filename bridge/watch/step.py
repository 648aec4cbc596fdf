"""The watch as a bootstep: a thread of a bridge worker's main process. Of several bridge workers, one looks."""

from __future__ import annotations

import logging
import threading
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

LOOK_SECONDS = 2.0
TURN_SECONDS = 60.0  # a look may wait for a broker that does not answer
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
        holder, watch, delay = uuid.uuid4().hex, Watch(bridge), LOOK_SECONDS
        trouble = Trouble(logger, what="lost messages are not looked for", over="lost messages are looked for again")
        while not stopping.wait(delay):
            try:
                if take_watch(bridge.store, bridge=bridge.settings.queue, holder=holder, seconds=TURN_SECONDS):
                    watch.look()
            except BridgeError as error:
                trouble.went(error)
            except Exception as error:  # kombu's and the driver's: a message that is lost waits for its lease
                trouble.went(f"{type(error).__name__}: {error}")
            else:
                trouble.back()
                delay = LOOK_SECONDS
                continue
            watch = Watch(bridge)  # two looks in a row: none may be missing in between
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)
