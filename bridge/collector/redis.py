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
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from bridge.bounds import TAKEN_BYTES
from bridge.broker.fast_ways import REDIS_COLLECTOR
from bridge.broker.internals.redis import (
    connection_pool,
    default_key,
    is_full,
    key_prefix,
    longest_block_seconds,
    queue_keys,
)
from bridge.broker.legible import why_illegible_envelope
from bridge.broker.transports import bounded
from bridge.collector.aside import few_lines, keep_on_redis
from bridge.collector.reader import Reader, TaskMessage, parse
from bridge.contract import unreadable_queue
from bridge.errors import BrokerRefuses, BrokerSilent, BrokerUnavailable

DEAD_AFTER_SECONDS = 30
CONNECT_SECONDS = 5.0
SILENT_SECONDS = 10.0  # a Redis that answers nothing for so long is given up, and connected to anew

# Redis can wait for one list only. For so long after a callback was found on another one, all are looked at so often.
ELSEWHERE_FOR_SECONDS = 60.0
ELSEWHERE_POLL_SECONDS = 0.02

# A Redis that is out of memory refuses what may need some, unless a script has begun to write: so each of these begins
# with a command that only removes. What they do makes room in the end. Without it, a Redis that is full of outcomes
# would stay full of them.

# Move the oldest messages of the queue (one list per priority) to our own list, and give a sign of life. A key that is
# called like a list of the queue, and is somebody else's hash, say, is left alone. They are taken in small portions,
# as many as fit if they are as large as those before, until there is no room for their bytes.
_TAKE = """
local own, alive, left, room, taken = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), {}
redis.call('ZREM', alive, '')
redis.call('ZADD', alive, redis.call('TIME')[1], own)
local bytes = 0
for nth = 3, #KEYS do
    while left > 0 and bytes < room do
        local fits = bytes > 0 and math.ceil((room - bytes) * #taken / bytes) or 1
        local most = math.min(left, fits, 8 * #taken + 1, 50)
        local found = redis.pcall('LRANGE', KEYS[nth], -most, -1)
        if found.err or #found == 0 then break end
        redis.call('LTRIM', KEYS[nth], 0, -#found - 1)
        redis.call('RPUSH', own, unpack(found))
        for i = #found, 1, -1 do
            taken[#taken + 1] = found[i]
            bytes = bytes + #found[i]
        end
        left = left - #found
        if #found < most then break end
    end
end
return taken
"""

# Put back what collectors without a sign of life had taken; all keys have one prefix and live on one server.
_ADOPT = """
local alive, queue, before = KEYS[1], KEYS[2], redis.call('TIME')[1] - ARGV[1]
redis.call('ZREM', alive, '')
local dead = redis.call('ZRANGEBYSCORE', alive, '-inf', before)
for _, own in ipairs(dead) do
    while redis.call('RPOPLPUSH', own, queue) do end
    while redis.call('RPOPLPUSH', own .. '.held', queue) do end
    redis.call('ZREM', alive, own)
end
return #dead
"""

# Put back what one collector has taken and not settled, and forget the collector.
_PUT_BACK = """
redis.call('ZREM', KEYS[1], KEYS[3])
for nth = 3, #KEYS do
    while redis.call('RPOPLPUSH', KEYS[nth], KEYS[2]) do end
end
"""

