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

from celery import Celery, bootsteps
from kombu import Queue

from bridge.app import Bridge, bridge_of
from bridge.broker.kombu_internals import exchange_queues
from bridge.collector.amqp import AmqpReader
from bridge.collector.reader import Reader
from bridge.collector.redis import RedisReader
from bridge.collector.visibility import warn_of_visibility
from bridge.contract import SETTLED_TASKS, ticks_queue
from bridge.errors import BridgeError
from bridge.sender.sender import foresee
from bridge.settle.policy import rest
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store.migrate import check_schema

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.collector")

MESSAGES_AT_ONCE = 2000
IDLE_SECONDS = 1.0  # longest wait for the next callback, so that stopping is quick
GATHER_SECONDS = 0.01  # shortest rest after fewer than 500 messages, so that more share the next transaction
ADOPT_EVERY_SECONDS = 10.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0

READERS: dict[str, type[Reader[Any]]] = {"py-amqp": AmqpReader, "redis": RedisReader}


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


def reader_on(app: Celery) -> type[Reader[Any]] | None:
    """Return the reader for this app's broker; None if callbacks can only run as ordinary tasks there."""
    found = READERS.get(app.connection_for_read().transport.driver_name)
    return found if found is not None and found.fast_way.conforms(found.try_out) else None


def collect(bridge: Bridge, *, queue: str, others: str, stopping: threading.Event) -> None:
    """Settle the callbacks that arrive on a queue until told to stop.

    Raises:
        StoreUnavailable, BrokerUnavailable: the messages that were taken are back on the queue, or will be put back.
    """
    # This raises while Postgres is away, before a message is taken. A quorum queue of RabbitMQ drops a message that was
    # put back too often.
    check_schema(bridge.store.engine)
    warn_of_visibility(bridge)
    kind = reader_on(bridge.app)
    assert kind is not None, "or the step would not have included itself"
    reader = kind(bridge.app, queue=queue, others=others)
    try:
        adopted = 0.0
        while not stopping.is_set():
            if time.monotonic() - adopted > ADOPT_EVERY_SECONDS:
                reader.adopt()
                adopted = time.monotonic()
            messages = reader.wait(IDLE_SECONDS)
            messages += reader.take(MESSAGES_AT_ONCE - len(messages))
            began = time.monotonic()
            if messages:
                _settle(bridge, reader, messages)
                reader.done()
            if len(messages) < MESSAGES_AT_ONCE // 4:
                stopping.wait(rest(time.monotonic() - began, least=GATHER_SECONDS))
    finally:
        reader.close()


def _settle(bridge: Bridge, reader: Reader[Any], messages: list[Any]) -> None:
    """Settle the callbacks among these messages, and pass on the rest."""
    found = [(message, reader.read(message)) for message in messages]
    settle_callbacks(bridge, (call for _, call in found if call and call.task in SETTLED_TASKS))
    reader.pass_on([message for message, call in found if not call or call.task not in SETTLED_TASKS])
