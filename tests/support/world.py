"""A log with clients, driven pass by pass: the flow under test on one side, plain SQL to see what it did on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery, Failure, Outcome, Position, Registration
from bridge.pump.one_pass import Pass, hand_over
from bridge.settle.settle import Settled, settle
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.horizon import advance_horizon


@dataclass
class World:
    """One database; `eyes` sees it by another path than the code under test."""

    store: Store
    eyes: psycopg.Connection[Any]
    sent: list[Delivery] = field(default_factory=list)
    limit: int = 500

    def client(self, id: str = "c", *, start: str = "beginning", **settings: Any) -> str:
        """Register a client, or change one."""
        given = {"task": "fleet.handle"} | settings
        register(self.store, Registration(id=id, given=given, start=Position.parse(start)))
        return id

    def publish(self, *keys: str | None, topic: str = "order.created") -> list[int]:
        """Append one event per key, by plain SQL; their offsets."""
        statement = 'INSERT INTO fq.events (topic, key) VALUES (%s, %s) RETURNING "offset"'
        return [self.eyes.execute(statement, (topic, key)).fetchone()[0] for key in keys]  # type: ignore[index]

    def hand_over(self, client: str = "c", **options: Any) -> list[Delivery]:
        """Run one pass; what it sent."""
        before = len(self.sent)
        self.one_pass(client, **options)
        return self.sent[before:]

    def one_pass(self, client: str = "c", *, send: Any = None, limit: int | None = None) -> Pass | None:
        """Run one pass; what it said."""
        horizon = advance_horizon(self.store)
        return hand_over(self.store, client, horizon=horizon, limit=limit or self.limit, send=send or self._send)

    def succeed(self, *deliveries: Delivery, **other: Any) -> Settled:
        """Report these attempts as successes."""
        return settle(self.store, [outcome(delivery, **other) for delivery in deliveries])

    def fail(self, *deliveries: Delivery, **other: Any) -> Settled:
        """Report these attempts as failures."""
        why = Failure(type="ValueError", message="no", traceback="Traceback …")
        return settle(self.store, [outcome(delivery, failure=why, **other) for delivery in deliveries])

    def row(self, client: str = "c") -> dict[str, Any]:
        """The client's row."""
        with self.eyes.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            found = cursor.execute("SELECT * FROM fq.clients WHERE id = %s", (client,)).fetchone()
            assert found is not None
            return found

    def cursor(self, client: str = "c") -> int:
        """The client's committed offset."""
        return int(self.row(client)["offset"])

    def rows(self, table: str, columns: str = '"offset"') -> list[Any]:
        """Columns of a table in the order of offsets; bare values for a single column."""
        found = self.eyes.execute(f'SELECT {columns} FROM fq.{table} ORDER BY "offset"').fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def make_due(self) -> None:
        """Let every lease run out, and every retry's wait end, at once."""
        self.eyes.execute("UPDATE fq.deliveries SET due_at = now() - interval '1 second'")
        self.eyes.execute("UPDATE fq.clients SET wake_at = now() - interval '1 second'")

    def _send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        self.sent += deliveries
        return []


def outcome(delivery: Delivery, **other: Any) -> Outcome:
    """What the callback of this attempt reports."""
    values = {
        "client": delivery.client.id,
        "offset": delivery.offset,
        "epoch": delivery.epoch,
        "attempt": delivery.attempt,
    }
    return Outcome(**{**values, **other})


def offsets(deliveries: Sequence[Delivery]) -> list[int]:
    """The offsets of deliveries, in order."""
    return [delivery.offset for delivery in deliveries]
