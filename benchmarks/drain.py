"""Run one end of a client in a process of its own: a pump, or an ideal fleet that finishes everything at once.

`python -m benchmarks.drain pump UNTIL` hands over until every client has got the log up to UNTIL. `python -m
benchmarks.drain sink` takes messages off the fleet's queue in bulk and settles them, as workers do that report
in-process, without the cost of a Celery worker. Keys in Redis tell both when to begin and to stop; there they leave
what they measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis
from sqlalchemy import text

from benchmarks.fleet import QUEUE
from bridge.app import Bridge
from bridge.errors import StoreUnavailable
from bridge.model import Outcome
from bridge.pump.loop import pump_of
from bridge.settle.settle import settle

READY, GO, STOP, RESULTS = "bench:ready", "bench:go", "bench:stop", "bench:results"
TAKE, TAKE_BYTES = 2000, 16 * 1024 * 1024


def peak_kib() -> int:
    """Return the most memory that this program has held; `ru_maxrss` would count the parent's at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def pump(bridge: Bridge, redis: Redis, until: int) -> int:
    """Hand over until nothing is left below `until`; return the number of messages."""
    sent = 0
    caught_up = text("SELECT coalesce(min(dispatched), 0) >= :until FROM fq.clients WHERE task IS NOT NULL")
    while not redis.exists(STOP):
        tick = pump_of(bridge).tick()
        sent += tick.sent
        with bridge.store.reading() as connection:
            if connection.execute(caught_up, {"until": until}).scalar_one():
                break
        if not tick.sent:
            time.sleep(0.001)
    return sent


def _success(headers: dict[str, Any]) -> Outcome:
    return Outcome(
        client=headers["bridge_client"],
        offset=headers["bridge_offset"],
        epoch=headers["bridge_epoch"],
        attempt=headers["bridge_attempt"],
    )


def sink(bridge: Bridge, redis: Redis, until: int) -> int:
    """Settle every message that arrives as a success; return how many."""
    settled, take = 0, 1
    while not redis.exists(STOP):
        messages: Any = redis.rpop(QUEUE, take)
        if not messages:
            time.sleep(0.002)
            continue
        take = max(1, min(TAKE, TAKE_BYTES // max(map(len, messages))))
        outcomes = [_success(json.loads(message)["headers"]) for message in messages]
        while not redis.exists(STOP):
            with suppress(StoreUnavailable):  # a pass of large events holds the client for longer than we may wait
                settled += settle(bridge.store, outcomes).succeeded
                break
    return settled


PARTS: dict[str, Callable[[Bridge, Redis, int], int]] = {"pump": pump, "sink": sink}


def main(part: str, until: int) -> None:
    """Be the pump or the sink, and leave the measurement in Redis."""
    redis = Redis.from_url(os.environ["CELERY_BROKER_URL"])
    bridge = Bridge(Celery("drain", broker=os.environ["CELERY_BROKER_URL"]))
    pump_of(bridge).prepare()
    bridge.secret  # noqa: B018 - asked for once, before the clock runs
    redis.rpush(READY, part)
    while not redis.exists(GO):
        time.sleep(0.005)
    began, cpu = time.perf_counter(), time.process_time()
    done = PARTS[part](bridge, redis, until)
    measured = {
        "part": part,
        "events": done,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_kib": peak_kib(),
    }
    redis.rpush(RESULTS, json.dumps(measured))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
