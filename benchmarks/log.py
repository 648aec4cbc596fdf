"""Fill the log with orders of some 200 bytes, of which one in 100,000 has a rare topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks.fleet import HOT
from bridge import NewEvent

TOPIC = "order.created"
RARE = "rare.event"
ONE_IN = 100_000
SLICE = 500_000

FILL = b"""
INSERT INTO fq.events (topic, key, payload)
SELECT CASE WHEN n %% %(one_in)s = 0 THEN %(rare)s ELSE %(topic)s END, 'order-' || n,
       jsonb_build_object('order_id', n, 'email', 'customer-' || n || '@example.org', 'amount', n %% 1000,
                          'currency', 'EUR', 'note', repeat('x', 80))
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
READ = b"""SELECT "offset", topic, key, payload, headers, created_at::text FROM fq.events
            WHERE "offset" > %s ORDER BY "offset" LIMIT %s"""


def fill(eyes: psycopg.Connection[Any], rows: int) -> None:
    """Append events, each with a key of its own, and update the planner's statistics."""
    for first in range(1, rows + 1, SLICE):
        binds = {
            "one_in": ONE_IN,
            "rare": RARE,
            "topic": TOPIC,
            "first": first,
            "last": min(rows, first + SLICE - 1),
        }
        eyes.execute(FILL, binds)
    eyes.execute("VACUUM ANALYZE fq.events")
    eyes.execute("CHECKPOINT")


def fill_hot(eyes: psycopg.Connection[Any], rows: int, *, hot: bool, seconds: float = 0) -> None:
    """Append events of as many keys; if `hot`, each follows an event of the hot key that takes `seconds`."""
    statement = b"""
        INSERT INTO fq.events (topic, key, payload)
        SELECT %(topic)s, CASE kind WHEN 0 THEN %(hot)s ELSE 'order-' || n END,
               jsonb_build_object('seconds', %(seconds)s::float)
          FROM generate_series(1, %(rows)s::int) n, generate_series(%(first)s::int, 1) kind ORDER BY n, kind"""
    binds = {"topic": TOPIC, "hot": HOT, "seconds": seconds, "rows": rows, "first": 0 if hot else 1}
    eyes.execute(statement, binds)
    eyes.execute("ANALYZE fq.events")


def fill_large(eyes: psycopg.Connection[Any], rows: int, *, megabytes: int = 1) -> None:
    """Append events of so many megabytes each."""
    statement = b"""
        INSERT INTO fq.events (topic, payload)
        SELECT %s, jsonb_build_object('text', repeat(md5(n::text), 31250 * %s)) FROM generate_series(1, %s::int) n"""
    eyes.execute(statement, (TOPIC, megabytes, rows))
    eyes.execute("ANALYZE fq.events")


def read(eyes: psycopg.Connection[Any], *, after: int, rows: int, batch: int) -> Iterator[list[dict[str, Any]]]:
    """Yield events as dicts, in batches, as a hand-written publisher would read them."""
    columns = ("offset", "topic", "key", "payload", "headers", "created_at")
    while rows > 0:
        found = eyes.execute(READ, (after, min(batch, rows))).fetchall()
        if not found:
            return
        yield [dict(zip(columns, row, strict=True)) for row in found]
        after, rows = found[-1][0], rows - len(found)


def event(number: int) -> NewEvent:
    """Return an event to publish, of the same size as the log's."""
    payload = {
        "order_id": number,
        "email": f"customer-{number}@example.org",
        "amount": number % 1000,
        "currency": "EUR",
        "note": "x" * 80,
    }
    return NewEvent(TOPIC, payload, f"order-{number}")


def as_argument(number: int) -> dict[str, Any]:
    """Return the same event as a task's argument."""
    event_ = event(number)
    return {
        "offset": number,
        "topic": event_.topic,
        "key": event_.key,
        "payload": event_.payload,
        "headers": {},
        "created_at": "2026-01-01T00:00:00.000000+00:00",
    }


def as_json(number: int) -> str:
    """Return the same event's payload as text."""
    return json.dumps(event(number).payload)
