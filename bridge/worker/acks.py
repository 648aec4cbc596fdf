"""Joined acks: a fleet's worker that installs the bridge tells Redis of many messages at once.

kombu records each message that a worker takes, and removes it again, in a transaction of its own, with a client made
for it: more than half of what the main process of a prefork worker does for a short task. For events from the bridge
this step gathers both for some milliseconds and writes them together. kombu's record serves to put back what a killed
worker had, after the visibility timeout. An event needs no such record, its lease in Postgres has it handed over again;
so all that a kill can cost is what it could cost before.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from redis.exceptions import RedisError

from bridge.app import bridge_of
from bridge.broker.fast_ways import JOINED_ACKS, JOINED_CALLBACKS
from bridge.broker.internals.bookkeeping import set_bookkeeping, try_bookkeeping
from bridge.broker.internals.workers import event_loop

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

    from bridge.broker.joined_qos import JoinedQoS


class JoinedAcks(bootsteps.StartStopStep):
    """Runs in workers with an event loop on a Redis broker; starts anew after a broker reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge acks"

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._qos: JoinedQoS | None = None

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether there is an event loop to write from, and the setting is on."""
        settings = bridge_of(parent.app).settings
        if settings.joined_callbacks:
            JOINED_CALLBACKS.conforms()  # asked before the pool forks, so that its processes do not each warn
        if parent.app.conf.get("worker_disable_prefetch"):  # Celery hangs that on kombu's own bookkeeping
            return False
        return event_loop(parent) is not None and settings.joined_acks

    def start(self, parent: Consumer) -> None:
        """Take the place of kombu's own bookkeeping before the first message arrives."""
        channel = parent.task_consumer.channel
        on_redis = parent.app.connection_for_read().transport.driver_type == "redis"
        if not on_redis or not JOINED_ACKS.conforms(partial(try_bookkeeping, channel)):
            return
        from kombu.transport.redis import QoS

        from bridge.broker.joined_qos import JoinedQoS

        if type(channel.qos) is QoS:  # not the app's own
            self._qos = JoinedQoS(channel.qos, event_loop(parent))
            set_bookkeeping(channel, self._qos)

    def stop(self, parent: Consumer) -> None:
        """Write what is gathered; a connection that is gone takes nothing, and its messages come again."""
        qos, self._qos = self._qos, None
        if qos is not None:
            with suppress(RedisError, OSError):
                qos.close()
