"""Reader on Redis: messages that are taken move, in one step, to a list of this collector's own.

They leave the broker only when they are settled. A collector that dies leaves its list behind; another one puts it back
on the queue.
"""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery
from redis.exceptions import RedisError, ResponseError

from bridge.broker.fast_ways import REDIS_COLLECTOR
from bridge.broker.internals.redis import connection_pool, default_key, key_prefix, longest_block_seconds, queue_keys
from bridge.broker.legible import why_illegible_envelope
from bridge.collector.aside import keep_on_redis
from bridge.collector.reader import Reader, TaskMessage, parse
from bridge.contract import unreadable_queue
from bridge.errors import BrokerUnavailable

DEAD_AFTER_SECONDS = 30

# Redis can wait for one list only. For so long after a callback was found on another one, all are looked at so often.
ELSEWHERE_FOR_SECONDS = 60.0
ELSEWHERE_POLL_SECONDS = 0.02

# Move the oldest messages of the queue (one list per priority) to our own list, and give a sign of life. A key that is
# called like a list of the queue, and is somebody else's hash, say, is left alone.
_TAKE = """
local own, alive, left, taken = KEYS[1], KEYS[2], tonumber(ARGV[1]), {}
redis.call('ZADD', alive, redis.call('TIME')[1], own)
for nth = 3, #KEYS do
    if left <= 0 then break end
    local found = redis.pcall('LRANGE', KEYS[nth], -left, -1)
    if not found.err and #found > 0 then
        redis.call('LTRIM', KEYS[nth], 0, -#found - 1)
        redis.call('RPUSH', own, unpack(found))
        for i = #found, 1, -1 do taken[#taken + 1] = found[i] end
        left = left - #found
    end
end
return taken
"""

# Put back what collectors without a sign of life had taken; all keys have one prefix and live on one server.
_ADOPT = """
local alive, queue, before = KEYS[1], KEYS[2], redis.call('TIME')[1] - ARGV[1]
local dead = redis.call('ZRANGEBYSCORE', alive, '-inf', before)
for _, own in ipairs(dead) do
    while redis.call('RPOPLPUSH', own, queue) do end
    while redis.call('RPOPLPUSH', own .. '.held', queue) do end
    redis.call('ZREM', alive, own)
end
return #dead
"""


