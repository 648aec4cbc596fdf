"""A hand-written poller: an outbox table, `SELECT … FOR UPDATE SKIP LOCKED`, then `.delay()`, then DELETE."""

from __future__ import annotations

from typing import Any

import psycopg
from celery import Celery

from benchmarks.bench import TASK, Bench
from benchmarks.log import as_json
from benchmarks.measure import rate

BATCH = 500
CREATE = b"CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb)"
FILL = b"INSERT INTO outbox (payload) SELECT %s::jsonb FROM generate_series(1, %s::int)"
TAKE = b"SELECT id, payload FROM outbox ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"


def fill(bench: Bench, events: int) -> None:
    """Put events into the outbox, as their publisher would."""
    bench.eyes.execute(CREATE)
    bench.eyes.execute(FILL, (as_json(1), events))


def relay(connection: psycopg.Connection[Any], app: Celery) -> int:
    """Move one batch from the outbox to the broker; return how many events."""
    task = app.tasks[TASK]
    with connection.transaction():
        rows = connection.execute(TAKE, (BATCH,)).fetchall()
        for id, payload in rows:
            task.delay({"offset": id, "payload": payload})
        connection.execute("DELETE FROM outbox WHERE id = ANY (%s)", ([id for id, _ in rows],))
    return len(rows)


def poll(bench: Bench, app: Celery, events: int) -> float:
    """Return the events a second from the outbox to the broker, which is emptied afterwards."""
    fill(bench, events)

    def work() -> None:
        while relay(bench.eyes, app):
            pass

    found = rate(events, work)
    bench.empty_broker()
    return found
