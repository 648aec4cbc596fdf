"""One torture: build the stage, publish and kill for a while, let it come to rest, and gather the evidence."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from celery import Celery

from bridge.demo import servers as embedded
from bridge.model import Registration
from bridge.store import Store
from bridge.store.clients import register
from bridge.store.migrate import migrate
from tests.torture.checker import Evidence, gather
from tests.torture.processes import Process
from tests.torture.publishers import Publishers
from tests.torture.sampler import Sampler

FLEET = Path(__file__).parent / "fleet"
LEASE_SECONDS = 5.0
READY_SECONDS = 60.0
FORGE_EVERY_SECONDS = 0.2
VICTIMS = ["pump", "pump", "bridge", "fleet", "fleet", "handler", "beat", "embedded beat"]
CLIENTS: dict[str, dict[str, Any]] = {
    "orders": {"topics": ("order.#",), "window": 20, "max_attempts": 60},
    "everything": {"topics": ("#",), "window": 15, "ordering": "none", "max_attempts": 60},
    "line": {"topics": ("line.#",), "ordering": "strict", "max_attempts": 60},
    "poison": {"topics": ("order.paid.#",), "window": 8, "max_attempts": 4},
    "parcels": {"topics": ("order.#",), "window": 20, "batch": 5, "batch_as": "calls", "max_attempts": 60},
}


class Interrupted(Exception):
    """It did not come to rest in time; the evidence is gathered all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for.

    Attributes:
        seconds: How long to publish and to kill.
        seed: What all random choices come from; when things happen is up to the machine.
        publishers: How many publish at once.
        per_second: Events per second, all publishers together.
        kill_every_seconds: Mean pause between two kills.
        calm: Kill nothing and let no handler fail: then nothing may be handled twice.
        rest_seconds: How long it may take until all is done.
    """

    seconds: float
    seed: int
    publishers: int = 16
    per_second: float = 30
    kill_every_seconds: float = 2.0
    calm: bool = False
    rest_seconds: float = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened."""

    evidence: Evidence
    kills: Counter[str]
    forged: int
    rolled_back: int
    rest_seconds: float


