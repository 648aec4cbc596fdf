"""A loop with the app `shop`, which bridge and fleet share: its settings, its pools and its broker vary."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from redis import Redis

import bridge
from bridge.model import Registration
from bridge.store.clients import register
from tests.conftest import StartWorker
from tests.support import fleets
from tests.support.waiting import wait_until
from tests.support.workers import Worker
from tests.support.world import World

LOOP_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The servers of a test and its factory of workers."""

    world: World
    database: str
    notebook_url: str
    broker_url: str
    start: StartWorker

    def client(self, id: str = "c", **settings: Any) -> None:
        """Register a client from the log's beginning."""
        given = {"task": "shop.handle", "max_attempts": 2, "backoff_seconds": 0, **settings}
        register(self.world.store, Registration(id=id, given=given))

    def publish(self, number: int, *, keys: int = 5, topic: str = "t", poison: int | None = None) -> None:
        """Append so many events; one of them may be poison."""
        events = [(topic, "poison" if n == poison else n, f"k{n % keys}") for n in range(number)]
        with self.world.store.transaction() as connection:
            bridge.publish_many(connection, events)

    def worker(
        self,
        name: str,
        *queues: str,
        settings: dict[str, Any],
        app: str = "shop",
        pool: str = "prefork",
        concurrency: int = 2,
        beat: bool = False,
        **env: str,
    ) -> Worker:
        """Start a worker of the app with these settings, and wait until it consumes."""
        known = {"BRIDGE_DATABASE_URL": self.database, "NOTEBOOK_URL": self.notebook_url}
        env = {**known, "CELERY_BROKER_URL": self.broker_url, "SETTINGS": json.dumps(settings), **env}
        return self.start(
            app,
            directory=fleets.DIRECTORY,
            env=env,
            queues=queues,
            pool=pool,
            concurrency=concurrency,
            beat=beat,
            name=name,
        )

    def wait_until_all_done(self, number: int, *clients: str) -> None:
        """Wait until these clients' cursors stand at the end of a log of so many events."""
        wait_until(
            lambda: [self.world.cursor(id) for id in clients or ("c",)] == [number] * (len(clients) or 1),
            timeout=LOOP_SECONDS,
            what="the cursors at the end",
        )

    def handled(self) -> Counter[int]:
        """Return how often each event was handled, by its offset."""
        with Redis.from_url(self.notebook_url) as notebook:
            return Counter(int(offset) for offset in notebook.lrange("handled", 0, -1))
