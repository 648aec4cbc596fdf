"""A log with clients that a test drives pass by pass, with no worker and no broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from celery import Celery

from bridge.app import Bridge
from bridge.demo.installation import Database
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery, Failure, Outcome, Position
from bridge.pump.one_pass import Pass, hand_over
from bridge.settle.settle import Settled, settle
from bridge.store import Store
from bridge.store.horizon import advance_horizon


class World(Database):
    """One database; `eyes` sees it by another path than the code under test.

    Attributes:
        sent: Every delivery that was handed over, in order.
        limit: Most events of one pass.
    """

    def __init__(self, store: Store, eyes: psycopg.Connection[Any]) -> None:
        super().__init__(store, eyes)
        self.sent: list[Delivery] = []
        self.limit = 500

    @classmethod
    @contextmanager
    def at(cls, url: str, eyes: psycopg.Connection[Any]) -> Iterator[Self]:
        """Look at the log of a server that a test has started itself."""
        store = Store(url)
        try:
            yield cls(store, eyes)
        finally:
            store.close()

    @contextmanager
    def bridge(self) -> Iterator[Bridge]:
        """Let a process of the bridge be here that settles outcomes, and has no broker."""
        with Celery("bridge", broker="memory://", set_as_current=False) as app:
            url = self.store.engine.url.render_as_string(hide_password=False)
            app.conf.update(bridge_secret="s", bridge_database_url=url)
            bridge = Bridge(app)
            yield bridge
            bridge.store.close()

    def client(self, id: str = "c", *, start: str = "beginning", **settings: Any) -> str:
        """Register a client, or change one."""
        return self.register(id, start=Position.parse(start), **{"task": "fleet.handle"} | settings)

    def publish(self, *keys: str | None, topic: str = "order.created") -> list[int]:
        """Append one event per key, by plain SQL; return their offsets."""
        statement = 'INSERT INTO fq.events (topic, key) VALUES (%s, %s) RETURNING "offset"'
        return [self.eyes.execute(statement, (topic, key)).fetchone()[0] for key in keys]  # type: ignore[index]

    def hand_over(self, client: str = "c", **options: Any) -> list[Delivery]:
        """Run one pass; return what it sent."""
        before = len(self.sent)
        self.one_pass(client, **options)
        return self.sent[before:]

    def one_pass(self, client: str = "c", *, send: Any = None, limit: int | None = None, **broker: Any) -> Pass | None:
        """Run one pass; return what it reports. `broker` is what else of a broker it may use: `look` and `revoke`."""
        horizon, limit = advance_horizon(self.store), limit or self.limit
        return hand_over(self.store, client, horizon=horizon, limit=limit, send=send or self._send, **broker)

    def succeed(self, *deliveries: Delivery, **other: Any) -> Settled:
        """Report these attempts as successes."""
        return settle(self.store, [outcome(delivery, **other) for delivery in deliveries])

    def fail(self, *deliveries: Delivery, **other: Any) -> Settled:
        """Report these attempts as failures."""
        why = Failure(type="ValueError", message="no", traceback="Traceback …")
        return settle(self.store, [outcome(delivery, failure=why, **other) for delivery in deliveries])

    def row(self, client: str = "c") -> dict[str, Any]:
        """Return the client's row."""
        with self.eyes.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            found = cursor.execute("SELECT * FROM fq.clients WHERE id = %s", (client,)).fetchone()
            assert found is not None
            return found

    def cursor(self, client: str = "c") -> int:
        """Return the client's committed offset."""
        return int(self.row(client)["offset"])

    def rows(self, table: str, columns: str = '"offset"') -> list[Any]:
        """Return columns of a table in the order of offsets; bare values for a single column."""
        found = self.eyes.execute(f'SELECT {columns} FROM fq.{table} ORDER BY "offset"').fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def make_due(self) -> None:
        """End every lease and the wait of every retry at once."""
        self.eyes.execute("UPDATE fq.deliveries SET due_at = now() - interval '1 second'")
        self.eyes.execute("UPDATE fq.clients SET wake_at = now() - interval '1 second'")

    def make_not_taken_due(self) -> None:
        """Let what the broker did not take go out with the next pass; leases go on."""
        self.eyes.execute("UPDATE fq.deliveries SET due_at = now() WHERE state = 'retrying'")
        self.eyes.execute("UPDATE fq.clients SET wake_at = now() - interval '1 second'")

    def _send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        self.sent += deliveries
        return []


def outcome(delivery: Delivery, **other: Any) -> Outcome:
    """Return what the callback of this attempt reports."""
    values = {
        "client": delivery.client.id,
        "offset": delivery.offset,
        "epoch": delivery.epoch,
        "attempt": delivery.attempt,
    }
    return Outcome(**{**values, **other})


def offsets(deliveries: Sequence[Delivery]) -> list[int]:
    """Return the offsets of deliveries, in order."""
    return [delivery.offset for delivery in deliveries]
