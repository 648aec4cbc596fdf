"""A set-up in good order, with a bridge worker, beat and a fleet, that a test breaks in one place at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from redis import Redis

import bridge
from bridge.operate.doctor import Finding
from bridge.store import Store
from tests.marks.servers import OwnRedis
from tests.support.waiting import wait_until
from tests.support.workers import Worker, start_worker
from tests.support.world import World

TIMEOUT_SECONDS = 0.7

SHOP = """
import os
from celery import Celery
import bridge

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.broker_connection_retry_on_startup = True
bridge.install(app)
"""

FLEET = """
import os
from celery import Celery

app = Celery("fleet", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, task_default_queue="fleet", task_acks_late=True)


@app.task
def good(event): ...

@app.task(acks_late=False)
def early(event): ...

@app.task(reject_on_worker_lost=True)
def deadly(event): ...

@app.task(time_limit=600)
def slow(event): ...
"""


@contextmanager
def locked(url: str, table: str) -> Iterator[None]:
    """Lock a table meanwhile, and yield once that has lasted for long enough to be told."""
    with psycopg.connect(url, application_name="somebody") as person, psycopg.connect(url, autocommit=True) as eyes:
        person.execute(f"LOCK TABLE {table}".encode())
        old = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND xact_start < clock_timestamp() - interval '2.5 s'"
        pid = person.info.backend_pid
        wait_until(lambda: eyes.execute(old, (pid,)).fetchone(), timeout=60, what="it is held for long")
        yield
        person.rollback()


class Clinic:
    """The set-up.

    Args:
        database: The URL of a migrated database.
        directory: For its files.
    """

    def __init__(self, database: str, directory: Path) -> None:
        self.database = database
        self.broker = OwnRedis(directory / "redis")
        self.eyes = psycopg.connect(database, autocommit=True)
        self.world = World(Store(database), self.eyes)
        self._directory = directory
        self._workers: list[Worker] = []
        for name, code in (("shop", SHOP), ("fleet", FLEET)):
            (directory / f"{name}.py").write_text(code)

    def open(self) -> None:
        """Start everything, and wait until an event has gone all the way."""
        self.broker.start()
        self.broker.ask("CONFIG", "SET", "appendonly", "yes")
        self.register()
        self.world.publish("k")
        self._start("bridge", "shop", "bridge", beat=True)
        self._start("fleet", "fleet", "fleet")
        for worker in self._workers:
            worker.wait_until_ready()
        wait_until(lambda: self.world.cursor("good") >= 1, timeout=60, what="the first event is finished")
        beat = "SELECT 1 FROM fq.turns WHERE starts_with(name, 'beat ')"
        wait_until(lambda: self.eyes.execute(beat).fetchone(), timeout=60, what="beat's tick is noted")

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.world.store.close()
        self.eyes.close()
        self.broker.close()

    def register(self, id: str = "good", **settings: Any) -> None:
        self.world.client(id, **{"task": "fleet.good", "queue": "fleet"} | settings)

    @contextmanager
    def client(self, id: str = "patient", **settings: Any) -> Iterator[None]:
        """Let there be one more client meanwhile; it has nothing to do."""
        self.register(id, start="now", **settings)
        try:
            yield
        finally:
            self.eyes.execute("DELETE FROM fq.clients WHERE id = %s", (id,))

    def examine(self, **settings: Any) -> list[Finding]:
        """Let the doctor look, from an app with these settings."""
        app = Celery("shop", broker=settings.pop("broker_url", self.broker.url), set_as_current=False)
        app.conf.update({"bridge_database_url": self.database} | settings)
        with bridge.Operator(app) as operator:
            found = operator.doctor(timeout_seconds=TIMEOUT_SECONDS)
        app.close()
        return found

    def complaints(self, **settings: Any) -> dict[str, str]:
        """Return the checks that found something, or could not look, with the worst level of each."""
        return complaints(self.examine(**settings))

    @contextmanager
    def sql(self, wrong: str, right: str) -> Iterator[None]:
        """Break the database by one statement, and mend it by another."""
        self.eyes.execute(wrong.encode())
        try:
            yield
        finally:
            self.eyes.execute(right.encode())

    @contextmanager
    def redis(self, **settings: Any) -> Iterator[None]:
        """Change settings of the Redis meanwhile."""
        with Redis(port=self.broker.port) as client, ExitStack() as stack:
            for key, value in settings.items():
                name = key.replace("_", "-")
                stack.callback(client.config_set, name, client.config_get(name)[name])
                client.config_set(name, value)
            yield

    def _start(self, name: str, app: str, *queues: str, beat: bool = False) -> None:
        worker = start_worker(
            app,
            name=name,
            directory=self._directory,
            log_path=self._directory / f"{name}.log",
            env={"CELERY_BROKER_URL": self.broker.url, "BRIDGE_DATABASE_URL": self.database, "C_FORCE_ROOT": "1"},
            queues=queues,
            pool="prefork" if beat else "solo",
            concurrency=2,
            beat=beat,
        )
        self._workers.append(worker)


def complaints(found: list[Finding]) -> dict[str, str]:
    """Return the checks that found something, or could not look, with the worst level of each."""
    return {it.check: it.level for it in reversed(found) if it.level != "ok"}
