"""Make callbacks as a fleet's workers publish them: copies of one that Celery made, with other arguments."""

from __future__ import annotations

import base64
import json
from typing import Any

from celery import signature

from benchmarks.bench import Bench
from benchmarks.fleet import QUEUE
from bridge.app import Bridge
from bridge.contract import COMMIT, celery_link
from bridge.pump.loop import pump_of

SLICE = 1000


def hand_over(bench: Bench, bridge: Bridge, client: str, upto: int) -> None:
    """Let the bridge hand over a client's events, and throw the messages away: only the deliveries are wanted."""
    while bench.ask("SELECT dispatched < %s FROM fq.clients WHERE id = %s", upto, client):
        pump_of(bridge).tick()
        bench.redis.delete(QUEUE)


def deliveries(bench: Bench, bridge: Bridge, client: str) -> list[tuple[object, ...]]:
    """Return the arguments of the callbacks of all that a client has open."""
    from bridge.contract import sign

    query = 'SELECT client_id, "offset", epoch, attempt FROM fq.deliveries WHERE client_id = %s ORDER BY "offset"'
    rows = bench.eyes.execute(query, (client,)).fetchall()
    return [(*row, sign(bridge.secret, row, generation=1)) for row in rows]


def prefill(bench: Bench, bridge: Bridge, client: str) -> int:
    """Put a success of everything that a client has open onto the bridge's queue; return how many."""
    queue = bridge.settings.queue
    reported = deliveries(bench, bridge, client)
    signature(celery_link(COMMIT, queue, ["made", "for", "its", "form", "only"]), app=bridge.app).apply_async()
    found: Any = bench.redis.rpop(queue)
    message = json.loads(found)
    body = json.loads(base64.b64decode(message["body"]))
    for first in range(0, len(reported), SLICE):
        made = [_with(message, [list(args), *body[1:]], args) for args in reported[first : first + SLICE]]
        bench.redis.lpush(queue, *made)
    return len(reported)


def _with(message: dict[str, Any], body: list[Any], args: tuple[object, ...]) -> str:
    id = f"commit-{args[0]}-{args[1]}"
    headers = {**message["headers"], "id": id, "root_id": id}
    properties = {**message["properties"], "correlation_id": id, "delivery_tag": id}
    text = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps({**message, "body": text, "headers": headers, "properties": properties})
