"""An installation of the bridge: a database, a broker, and the processes that work between them.

The demo, the tests, the benchmarks and the torture each add what they do with one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from bridge.demo.process import Process
from bridge.demo.processes import NOTHING, Processes
from bridge.demo.workers import worker_command
from bridge.model import Position, Registration
from bridge.store import Store
from bridge.store.clients import register

BEGINNING = Position()
DONE = """
SELECT bool_and(c."offset" >= (SELECT max("offset") FROM fq.events)
                AND NOT EXISTS (SELECT FROM fq.deliveries d WHERE d.client_id = c.id)
                AND NOT EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = c.id))
  FROM fq.clients c WHERE cardinality(%s::text[]) = 0 OR c.id = ANY (%s)
"""


class Database:
    """A migrated database that is reached in two ways.

    Args:
        store: The bridge's own way.
        eyes: A connection in autocommit mode, which sees what the bridge did without the bridge's code.
    """

    def __init__(self, store: Store, eyes: psycopg.Connection[Any]) -> None:
        self.store, self.eyes = store, eyes

    def register(self, id: str, *, start: Position = BEGINNING, **settings: Any) -> str:
        """Register a client, or change one; return its id."""
        register(self.store, Registration(id=id, given=settings, start=start))
        return id

    def ask(self, query: str, *values: Any) -> Any:
        """Return the first column of the first row, None if there is no row."""
        row = self.eyes.execute(query.encode(), values or None).fetchone()
        return row[0] if row else None

    def last(self) -> int:
        """Return the log's last offset, -1 if it is empty."""
        return int(self.ask('SELECT coalesce(max("offset"), -1) FROM fq.events'))

    def is_done(self, *clients: str) -> bool:
        """Tell whether these clients, or all, have the cursor at the end of the log and nothing open.

        Nothing is done while the log is empty.
        """
        return bool(self.ask(DONE, list(clients), list(clients)))


class Installation(Database):
    """A database, a broker, and the processes between them.

    Args:
        database_url: A database; `is_done` and `register` need it migrated.
        broker_url: What Celery's messages go through.
        directory: Where processes run and their logs go.
        redis_url: A Redis to take notes in, where the broker is none.
        role: What this process is called in `pg_stat_activity`.
        environment: Variables that all of its processes get.
    """

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        directory: Path,
        *,
        redis_url: str = "",
        role: str = "bridge",
        environment: Mapping[str, str] = NOTHING,
    ) -> None:
        super().__init__(Store(database_url, role=role), psycopg.connect(database_url, autocommit=True))
        self.database_url, self.broker_url, self.directory = database_url, broker_url, directory
        self.redis_url = redis_url or broker_url
        self.redis = Redis.from_url(self.redis_url, socket_timeout=30)
        # They are told where the broker is, and nothing of the database: a fleet needs none.
        self.processes = Processes(directory, {"CELERY_BROKER_URL": broker_url, **environment})

    def start_bridge(
        self,
        name: str = "bridge",
        *,
        concurrency: int = 2,
        beat: bool = True,
        log_level: str = "WARNING",
        options: Sequence[str] = (),
        environment: Mapping[str, str] = NOTHING,
    ) -> Process:
        """Start a bridge worker, which the environment alone configures; does not wait for it.

        Args:
            name: What messages call it, and the name of its log and its node.
            concurrency: Processes of its pool.
            beat: Run a beat in it.
            log_level: Of its log.
            options: More of Celery's.
            environment: The bridge's settings, such as `BRIDGE_LINGER_SECONDS`.
        """
        log_path = self.processes.log_path(name)
        command = worker_command(
            "bridge",
            node=log_path.stem,
            queues=["bridge"],
            concurrency=concurrency,
            log_level=log_level,
            schedule=log_path.with_suffix(".schedule") if beat else None,
            options=options,
        )
        given = {"BRIDGE_DATABASE_URL": self.database_url, **environment}
        return self.processes.start(name, command, environment=given)

    def close(self) -> None:
        """Stop the processes and close all connections."""
        try:
            self.processes.stop()
        finally:
            self.store.close()
            self.eyes.close()
            self.redis.close()
