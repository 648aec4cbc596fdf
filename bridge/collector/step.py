"""The collector: a bootstep that settles thousands of callbacks at once, in a thread of the worker's main process.

One callback as a task of its own costs as much as a handler; here thousands share one transaction. A worker that
consumes the bridge's queue on Redis or RabbitMQ gives that queue up to the collector, and consumes a queue beside it
instead, to which the collector passes on every message that is no callback, such as the pump's ticks. On other brokers,
or with `bridge_collector` off, callbacks run as ordinary tasks.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from kombu import Queue

from bridge.app import Bridge, bridge_of
from bridge.broker.internals.workers import exchange_queues
from bridge.collector.in_thread import InThread
from bridge.collector.loop import (
    FIRST_DELAY_SECONDS,
    IDLE_SECONDS,
    LONGEST_DELAY_SECONDS,
    collect,
    reader_on,
)
from bridge.collector.silence import Waits
from bridge.contract import ticks_queue
from bridge.errors import BridgeError, BrokerSilent
from bridge.sender.sender import foresee
from bridge.settle.ask_backend import asker_of
from bridge.trouble import Trouble

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.collector")


class Collector(InThread):
    """Runs in bridge workers, on brokers that the collector can read."""

    label = "Bridge collector"
    thread_name = "bridge-collector"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this worker consumes the bridge's queue on a broker that the collector can read."""
        bridge = bridge_of(parent.app)
        if not bridge.is_served_here:
            return False
        foresee(parent.app, redis_writer=bridge.settings.stencil)
        return bridge.settings.collector and reader_on(parent.app) is not None

    def start(self, parent: Consumer) -> None:
        """Take the queue over from the worker's consumer, which has not begun to consume yet."""
        queue = bridge_of(parent.app).settings.queue
        others = ticks_queue(queue)
        exchange_queues(parent, leave=queue, take=Queue(others, exchange="", routing_key=others))
        super().start(parent)

    def stop(self, parent: Consumer) -> None:
        """Settle the callbacks at hand, and end."""
        super().stop(parent)
        if self._thread is not None:
            self._thread.join(timeout=2 * IDLE_SECONDS + 10)
            self._thread = None

    def run(self, bridge: Bridge, stopping: threading.Event) -> None:
        """Collect until stopped, whatever breaks meanwhile; after an error, a little later."""
        queue, delay = bridge.settings.queue, FIRST_DELAY_SECONDS
        if asker := asker_of(bridge.app):
            asker.prepare()
        trouble = Trouble(logger, what="outcomes wait", over="outcomes are settled again")
        others, waits = ticks_queue(queue), Waits(self._consumer)
        while not stopping.is_set():
            began = time.monotonic()
            try:
                collect(bridge, queue=queue, others=others, stopping=stopping, trouble=trouble, answered=waits.look)
            except BrokerSilent as error:
                trouble.went(error)
                waits.suspect()
            except BridgeError as error:
                trouble.went(error)
            except Exception as error:
                trouble.went(f"an unexpected error, trying again: {error}", unexpected=error)
            if time.monotonic() - began > 2 * LONGEST_DELAY_SECONDS:  # it worked for a while
                delay = FIRST_DELAY_SECONDS
            stopping.wait(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
