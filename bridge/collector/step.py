"""The collector: a bootstep that settles callbacks in batches, in a thread of the worker's main process.

One callback as a task of its own costs as much as a handler; here thousands share one transaction. A worker that
consumes the bridge's queue on Redis or RabbitMQ hands that queue to the collector, and gets back what is no callback
(the pump's ticks) on a queue beside it. On other brokers, or with `bridge_collector` off, callbacks run as ordinary
tasks.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from kombu import Queue

from bridge.app import Bridge, bridge_of
from bridge.collector.callback import Reader
from bridge.collector.reader import reader
from bridge.contract import CALLBACKS, ticks_queue
from bridge.errors import BridgeError
from bridge.settle.policy import rest
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store.migrate import check_schema

logger = logging.getLogger("bridge.collector")

MESSAGES_AT_ONCE = 2000
IDLE_SECONDS = 1.0  # longest wait for the next callback, so that stopping is quick
GATHER_SECONDS = 0.01  # a short rest after a small batch lets the next one grow
ADOPT_EVERY_SECONDS = 10.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0


class Collector(bootsteps.StartStopStep):
    """Runs while the worker's consumer runs; starts anew after a broker reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge collector"

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, parent: Consumer) -> bool:
        """Whether this worker consumes the bridge's queue on a broker that the collector can read."""
        settings = bridge_of(parent.app).settings
        return (
            settings.collector
            and settings.queue in parent.app.amqp.queues.consume_from
            and reader(parent.app) is not None
        )

    def start(self, parent: Consumer) -> None:
        """Take the queue over from the worker's consumer, which has not begun to consume yet."""
        bridge = bridge_of(parent.app)
        queue, others = bridge.settings.queue, ticks_queue(bridge.settings.queue)
        parent.task_consumer.cancel_by_queue(queue)
        parent.task_consumer.add_queue(Queue(others, exchange="", routing_key=others))
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(bridge, queue, others), name="bridge-collector", daemon=True
        )
        self._thread.start()

    def stop(self, parent: Consumer) -> None:
        """Finish the batch at hand."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * IDLE_SECONDS + 10)
            self._thread = None

    terminate = stop

    def _run(self, bridge: Bridge, queue: str, others: str) -> None:
        """Collect until stopped, whatever breaks meanwhile; after an error, a little later."""
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                collect(bridge, queue=queue, others=others, stopping=self._stopping)
            except BridgeError as error:
                logger.warning("outcomes wait: %s", error)
            except Exception:
                logger.exception("outcomes wait: an unexpected error, trying again")
            if time.monotonic() - began > 2 * LONGEST_DELAY_SECONDS:  # it worked for a while
                delay = FIRST_DELAY_SECONDS
            self._stopping.wait(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)


def collect(bridge: Bridge, *, queue: str, others: str, stopping: threading.Event) -> None:
    """Settle what arrives on a queue until told to stop.

    Raises:
        StoreUnavailable, BrokerUnavailable: what was taken is back on the queue, or will be put back.
    """
    # Nothing is taken while Postgres is away: some queues of RabbitMQ drop what was taken and put back too often.
    check_schema(bridge.store.engine)
    open_reader = reader(bridge.app)
    assert open_reader is not None, "or the step would not have included itself"
    callbacks = open_reader(bridge.app, queue=queue, others=others)
    try:
        adopted = 0.0
        while not stopping.is_set():
            if time.monotonic() - adopted > ADOPT_EVERY_SECONDS:
                callbacks.adopt()
                adopted = time.monotonic()
            messages = callbacks.wait(IDLE_SECONDS)
            messages += callbacks.take(MESSAGES_AT_ONCE - len(messages))
            began = time.monotonic()
            if messages:
                _settle(bridge, callbacks, messages)
                callbacks.done()
            if len(messages) < MESSAGES_AT_ONCE // 4:
                stopping.wait(rest(time.monotonic() - began, least=GATHER_SECONDS))
    finally:
        callbacks.close()


def _settle(bridge: Bridge, callbacks: Reader[Any], messages: list[Any]) -> None:
    """Settle the callbacks of a batch, and pass on the rest."""
    found = [(message, callbacks.read(message)) for message in messages]
    settle_callbacks(bridge, (callback for _, callback in found if callback and callback.task in CALLBACKS))
    callbacks.pass_on([message for message, callback in found if not callback or callback.task not in CALLBACKS])
