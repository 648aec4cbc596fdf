"""A stage for end-to-end tests: an installation whose workers a test starts and kills."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

import bridge
from bridge.demo.installation import Installation
from tests.support import fleets
from tests.support.fleets import handled
from tests.support.waiting import wait_until
from tests.support.workers import Worker, start_worker

DONE_SECONDS = 60.0
REPOSITORY = Path(__file__).parents[2]


class Stage(Installation):
    """An installation and its workers; nothing that a test does here calls the code under test but `publish`."""

    def __init__(self, database: str, redis_url: str, directory: Path, *, broker_url: str = "") -> None:
        super().__init__(database, broker_url or redis_url, directory, redis_url=redis_url)
        self.workers: list[Worker] = []

    def bridge(
        self,
        name: str = "bridge",
        *,
        app: str = "bridge",
        queue: str = "bridge",
        wait: bool = True,
        concurrency: int = 2,
        directory: Path | None = None,
        **env: str,
    ) -> Worker:
        """Start a bridge worker with a beat, configured by the environment alone.

        Beat comes each second: a pump that a test has killed is replaced soon.
        """
        often = {"BRIDGE_INTERVAL_SECONDS": "1", "BRIDGE_LINGER_SECONDS": "5"}
        env = {"BRIDGE_DATABASE_URL": self.database_url, "BRIDGE_QUEUE": queue, **often, **env}
        return self._start(
            app, name, [queue], concurrency=concurrency, beat=True, env=env, wait=wait, directory=directory
        )

    def fleet(
        self,
        name: str = "fleet",
        *,
        app: str = "plain",
        queue: str = "fleet",
        concurrency: int = 2,
        python: str | Path = sys.executable,
        env: Mapping[str, str] | None = None,
        directory: Path = fleets.DIRECTORY,
    ) -> Worker:
        """Start a worker of the plain fleet, by default with the Celery of these tests."""
        return self._start(
            app, name, [queue], concurrency=concurrency, env=env or {}, directory=directory, python=python
        )

    def reference(self) -> Worker:
        """Start the reference deployment as its reader would, in the root of the repository."""
        env = {"BRIDGE_DATABASE_URL": self.database_url, "BRIDGE_INTERVAL_SECONDS": "1", "BRIDGE_LINGER_SECONDS": "1"}
        return self._start("", "reference", ["bridge", "celery"], beat=True, env=env, directory=REPOSITORY)

    def client(self, id: str, **columns: Any) -> None:
        """Register a client by plain SQL; it reads topics that begin with its id, and retries at once."""
        row = {
            "id": id,
            "task": "plain.handle",
            "queue": "fleet",
            "topics": [f"{id}.#"],
            "backoff_seconds": 0.02,
        } | columns
        statement = sql.SQL("INSERT INTO fq.clients ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
        )
        self.eyes.execute(statement, {name: Jsonb(value) if name == "routes" else value for name, value in row.items()})

    def publish(self, topic: str, payload: Any = None, *, key: str | None = None) -> int:
        """Append one event; return its offset."""
        return bridge.publish(self.eyes, topic, {} if payload is None else payload, key=key)

    def publish_many(self, topic: str, number: int) -> list[int]:
        """Append many events without keys; return their offsets."""
        return bridge.publish_many(self.eyes, [(topic, {"number": n}) for n in range(number)])

    def handled(self, task: str = "", **payload: Any) -> list[dict[str, Any]]:
        """Return what the fleet noted; see `fleets.handled`."""
        return handled(self.redis_url, task, **payload)

    def wait_until_done(self, *clients: str) -> None:
        """Wait until these clients have nothing left to do."""
        wait_until(lambda: self.is_done(*clients), timeout=DONE_SECONDS, what=f"{clients} are done with the log")
        assert self.ask('SELECT max("offset") FROM fq.clients') <= self.last(), "no cursor is beyond the log"

    def end_leases(self, client: str) -> None:
        """End the leases of a client's deliveries now, instead of waiting for them."""
        self.eyes.execute("UPDATE fq.deliveries SET due_at = now() WHERE client_id = %s", [client])
        self.eyes.execute("UPDATE fq.clients SET wake_at = now() WHERE id = %s", [client])

    def taken(self, task: str = "") -> list[str]:
        """Return the lists of callbacks that collectors have taken and not settled; of one task, if it is named."""
        found: Any = self.redis.keys("bridge.taken.*")
        return [own.decode() for own in found if task in str(self.redis.lrange(own, 0, -1))]

    def close(self) -> None:
        """Kill all workers: a warm shutdown takes seconds, and is a test of its own."""
        for worker in self.workers:
            worker.kill()
        super().close()

    def _start(
        self,
        app: str,
        name: str,
        queues: Sequence[str],
        *,
        concurrency: int = 2,
        beat: bool = False,
        env: Mapping[str, str],
        wait: bool = True,
        directory: Path | None = None,
        python: str | Path = sys.executable,
    ) -> Worker:
        worker = start_worker(
            app,
            name=name,
            directory=directory or self.directory,
            log_path=self.processes.log_path(name),
            env={"CELERY_BROKER_URL": self.broker_url, "NOTEBOOK_URL": self.redis_url, **env},
            queues=queues,
            pool="prefork",
            concurrency=concurrency,
            beat=beat,
            python=python,
        )
        self.workers.append(worker)
        if wait:
            worker.wait_until_ready()
        return worker
