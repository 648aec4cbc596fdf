"""An installation: a database, a broker, and the processes that work between them.

The demo, the tests, the benchmarks and the torture each add what they do with one. `eyes` is a connection that reads
the tables by plain SQL: it sees what the bridge did without the bridge's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from bridge.demo.process import Process
from bridge.demo.processes import Processes
from bridge.demo.workers import worker_command
from bridge.model import Position, Registration
from bridge.store import Store
from bridge.store.clients import register

BEGINNING = Position()
DONE = """
SELECT bool_and(c."offset" >= (SELECT coalesce(max("offset"), -1) FROM fq.events)
                AND NOT EXISTS (SELECT FROM fq.deliveries d WHERE d.client_id = c.id)
                AND NOT EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = c.id))
  FROM fq.clients c WHERE cardinality(%s::text[]) = 0 OR c.id = ANY (%s)
"""


class Installation:
    """One database, one broker, and the processes between them; nothing is opened before it is used.

    Args:
        database_url: A migrated database.
        broker_url: What Celery's messages go through.
        directory: Where processes run and their logs go.
        role: What this process is called in `pg_stat_activity`.
    """

    def __init__(self, database_url: str, broker_url: str, directory: Path, *, role: str = "bridge") -> None:
        self.database_url, self.broker_url, self.directory, self._role = database_url, broker_url, directory, role

    @cached_property
    def store(self) -> Store:
        """The bridge's own way to the database."""
        return Store(self.database_url, role=self._role)

    @cached_property
    def eyes(self) -> psycopg.Connection[Any]:
        """A connection in autocommit mode that sees what the bridge did."""
        return psycopg.connect(self.database_url, autocommit=True)

    @cached_property
    def redis(self) -> Redis:
        """The broker, where it is a Redis."""
        return Redis.from_url(self.broker_url, socket_timeout=30)

    @cached_property
    def processes(self) -> Processes:
        """The processes that were started here. They are told where the broker is, and nothing of the database."""
        return Processes(self.directory, {"CELERY_BROKER_URL": self.broker_url})

    def start_bridge(
        self,
        name: str = "bridge",
        *,
        concurrency: int = 2,
        beat: bool = True,
        log_level: str = "WARNING",
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
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
        given = {"BRIDGE_DATABASE_URL": self.database_url, **(environment or {})}
        return self.processes.start(name, command, environment=given)

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
        """Tell whether these clients, or all, have the cursor at the end of the log and nothing open."""
        return bool(self.ask(DONE, list(clients), list(clients)))

    def close(self) -> None:
        """Stop the processes and close all connections."""
        opened = vars(self)  # a cached property is there once it was used
        try:
            if "processes" in opened:
                self.processes.stop()
        finally:
            for name in ("store", "eyes", "redis"):
                if name in opened:
                    opened[name].close()
