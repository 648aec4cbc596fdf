"""kombu's bookkeeping of the messages in a worker's hands, written many at a time.

Import it only where `fast_ways.JOINED_ACKS` conforms: it is a subclass of kombu's own, which a later version may not
have.
"""

from __future__ import annotations

from time import time
from typing import Any

from kombu.transport import virtual
from kombu.transport.redis import QoS
from redis.exceptions import RedisError

from bridge.broker.internals.bookkeeping import in_hand, record_of, retire
from bridge.broker.internals.redis import redis_client
from bridge.contract import CLIENT_HEADER

GATHER_SECONDS = 0.01
RETRY_SECONDS = 1.0


class JoinedQoS(QoS):
    """kombu's `QoS` of the Redis transport, which gathers for some milliseconds what concerns events of the bridge.

    A message that is taken and done in between is never written at all. kombu records every other message at once.

    Args:
        before: The `QoS` that it replaces; no message has arrived yet.
        hub: The worker's event loop, the only thread that calls this.
    """

    def __init__(self, before: QoS, hub: Any) -> None:
        retire(before)
        super().__init__(before.channel, before.prefetch_count)
        self._hub: Any = hub
        self._client = redis_client(before.channel)
        self._taken: dict[str, tuple[float, Any]] = {}
        self._done: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that arrived."""
        if self._hub is None or CLIENT_HEADER not in message.headers:
            super().append(message, delivery_tag)
            return
        self._write_soon()
        self._taken[delivery_tag] = (time(), message)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Note that a message is done."""
        if self._taken.pop(delivery_tag, None) is None:
            if self._hub is None or not self._is_ours(delivery_tag):
                super().ack(delivery_tag)
                return
            self._write_soon()
            self._done.add(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message, or put it back; kombu needs the record of it in Redis."""
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
            pipe.hset(self.unacked_key, mapping={tag: record_of(message) for tag, (_, message) in taken.items()})
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
        message = in_hand(self, delivery_tag)
        return message is not None and CLIENT_HEADER in message.headers

    def _write_soon(self) -> None:
        if not self._taken and not self._done:
            self._hub.call_later(GATHER_SECONDS, self.write)