# Put messages that were taken on another list; nothing is trimmed.
_PUSH = """
redis.call('LTRIM', KEYS[1], 0, -1)
redis.call('LPUSH', KEYS[1], unpack(ARGV))
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
        options = bounded(app, socket_timeout=SILENT_SECONDS, socket_connect_timeout=CONNECT_SECONDS)
        self._connection = app.connection_for_read(transport_options=options)
        channel = self._connection.default_channel
        prefix = key_prefix(channel)
        self._queues = queue_keys(channel, queue)
        self._others = default_key(channel, others)
        self._unreadable = prefix + unreadable_queue(queue)
        self._lines = few_lines()
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
        self._put_back = self._redis.register_script(_PUT_BACK)
        self._push = self._redis.register_script(_PUSH)

    def take(self, most: int) -> list[bytes]:
        """Take up to `most` messages; they stay in the broker, on our own list, until `done`.

        Raises:
            BrokerUnavailable: what was taken will be put back.
        """
        with _translated():
            found: list[bytes] = self._take(keys=[self._own, self._alive, *self._queues], args=[most, TAKEN_BYTES])
            self.left_some = len(found) < most and sum(map(len, found)) >= TAKEN_BYTES
            return found

    def wait(self, seconds: float) -> list[bytes]:
        """Take the next message as soon as there is one, or none after `seconds`."""
        with _translated():
            # A sign of life first: a list of our own that no other collector knows of would never be adopted.
            self.show_life()
            seconds = min(seconds, self._longest_block_seconds)
            if time.monotonic() < self._elsewhere_until:
                seconds = min(seconds, ELSEWHERE_POLL_SECONDS)
            try:
                moved = self._move_next(seconds)
            except ResponseError as error:
                if not is_full(error):
                    raise
                time.sleep(min(seconds, ELSEWHERE_POLL_SECONDS))
                return self.take(1)
            if moved:
                return [moved]
            found: list[bytes] = self._take(keys=[self._own, self._alive, *self._queues[1:]], args=[1, TAKEN_BYTES])
            if found:
                self._elsewhere_until = time.monotonic() + ELSEWHERE_FOR_SECONDS
            return found

    def _move_next(self, seconds: float) -> bytes | None:
        """Move the next message to our own list; Redis before 6.2 only has an older command for that."""
        found: Any
        if self._has_blmove:
            try:
                found = self._redis.blmove(self._queues[0], self._own, seconds, "RIGHT", "LEFT")  # type: ignore[arg-type]
            except ResponseError as error:
                if is_full(error):
                    raise
                self._has_blmove = False
            else:
                return found  # type: ignore[no-any-return]
        try:
            found = self._redis.execute_command("BRPOPLPUSH", self._queues[0], self._own, math.ceil(seconds))  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if is_full(error):
                raise
            raise BrokerUnavailable(f"the broker gives nothing of {self._queues[0]!r}: {error}") from error
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
            self._push(keys=[self._queues[0]], args=messages)

    def show_life(self) -> None:
        """Show other collectors that what was taken is in good hands."""
        with _translated():
            self._take(keys=[self._own, self._alive], args=[0, 0])

    def why_illegible(self, message: bytes) -> str:
        """Say why a worker can't read a message; an empty string if it can."""
        return why_illegible_envelope(self._app, message)

    def forward(self, messages: Sequence[bytes]) -> None:
        """Hand messages to the worker's ordinary consumer."""
        with _translated():
            try:
                self._push(keys=[self._others], args=messages)
            except ReadOnlyError:  # during a failover nothing else is taken either
                raise
            except ResponseError as error:  # a key of another kind, for instance, or a right that is missing
                raise BrokerRefuses(f"the broker takes nothing on {self._others!r}: {error}") from error

    def set_aside(self, messages: Sequence[bytes], *, why: str) -> None:
        """Keep messages, as they came, on a list for people to look at."""
        with _translated():
            keep_on_redis(self._redis, self._unreadable, messages, why=why, lines=self._lines)

    def adopt(self) -> int:
        """Put back what dead collectors had taken; return how many were dead."""
        with _translated():
            return int(self._adopt(keys=[self._alive, self._queues[0]], args=[DEAD_AFTER_SECONDS]))

    def close(self) -> None:
        """Put back what is not settled, and disconnect."""
        try:
            with _translated():
                self._put_back(keys=[self._alive, self._queues[0], self._own, self._held])
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
    except (RedisTimeout, TimeoutError) as error:
        raise BrokerSilent(f"the broker does not answer: {error}") from error
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker is not available: {error}") from error
