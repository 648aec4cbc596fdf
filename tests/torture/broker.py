"""What a broker can lose while everything else goes on: all of it, or one queue."""

from __future__ import annotations

import random
from typing import Any

from redis import Redis

LOSSES = ("flushed", "restarted empty", "queue deleted")
QUEUES = ("fleet", "bridge", "bridge.ticks")


def lose(redis: Redis, kind: str, choose: random.Random) -> str:
    """Let the broker lose what it has; return what was done.

    A Redis that was restarted without a file is empty, and has ended all connections. Its process stays here, because
    everything knows its port.
    """
    if kind == "queue deleted":
        queue = choose.choice(QUEUES)
        lists: Any = redis.keys(f"{queue}*")
        redis.delete(*[name for name in lists if redis.type(name) == b"list"] or [queue])
        return f"the broker lost queue {queue}"
    redis.flushall()
    if kind == "restarted empty":
        redis.client_kill_filter(_type="normal", skipme=True)
    return f"the broker was {kind}"
