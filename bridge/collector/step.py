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
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from kombu import Queue

from bridge.app import Bridge, bridge_of
from bridge.broker.internals.workers import exchange_queues
from bridge.collector.loop import (
    FIRST_DELAY_SECONDS,
    IDLE_SECONDS,
    LONGEST_DELAY_SECONDS,
    collect,
    reader_on,
)
from bridge.contract import ticks_queue
from bridge.errors import BridgeError
from bridge.sender.sender import foresee
from bridge.trouble import Trouble

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.collector")


class Collector(bootsteps.StartStopStep):
    """Runs while the worker's consumer runs; starts anew after a broker reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge collector"

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this worker consumes the bridge's queue on a broker that the collector can read."""
        settings = bridge_of(parent.app).settings
        if settings.queue not in parent.app.amqp.queues.consume_from:
            return False
        foresee(parent.app, redis_writer=settings.stencil)
        return settings.collector and reader_on(parent.app) is not None

    def start(self, parent: Consumer) -> None:
        """Take the queue over from the worker's consumer, which has not begun to consume yet."""
        bridge = bridge_of(parent.app)
        queue, others = bridge.settings.queue, ticks_queue(bridge.settings.queue)
        exchange_queues(parent, leave=queue, take=Queue(others, exchange="", routing_key=others))
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(bridge, queue, others), name="bridge-collector", daemon=True
        )
        self._thread.start()

    def stop(self, parent: Consumer) -> None:
        """Settle the callbacks at hand, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * IDLE_SECONDS + 10)
            self._thread = None

    terminate = stop

    def _run(self, bridge: Bridge, queue: str, others: str) -> None:
        """Collect until stopped, whatever breaks meanwhile; after an error, a little later."""
        delay = FIRST_DELAY_SECONDS
        trouble = Trouble(logger, what="outcomes wait", over="outcomes are settled again")
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                collect(bridge, queue=queue, others=others, stopping=self._stopping, trouble=trouble)
            except BridgeError as error:
                trouble.went(error)
            except Exception as error:
                trouble.went(f"an unexpected error, trying again: {error}", unexpected=error)
            if time.monotonic() - began > 2 * LONGEST_DELAY_SECONDS:  # it worked for a while
                delay = FIRST_DELAY_SECONDS
            self._stopping.wait(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