class RedisReader(Reader[bytes]):
    """Reader on a Redis broker.

    Args:
        app: Its broker, key prefix and priority steps are used; a fleet's lists of other steps are read as well.
        queue: Queue of the bridge's own tasks.
        others: Queue for every message that is no callback, as it came.
    """

    fast_way = REDIS_COLLECTOR

    def __init__(self, app: Celery, *, queue: str, others: str) -> None:
        self._app = app
        self._connection = app.connection_for_read()
        channel = self._connection.default_channel
        prefix = key_prefix(channel)
        self._queues = queue_keys(channel, queue)
        self._others = default_key(channel, others)
        self._unreadable = prefix + unreadable_queue(queue)
        self._own = f"{prefix}{queue}.taken.{uuid.uuid4().hex}"
        self._held = f"{self._own}.held"
        self._kept: list[bytes] = []
        self._alive = f"{prefix}{queue}.collectors"
        self._longest_block_seconds = longest_block_seconds(channel)
        self._elsewhere_until = 0.0  # time.monotonic()
        self._redis = redis.Redis(connection_pool=connection_pool(channel))
        self._has_blmove = True  # until the server says otherwise
        self._take = self._redis.register_script(_TAKE)
        self._adopt = self._redis.register_script(_ADOPT)

    def take(self, most: int) -> list[bytes]:
        """Take up to `most` messages; they stay in the broker, on our own list, until `done`.

        Raises:
            BrokerUnavailable: what was taken will be put back.
        """
        with _translated():
            found: list[bytes] = self._take(keys=[self._own, self._alive, *self._queues], args=[most])
            return found

    def wait(self, seconds: float) -> list[bytes]:
        """Take the next message as soon as there is one, or none after `seconds`."""
        with _translated():
            # A sign of life first: a list of our own that no other collector knows of would never be adopted.
            self.show_life()
            seconds = min(seconds, self._longest_block_seconds)
            if time.monotonic() < self._elsewhere_until:
                seconds = min(seconds, ELSEWHERE_POLL_SECONDS)
            moved = self._move_next(seconds)
            if moved:
                return [moved]
            found: list[bytes] = self._take(keys=[self._own, self._alive, *self._queues[1:]], args=[1])
            if found:
                self._elsewhere_until = time.monotonic() + ELSEWHERE_FOR_SECONDS
            return found

    def _move_next(self, seconds: float) -> bytes | None:
        """Move the next message to our own list; Redis before 6.2 only has an older command for that."""
        found: Any
        if self._has_blmove:
            try:
                found = self._redis.blmove(self._queues[0], self._own, seconds, "RIGHT", "LEFT")  # type: ignore[arg-type]
            except ResponseError:
                self._has_blmove = False
            else:
                return found  # type: ignore[no-any-return]
        found = self._redis.execute_command("BRPOPLPUSH", self._queues[0], self._own, math.ceil(seconds))  # type: ignore[no-untyped-call]
        return found  # type: ignore[no-any-return]

    def read(self, message: bytes) -> TaskMessage | None:
        """Return what a message calls; None if it is no message of Celery's in JSON."""
        return decode(message)

    def done(self, keep: Sequence[bytes] = ()) -> None:
        """Let the broker forget what was taken, but for these messages, which move to a list beside our own."""
        if not keep and not self._kept:
            with _translated():
                self._redis.delete(self._own)
            return
        known, wanted = {id(message) for message in self._kept}, {id(message) for message in keep}
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._own)
            for message in self._kept:
                if id(message) not in wanted:
                    pipe.lrem(self._held, 1, message)  # type: ignore[arg-type]
            if fresh := [message for message in keep if id(message) not in known]:
                pipe.rpush(self._held, *fresh)
            pipe.execute()
        self._kept = list(keep)

    def put_back(self, messages: Sequence[bytes]) -> None:
        """Put messages that were taken behind all others of the queue; the broker has them twice until `done`."""
        with _translated():
            self._redis.lpush(self._queues[0], *messages)

    def show_life(self) -> None:
        """Show other collectors that what was taken is in good hands."""
        with _translated():
            self._take(keys=[self._own, self._alive], args=[0])

    def why_illegible(self, message: bytes) -> str:
        """Say why a worker can't read a message; an empty string if it can."""
        return why_illegible_envelope(self._app, message)

    def forward(self, messages: Sequence[bytes]) -> None:
        """Hand messages to the worker's ordinary consumer."""
        with _translated():
            self._redis.lpush(self._others, *messages)

    def set_aside(self, messages: Sequence[bytes], *, why: str) -> None:
        """Keep messages, as they came, on a list for people to look at."""
        with _translated():
            keep_on_redis(self._redis, self._unreadable, messages, why=why)

    def adopt(self) -> int:
        """Put back what dead collectors had taken; return how many were dead."""
        with _translated():
            return int(self._adopt(keys=[self._alive, self._queues[0]], args=[DEAD_AFTER_SECONDS]))

    def close(self) -> None:
        """Put back what is not settled, and disconnect."""
        try:
            with _translated():
                for own in (self._own, self._held):
                    while self._redis.rpoplpush(own, self._queues[0]):
                        pass
                self._redis.zrem(self._alive, self._own)
        finally:
            self._connection.release()


def decode(message: bytes) -> TaskMessage | None:
    """Return what a message calls; None if it is no message of Celery's in JSON."""
    try:
        envelope = json.loads(message.decode())
        if envelope["properties"]["body_encoding"] != "base64":
            return None
        return parse(envelope["content-type"], envelope["headers"], base64.b64decode(envelope["body"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """Translate Redis' errors."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker is not available: {error}") from error
