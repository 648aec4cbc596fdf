"""The watch as a bootstep: a thread of a bridge worker's main process. Of several bridge workers, one looks."""

from __future__ import annotations

import logging
import threading
import uuid
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from bridge.app import Bridge, bridge_of
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


class LostMessages(bootsteps.StartStopStep):
    """Runs where a collector runs: without one, outcomes may wait in workers, where they are not looked for."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge watch"

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker with a collector, and messages are to be looked for."""
        settings = bridge_of(parent.app).settings
        consumes = settings.queue in parent.app.amqp.queues.consume_from
        return consumes and settings.find_lost and settings.collector and reader_on(parent.app) is not None

    def start(self, parent: Consumer) -> None:
        """Begin to look."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=_run, args=(bridge_of(parent.app), self._stopping), name="bridge-watch", daemon=True
        )
        self._thread.start()

    def stop(self, parent: Consumer) -> None:
        """End; a look that waits for an answer ends by itself."""
        self._stopping.set()

    terminate = stop


def _run(bridge: Bridge, stopping: threading.Event) -> None:
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
