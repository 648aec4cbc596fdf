"""A Celery fleet as it exists anywhere: three tasks, their results in Redis.

It does not import the bridge, can't reach Postgres, and does not know that its tasks come from an event log. An event
may arrive more than once. So each task remembers the events that it has seen, in the same Redis script that counts.
"""

import os
from typing import Any

from celery import Celery
from redis import Redis

BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")

app = Celery("fleet", broker=BROKER_URL)
app.conf.update(
    task_default_queue="flights",
    task_ignore_result=True,
    worker_prefetch_multiplier=64,  # the tasks take less time than fetching the next one
)
redis = Redis.from_url(BROKER_URL, decode_responses=True)

# Where each aircraft is. One Redis script each, so that a task is one round trip and never half done.
POSITION = redis.register_script("""
    local seen, facts, offsets, airports, places = unpack(KEYS)
    local offset, tail, origin, place, fate = unpack(ARGV)
    if redis.call('SADD', seen, offset) == 0 then
        return redis.call('HINCRBY', facts, 'repeated', 1)
    end
    redis.call('HINCRBY', facts, fate, 1)
    if tail == '' then
        return 0
    end
    if tonumber(redis.call('HGET', offsets, tail) or -1) > tonumber(offset) then
        redis.call('HINCRBY', facts, 'inverted', 1)
    end
    redis.call('HSET', offsets, tail, offset)
    if fate == 'cancelled' then
        return 0
    end
    local airport = redis.call('HGET', airports, tail)
    if airport and airport ~= origin then
        redis.call('HINCRBY', facts, 'moved', 1)
    end
    redis.call('HSET', airports, tail, origin)
    return redis.call('HSET', places, tail, place)
""")

DELAYS = redis.register_script("""
    local seen, flown, cancelled, sums, longest, facts = unpack(KEYS)
    local offset, carrier, delay = unpack(ARGV)
    if redis.call('SADD', seen, offset) == 0 then
        return redis.call('HINCRBY', facts, 'repeated', 1)
    end
    if delay == '' then
        return redis.call('HINCRBY', cancelled, carrier, 1)
    end
    redis.call('HINCRBY', flown, carrier, 1)
    redis.call('HINCRBY', sums, carrier, delay)
    local most = redis.call('HGET', longest, carrier)
    if not most or tonumber(delay) > tonumber(most) then
        redis.call('HSET', longest, carrier, delay)
    end
    return 0
""")

AUDIT = redis.register_script("""
    local seen, topics, facts = unpack(KEYS)
    local offset, topic = unpack(ARGV)
    if redis.call('SADD', seen, offset) == 0 then
        return redis.call('HINCRBY', facts, 'repeated', 1)
    end
    return redis.call('HINCRBY', topics, topic, 1)
""")


def keys(client: str, *names: str) -> list[str]:
    """Return the Redis keys of a client's results."""
    return [f"fleet:{client}:{name}" for name in names]


@app.task(name="fleet.position")
def position(event: dict[str, Any]) -> None:
    """Note where an aircraft is; the flights of one aircraft must come in order."""
    flight = event["payload"]
    fate = "landed"
    if flight["arrival_delay"] is None:
        fate = "cancelled" if flight["departed"] is None else "diverted"
    POSITION(
        keys=keys("fleet-position", "seen", "facts", "offsets", "airports", "places"),
        args=[
            event["offset"],
            flight["tail"] or "",
            flight["origin"],
            flight["destination"] if fate == "landed" else "diverted",
            fate,
        ],
    )


@app.task(name="fleet.delays")
def delays(event: dict[str, Any]) -> None:
    """Keep statistics of departure delays per carrier."""
    flight = event["payload"]
    DELAYS(
        keys=keys("delays", "seen", "flown", "cancelled", "sums", "longest", "facts"),
        args=[event["offset"], flight["carrier"], "" if flight["delay"] is None else flight["delay"]],
    )


@app.task(name="fleet.audit")
def audit(event: dict[str, Any]) -> None:
    """Count the events of each topic."""
    AUDIT(keys=keys("audit", "seen", "topics", "facts"), args=[event["offset"], event["topic"]])
