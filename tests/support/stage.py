"""A stage for end-to-end tests: a database and a broker, the workers that a test puts between them, eyes on all of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from redis import Redis

import bridge
from tests.support import fleets
from tests.support.fleets import handled
from tests.support.waiting import wait_until
from tests.support.workers import Worker, start_worker

DONE_SECONDS = 60.0
REPOSITORY = Path(__file__).parents[2]


class Stage:
    """What is on it, and what a test does with it; nothing here calls the code under test but `publish`."""

    def __init__(self, database: str, redis_url: str, directory: Path, *, broker_url: str = "") -> None:
        self.database, self.redis_url, self.directory = database, redis_url, directory
        self.broker_url = broker_url or redis_url
        self.redis = Redis.from_url(redis_url)
        self.eyes = psycopg.connect(database, autocommit=True)
        self.workers: list[Worker] = []

    def bridge(self, name: str = "bridge", *, wait: bool = True, concurrency: int = 2, **env: str) -> Worker:
        """Start `celery -A bridge worker -B -Q bridge`, configured by the environment alone."""
        env = {"BRIDGE_DATABASE_URL": self.database, **env}
        return self._start("bridge", name, ["bridge"], concurrency=concurrency, args=["-B"], env=env, wait=wait)

    def fleet(
        self,
        name: str = "fleet",
        *,
        queue: str = "fleet",
        concurrency: int = 2,
        python: str | Path = sys.executable,
        env: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a worker of the plain fleet, by default with the Celery of these tests."""
        return self._start(
            "plain", name, [queue], concurrency=concurrency, env=env or {}, directory=fleets.DIRECTORY, python=python
        )

    def reference(self) -> Worker:
        """Start the reference deployment as its reader would, in the root of the repository."""
        env = {"BRIDGE_DATABASE_URL": self.database, "BRIDGE_LINGER_SECONDS": "1"}
        return self._start(
            "", "reference", ["bridge", "celery"], concurrency=2, args=["-B"], env=env, directory=REPOSITORY
        )

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
        """Append one event."""
        return bridge.publish(self.eyes, topic, {} if payload is None else payload, key=key)

    def publish_many(self, topic: str, number: int) -> list[int]:
        """Append many events without keys."""
        return bridge.publish_many(self.eyes, [(topic, {"number": n}) for n in range(number)])

    def ask(self, query: LiteralString, *values: Any) -> Any:
        """The first column of the only row."""
        row = self.eyes.execute(query, values).fetchone()
        return row[0] if row else None

    def handled(self, task: str = "", **payload: Any) -> list[dict[str, Any]]:
        """What the fleet noted; see `fleets.handled`."""
        return handled(self.redis_url, task, **payload)

    def is_done(self, *clients: str) -> bool:
        """Whether these clients' cursors stand at the end of the log, and nothing of theirs is open."""
        return bool(
            self.ask(
                """SELECT bool_and(c."offset" = (SELECT max("offset") FROM fq.events)
                                   AND NOT EXISTS (SELECT FROM fq.deliveries d WHERE d.client_id = c.id)
                                   AND NOT EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = c.id))
                     FROM fq.clients c WHERE c.id = ANY (%s)""",
                list(clients),
            )
        )

    def wait_until_done(self, *clients: str) -> None:
        """Wait until these clients have nothing left to do."""
        wait_until(lambda: self.is_done(*clients), timeout=DONE_SECONDS, what=f"{clients} are done with the log")

    def taken(self, task: str = "") -> list[str]:
        """The lists of what collectors have taken and not settled; with messages of this task, if so asked."""
        found: Any = self.redis.keys("bridge.taken.*")
        return [own.decode() for own in found if task in str(self.redis.lrange(own, 0, -1))]

    def close(self) -> None:
        """End all workers; nothing here is worth the wait for a warm shutdown, which is a test of its own."""
        for worker in self.workers:
            worker.kill()
        self.eyes.close()
        self.redis.close()

    def _start(
        self,
        app: str,
        name: str,
        queues: list[str],
        *,
        concurrency: int,
        args: Sequence[str] = (),
        env: Mapping[str, str],
        wait: bool = True,
        directory: Path | None = None,
        python: str | Path = sys.executable,
    ) -> Worker:
        worker = start_worker(
            app,
            name=name,
            directory=directory or self.directory,
            log_path=self.directory / f"{name}.log",
            env={"CELERY_BROKER_URL": self.broker_url, "NOTEBOOK_URL": self.redis_url, **env},
            queues=queues,
            pool="prefork",
            concurrency=concurrency,
            args=args,
            python=python,
        )
        self.workers.append(worker)
        if wait:
            worker.wait_until_ready()
        return worker