class Torture:
    """The stage: servers, clients and processes."""

    def __init__(self, plan: Plan, directory: Path, stack: ExitStack, say: Callable[[str], None]) -> None:
        self.plan, self.choose, self.say = plan, random.Random(plan.seed), say
        self.record = directory / "record.jsonl"
        self.record.touch()
        self.database = stack.enter_context(embedded.postgres(directory))
        self.broker = stack.enter_context(embedded.redis(directory))
        self.kills: Counter[str] = Counter()
        self.forged = 0
        self._victims: list[str] = []
        self._register()
        common = {"CELERY_BROKER_URL": self.broker, "BRIDGE_DATABASE_URL": self.database, "BRIDGE_PASS_LIMIT": "20"}
        fleet = {"CELERY_BROKER_URL": self.broker, "TORTURE_RECORD": str(self.record)}
        root = FLEET.parent.parent.parent
        worker = ["worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle", "-Q"]

        def process(name: str, app: str, arguments: list[str], home: Path, environment: dict[str, str]) -> Process:
            it = Process(name, ["-A", app, *arguments], directory=home, environment=environment, logs=directory)
            stack.callback(it.kill)
            return it

        def schedule(name: str) -> list[str]:
            return ["--schedule", str(directory / f"{name}.schedule")]

        first = ["-n", "bridge1@%h", "-c", "2", "-B", *schedule("one")]
        second = ["-n", "bridge2@%h", "-c", "1"]
        self.bridges = [
            process("bridge 1", "bridge", [*worker, "bridge", *first], root, common),
            process("bridge 2", "bridge", [*worker, "bridge", *second], root, common),
        ]
        self.beat = process("beat", "bridge", ["beat", *schedule("two")], root, common)
        self.fleet = [
            process(
                f"fleet {n}",
                "fleet",
                [*worker, "fleet", "-n", f"fleet{n}@%h", "-c", "3"],
                FLEET,
                {**fleet, "TORTURE_INSTALL": installed},
            )
            for n, installed in ((1, ""), (2, "the bridge"))
        ]
        self._forger = stack.enter_context(Celery("forger", broker=self.broker, set_as_current=False))
        self._eyes = stack.enter_context(psycopg.connect(self.database, autocommit=True))

    def run(self) -> Run:
        """Publish and kill, then wait until all is done."""
        self._wait_until(lambda: self._ask(SERVED), READY_SECONDS)
        sampler = Sampler(self.database, self.record)
        publishers = Publishers(
            self.database,
            seed=self.plan.seed,
            number=self.plan.publishers,
            per_second=self.plan.per_second,
            calm=self.plan.calm,
        )
        try:
            self._torment(time.monotonic() + self.plan.seconds)
        finally:
            publishers.stop()
        for process in (*self.bridges, *self.fleet, self.beat):
            if not process.is_alive():
                process.restart()
        self.say("no more kills, no more events: waiting until all is done")
        began = time.monotonic()
        with suppress(Interrupted):  # the checker says what is left
            self._wait_until(lambda: self._ask(DONE), self.plan.rest_seconds)
        rested = time.monotonic() - began
        samples = sampler.stop()
        for error in (*publishers.errors, *sampler.errors):
            raise error
        evidence = gather(self.database, self.record, samples, calm=self.plan.calm)
        return Run(
            evidence=evidence,
            kills=self.kills,
            forged=self.forged,
            rolled_back=publishers.rolled_back,
            rest_seconds=rested,
        )

    def _torment(self, until: float) -> None:
        next_kill = time.monotonic() + self.plan.kill_every_seconds
        while (now := time.monotonic()) < until:
            self._forge()
            if now >= next_kill and not self.plan.calm:
                self._kill()
                next_kill = now + self.choose.uniform(0.5, 1.5) * self.plan.kill_every_seconds
            time.sleep(min(FORGE_EVERY_SECONDS, max(0.0, until - now)))

    def _kill(self) -> None:
        if not self._victims:  # every kind has its turn, also in a short run
            self._victims = self.choose.sample(VICTIMS, len(VICTIMS))
        victim = self._victims.pop()
        if victim == "bridge":
            self.choose.choice(self.bridges).restart()
        elif victim == "fleet":
            self.choose.choice(self.fleet).restart()
        elif victim == "beat":
            self.beat.restart()
        else:
            port = urlsplit(self.database).port if victim == "pump" else None
            if victim == "handler":
                children = [child for process in self.fleet for child in process.children()]
            elif victim == "pump":  # the pool process that talks to Postgres
                children = [child for process in self.bridges for child in process.children(connected_to=port)]
            else:
                children = [child for child in self.bridges[0].children() if is_beat(child)]
            if not children:
                return
            with suppress(psutil.Error):
                self.choose.choice(children).kill()
        self.kills[victim] += 1
        self.say(f"kill -9: {victim}")

    def _forge(self) -> None:
        """Report open deliveries as done: with a wrong signature, and for attempts that nobody was handed."""
        rows = self._eyes.execute(
            'SELECT client_id, "offset", epoch, attempt FROM fq.deliveries ORDER BY random() LIMIT 3'
        ).fetchall()
        for client, offset, epoch, attempt in rows:
            args = [client, offset, epoch, attempt, "0" * 32]
            self._forger.send_task("bridge.commit", args=args, queue="bridge", ignore_result=True)
            self.forged += 1

    def _register(self) -> None:
        store = Store(self.database)
        migrate(store.engine)
        calmly = {"ack_timeout_seconds": 600.0 if self.plan.calm else LEASE_SECONDS}
        for id, given in CLIENTS.items():
            common = {"task": "fleet.handle", "queue": "fleet", "backoff_seconds": 1.0, "backoff_max_seconds": 2.0}
            register(store, Registration(id=id, given={**common, **calmly, **given}))
        store.close()

    def _ask(self, query: str) -> Any:
        row = self._eyes.execute(query.encode()).fetchone()
        return row[0] if row else None

    def _wait_until(self, condition: Callable[[], Any], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Interrupted
            time.sleep(0.1)


DONE = """
SELECT bool_and("offset" >= (SELECT coalesce(max("offset"), -1) FROM fq.events))
       AND NOT EXISTS (SELECT FROM fq.deliveries) AND NOT EXISTS (SELECT FROM fq.lanes)
  FROM fq.clients
"""
SERVED = "SELECT bool_and(wake_at IS DISTINCT FROM 'epoch') FROM fq.clients"


def is_beat(process: psutil.Process) -> bool:
    """Whether this child of a worker is its beat: the one that keeps the schedule open."""
    with suppress(psutil.Error):
        return any(".schedule" in file.path for file in process.open_files())
    return False


@contextmanager
def torture(plan: Plan, directory: Path, say: Callable[[str], None]) -> Iterator[Torture]:
    """Build the stage; everything that runs on it is gone afterwards, also after Ctrl-C."""
    with ExitStack() as stack:
        yield Torture(plan, directory, stack, say)
