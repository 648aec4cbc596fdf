"""A bridge as if it had a process of its own: its pump makes passes in the test's process, and a fleet is played."""

from __future__ import annotations

import json
import uuid
from types import TracebackType
from typing import Any, Protocol, Self

from celery import Celery
from kombu import Connection

from bridge.app import Bridge
from bridge.errors import BridgeError
from bridge.marks.witness import Witness, witness_of
from bridge.model import Outcome
from bridge.pump.loop import Tick, pump_of
from bridge.settle.settle import Settled, settle
from tests.support.world import World

FLEET = "fleet"


class MakeShop(Protocol):
    """Make a bridge on a broker."""

    def __call__(self, broker: str, **options: Any) -> Shop: ...


class Shop:
    """One bridge.

    Args:
        world: The log, seen by plain SQL.
        database: The bridge's own way to it.
        broker: The broker's URL.
        settings: Of the bridge.
    """

    def __init__(self, world: World, database: str, broker: str, **settings: object) -> None:
        self.world, self.broker = world, broker
        self.app = Celery(f"shop-{uuid.uuid4().hex}", broker=broker, set_as_current=False)
        self.app.conf.update(bridge_database_url=database, bridge_linger_seconds=0, **settings)
        self.bridge = Bridge(self.app)
        with Connection(broker) as connection:  # the fleet's workers declare it
            connection.SimpleQueue(FLEET).close()

    @property
    def witness(self) -> Witness:
        return witness_of(self.bridge)

    def client(self, id: str = "c", **settings: Any) -> str:
        return self.world.client(id, queue=FLEET, **settings)

    def tick(self) -> Tick:
        """Run the pump once, as if two seconds had passed."""
        self.look_again()
        return pump_of(self.bridge).tick()

    def look_again(self) -> None:
        """Let the next check look, as if two seconds had passed, and nobody else had looked."""
        self.witness.look_at_once()
        self.world.eyes.execute("UPDATE fq.marks SET seen_at = seen_at - interval '5 s'")

    def waiting(self) -> list[dict[str, Any]]:
        """Return what waits in the fleet's queue: the headers of each message, the oldest first."""
        found = []
        with Connection(self.broker) as connection, connection.channel() as channel:
            while (message := channel.basic_get(FLEET, no_ack=False)) is not None:
                headers = message.headers if hasattr(message, "headers") else None
                found.append(headers or json.loads(message.body)["headers"])
        return found

    def settle(self, *outcomes: Outcome) -> Settled:
        """Settle as the collector does: only after a look, and on the server that was looked at."""
        self.witness.check()
        return settle(self.bridge.store, list(outcomes))

    def stopped(self) -> BridgeError | None:
        """Run the pump; return why it does not, None if it does."""
        try:
            self.tick()
        except BridgeError as error:
            return error
        return None

    def mark(self) -> dict[str, Any]:
        """Return the row of the mark that serves."""
        row = self.world.eyes.execute("SELECT to_jsonb(m) FROM fq.marks m WHERE m.serving").fetchone()
        return row[0] if row else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what a process would end with."""
        self.witness.close()
        if self.bridge._sender is not None:  # noqa: SLF001 - or it would be made now
            self.bridge.sender.close()
        self.bridge.store.close()
