"""Joined acks: a fleet's worker that installs the bridge tells Redis of many messages at once.

kombu records each message that a worker takes, and removes it again, in a transaction of its own, with a client made
for it: more than half of what the main process of a prefork worker does for a short task. For events from the bridge
this step gathers both for some milliseconds and writes them together; what was taken and done in between is never
written at all. kombu's record serves to put back what a killed worker had, after the visibility timeout. An event needs
no such record, its lease in Postgres has it handed over again; so all that a kill can cost is what it could cost
before. Every other message is recorded at once, by kombu itself.
"""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from kombu.transport import virtual
from kombu.transport.redis import QoS
from kombu.utils.json import dumps
from redis.exceptions import RedisError

from bridge.app import bridge_of

GATHER_SECONDS = 0.01
RETRY_SECONDS = 1.0


class JoinedQoS(QoS):
    """kombu's bookkeeping of the messages in a worker's hands, written many at a time.

    Args:
        before: What it takes the place of; no message has arrived yet.
        hub: The worker's event loop, the only thread that calls this.
    """

    def __init__(self, before: QoS, hub: Any) -> None:
        before._on_collect.cancel()
        super().__init__(before.channel, before.prefetch_count)
        self._hub: Any = hub
        self._client = self.channel._create_client()
        self._taken: dict[str, tuple[float, Any]] = {}
        self._done: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message arrived."""
        if self._hub is None or "bridge_client" not in message.headers:
            super().append(message, delivery_tag)
            return
        self._write_soon()
        self._taken[delivery_tag] = (time(), message)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """A message is done."""
        if self._taken.pop(delivery_tag, None) is None:
            if self._hub is None or not self._is_ours(delivery_tag):
                super().ack(delivery_tag)
                return
            self._write_soon()
            self._done.add(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """A message is to be dropped, or put back."""
        self.write()
        super().reject(delivery_tag, requeue)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back all that is not done; kombu does so when the worker ends."""
        self.write()
        super().restore_unacked(client)

    def write(self) -> None:
        """Tell Redis what arrived and what is done since the last time.

        Raises:
            redis.exceptions.RedisError: the worker's loop connects anew, as for every error of its connection.
        """
        taken, self._taken = self._taken, {}
        done, self._done = self._done, set()
        pipe = self._client.pipeline()
        if taken:
            pipe.zadd(self.unacked_index_key, {tag: at for tag, (at, _) in taken.items()})
            pipe.hset(self.unacked_key, mapping={tag: _record(message) for tag, (_, message) in taken.items()})
        if done:
            pipe.zrem(self.unacked_index_key, *done)
            pipe.hdel(self.unacked_key, *done)
        try:
            pipe.execute()
        except RedisError:
            self._taken, self._done = {**taken, **self._taken}, done | self._done
            if self._hub is not None:  # it is out of memory, say: a broken connection ends this worker's loop anyway
                self._hub.call_later(RETRY_SECONDS, self.write)
            raise

    def close(self) -> None:
        """Write what is gathered, and everything that comes at once from now on: the loop is about to end."""
        self._hub = None
        self.write()

    def _is_ours(self, delivery_tag: str) -> bool:
        message = self._delivered.get(delivery_tag)
        return message is not None and "bridge_client" in message.headers

    def _write_soon(self) -> None:
        if not self._taken and not self._done:
            self._hub.call_later(GATHER_SECONDS, self.write)


def _record(message: Any) -> str:
    """What kombu stores of a message in a worker's hands."""
    where = message.delivery_info
    record: str = dumps([message._raw, where["exchange"], where["routing_key"]])
    return record


class JoinedAcks(bootsteps.StartStopStep):
    """Runs in workers with an event loop on a Redis broker; starts anew after a broker reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge acks"

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._qos: JoinedQoS | None = None

    def include_if(self, parent: Consumer) -> bool:
        """Whether there is an event loop to write from, and nobody switched it off."""
        return parent.hub is not None and bridge_of(parent.app).settings.joined_acks

    def start(self, parent: Consumer) -> None:
        """Take the place of kombu's own bookkeeping before the first message arrives."""
        channel = parent.task_consumer.channel
        if type(getattr(channel, "qos", None)) is QoS:  # of no other transport, and nobody's own
            self._qos = channel._qos = JoinedQoS(channel.qos, parent.hub)

    def stop(self, parent: Consumer) -> None:
        """Write what is gathered; a connection that is gone takes nothing, and its messages come again."""
        qos, self._qos = self._qos, None
        if qos is not None:
            with suppress(RedisError, OSError):
                qos.close()
