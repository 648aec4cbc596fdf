"""The mark on Redis: a field of a hash, which is replaced in one step and only if it is the one that was read.

Other fields stand beside it: `seen`, which the pump writes along with its messages, and who looked last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from kombu import Connection
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from bridge.broker.internals.redis import connection_pool, key_prefix
from bridge.broker.marks.keeper import Keeper, MarkRefused, Taken
from bridge.mark import Mark, Seen

MARK, SEEN, LOOKED = "mark", "seen", "looked"

# Replace the mark if it is the one that was read; forget the fields beside it where it is written anew.
_PUT = """
if (redis.call('HGET', KEYS[1], 'mark') or '') ~= ARGV[1] then return 0 end
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'mark', ARGV[2])
return 1
"""

# Note the last event that was seen, unless another pump has noted a later one; what can't be read is replaced.
_NOTE = """
local old = redis.call('HGET', KEYS[1], 'seen')
local read, at = pcall(function() return tonumber(cjson.decode(old)[1]) end)
if read and at and at > tonumber(ARGV[2]) and at < 2^63 then return 0 end
redis.call('HSET', KEYS[1], 'seen', ARGV[1])
return 1
"""


def mark_key(queue: str) -> str:
    """Name the key of a bridge's mark, without the app's prefix."""
    return f"{queue}.mark"


def seen_text(seen: Seen) -> str:
    """Return what is written into the field `seen`."""
    return json.dumps(seen)


def note_command(key: str, seen: Seen) -> tuple[str, ...]:
    """Return the command that notes the last event that was seen; the key is as Redis has it."""
    return "EVAL", _NOTE, "1", key, seen_text(seen), str(seen.offset)


class RedisKeeper(Keeper):
    """Keeps the mark on Redis."""

    @contextmanager
    def _take(self, connection: Connection) -> Iterator[Taken]:
        channel = connection.default_channel
        client = redis.Redis(connection_pool=connection_pool(channel))
        key = key_prefix(channel) + mark_key(self._queue)
        try:
            yield TakenOnRedis(client, key)
        except NoPermissionError as error:
            raise MarkRefused(str(error)) from error
        except ResponseError as error:
            if client.type(key) in (b"hash", b"none"):
                raise
            raise MarkRefused(f"the key {key} holds something else: {error}") from error


class TakenOnRedis(Taken):
    """A mark as it was read from Redis."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client, self._key = client, key
        found: Any
        try:
            # A write first: a replica that takes none may be behind, and what it says is no witness.
            with client.pipeline(transaction=False) as pipe:
                pipe.hset(key, LOOKED, "1")
                pipe.hmget(key, MARK, SEEN)
                found = pipe.execute()[1]
        except OutOfMemoryError:
            found = client.hmget(key, [MARK, SEEN])
        self._raw = found[0] or b""
        self.mark = Mark.from_json(self._raw) if self._raw else None
        if self.mark is not None:
            self.mark = self.mark.with_seen(read_seen(found[1]))

    def put(self, mark: Mark, *, anew: bool = False) -> bool:
        """Replace the mark that was read."""
        args = [self._raw, mark.to_json(), "1" if anew else "0"]
        try:
            done = self._client.eval(_PUT, 1, self._key, *args)
        except (OutOfMemoryError, ReadOnlyError):
            return False
        return bool(done)


def read_seen(raw: bytes | None) -> Seen:
    """Read what `seen_text` wrote; nothing is seen in anything else."""
    try:
        seen = Seen(*json.loads(raw or b""))
    except (ValueError, TypeError, RecursionError):
        return Seen()
    return seen if seen.is_possible else Seen()
