"""One torture: start everything, publish and kill for a while, let it come to rest, and gather the evidence."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import KombuError
from redis import RedisError

from bridge.demo.installation import Installation
from bridge.demo.process import Process
from bridge.demo.servers import run_postgres
from bridge.demo.workers import worker_command
from bridge.store.migrate import migrate
from tests.torture.auditor import Auditor
from tests.torture.broker import LOSSES, REFUSALS, run_broker
from tests.torture.clients import CLIENTS
from tests.torture.evidence import gather
from tests.torture.plan import Plan, Run
from tests.torture.poison import LARGEST_MESSAGE_BYTES
from tests.torture.publishers import Publishers
from tests.torture.sampler import Sampler
from tests.torture.skew import Clocks
from tests.torture.steps import Steps
from tests.torture.victims import children, is_beat
from tests.torture.weather import Weather

FLEET = Path(__file__).parent / "fleet"
# Workers run the bridge of this tree, also in a copy of the tree that was broken on purpose and is not installed.
THIS_TREE = {"PYTHONPATH": str(Path(__file__).parents[2])}
LEASE_SECONDS = 5.0
READY_SECONDS = 60.0
FORGE_EVERY_SECONDS = 0.2
UNUSED = "redis://127.0.0.1:1/0"  # the base class wants a Redis for notes, and connects when it is asked something
WEATHER = ["locked row", "read-only", "frozen pump", "lost broker"]
VICTIMS = ["pump", "pump", "bridge", "fleet", "fleet", "handler", "beat", "embedded beat"]


class Interrupted(Exception):
    """Something was not reached in time; the evidence is gathered all the same."""


class Torture(Installation):
    """The installation under torture: its clients, its workers, and what was done to them."""

    def __init__(self, plan: Plan, directory: Path, stack: ExitStack, say: Callable[[str], None]) -> None:
        database = stack.enter_context(run_postgres(directory))
        self.broker = stack.enter_context(run_broker(plan.broker, directory, largest_bytes=LARGEST_MESSAGE_BYTES))
        broker = self.broker.url
        super().__init__(database, broker, directory, redis_url=UNUSED, role="torture", environment=THIS_TREE)
        self.plan, self.choose, self.say = plan, random.Random(plan.seed), say
        self._steps = Steps(self)
        stack.callback(self._steps.close)
        stack.callback(self.close)
        stack.callback(self.processes.kill)  # runs first: nothing here is worth the wait for a warm shutdown
        self.record = directory / "record.jsonl"
        self.record.write_text("")  # the directory may have an earlier run's
        self.kills: Counter[str] = Counter()
        self.weather: Counter[str] = Counter()
        self._ended = threading.Event()
        self._sky = Weather(database, choose=random.Random(f"{plan.seed} sky"), pause=self._ended.wait)
        self.one_at_a_time = threading.Lock()  # of weather and steps
        self.losses = 0
        self.restored: int | None = None
        self.forged = 0
        self._errors: list[BaseException] = []
        self._victims: list[str] = []
        migrate(self.store.engine)
        self._register()
        # Beat comes each second: pumps are killed all the time.
        settings = {"BRIDGE_PASS_LIMIT": "20", "BRIDGE_INTERVAL_SECONDS": "1", "BRIDGE_LINGER_SECONDS": "5"}
        self._clocks = Clocks(directory, random.Random(f"{plan.seed} clocks"))
        wrong = [self._clocks.env(name) if plan.skew else {} for name in ("bridge 1", "bridge 2", "beat")]
        envs = [{**settings, **env} for env in wrong]
        self.bridges = [
            self.start_bridge("bridge 1", log_level="INFO", environment=envs[0]),
            self.start_bridge("bridge 2", concurrency=1, beat=False, log_level="INFO", environment=envs[1]),
        ]
        beat = [sys.executable, "-m", "celery", "-A", "bridge", "beat", "--schedule", str(directory / "beat.schedule")]
        self.beat = self.processes.start("beat", beat, environment={"BRIDGE_DATABASE_URL": database, **envs[2]})
        self.fleet = [self._start_fleet(1, installed=False), self._start_fleet(2, installed=True)]
        self._forger = stack.enter_context(Celery("forger", broker=broker, set_as_current=False))

    def _start_fleet(self, number: int, *, installed: bool) -> Process:
        command = worker_command("fleet", node=f"fleet{number}", queues=["fleet"], concurrency=3, log_level="INFO")
        environment = {"TORTURE_RECORD": str(self.record), "TORTURE_INSTALL": "the bridge" if installed else ""}
        return self.processes.start(f"fleet {number}", command, directory=FLEET, environment=environment)

    def run(self) -> Run:
        """Publish and kill, then wait until everything is done; return what came of it."""
        self.wait_until(lambda: self.ask(SERVED), READY_SECONDS)
        sampler, auditor = Sampler(self.database_url, self.record), Auditor(self.database_url, list(CLIENTS))
        publishers = Publishers(
            self.database_url,
            seed=self.plan.seed,
            number=self.plan.publishers,
            per_second=self.plan.per_second,
            calm=self.plan.calm,
            poison=self.plan.poison,
        )
        sky = threading.Thread(target=self._make_weather, daemon=True)
        sky.start()
        try:
            self._torment(time.monotonic() + self.plan.seconds, sampler)
        finally:
            self._ended.set()
            publishers.stop()
            sky.join(30)
        for process in (*self.bridges, *self.fleet, self.beat):
            if process.exit_code is not None:
                process.restart()
        self.say("no more kills, no more events: waiting until all is done")
        began = time.monotonic()
        with suppress(Interrupted):  # the checker says what is left
            self.wait_until(self.is_done, self.plan.rest_seconds)
        rested = time.monotonic() - began
        samples, alarms = sampler.stop(), auditor.stop()
        for error in (*publishers.errors, *sampler.errors, *auditor.errors, *self._errors):
            raise error
        evidence = gather(
            self.database_url,
            self.record,
            samples,
            alarms=alarms,
            locks=self._sky.locks,
            losses=self.losses,
            restored=self.restored,
            calm=self.plan.calm,
        )
        return Run(
            evidence=evidence,
            kills=self.kills,
            weather=self.weather,
            forged=self.forged,
            rolled_back=publishers.rolled_back,
            audits=auditor.audits,
            rest_seconds=rested,
        )

    def _torment(self, until: float, sampler: Sampler) -> None:
        next_kill = time.monotonic() + self.plan.kill_every_seconds
        steps = self._steps.until(until, sampler)
        while (now := time.monotonic()) < until:
            if steps and now >= steps[-1][0]:
                steps.pop()[1]()
            self._forge()
            if now >= next_kill and not self.plan.calm:
                self._kill()
                next_kill = now + self.choose.uniform(0.5, 1.5) * self.plan.kill_every_seconds
            time.sleep(min(FORGE_EVERY_SECONDS, max(0.0, until - now)))

    def _make_weather(self) -> None:
        """Lock rows, refuse writes, freeze pumps and lose the broker, one after the other, until the torture ends."""
        choose, every = random.Random(f"{self.plan.seed} weather"), self.plan.weather_every_seconds
        kinds, losses, refusals = list[str](), list[str](), list[str]()
        all_kinds = [*WEATHER, *["set clock"] * self.plan.skew, *["refusing broker"] * self.plan.refuses]
        try:
            while not self.plan.calm and not self._ended.wait(choose.uniform(0.5, 1.5) * every):
                kinds = kinds or choose.sample(all_kinds, len(all_kinds))  # each kind has its turn, as victims have
                losses = losses or choose.sample(LOSSES, len(LOSSES))
                refusals = refusals or choose.sample(REFUSALS, len(REFUSALS))
                kind = kinds.pop()
                with self.one_at_a_time:
                    self._make(kind, losses, refusals, choose)
                self.weather[kind] += 1
        except BaseException as error:
            self._errors.append(error)

    def _make(self, kind: str, losses: list[str], refusals: list[str], choose: random.Random) -> None:
        if kind == "frozen pump":
            self._freeze_pump(choose)
        elif kind == "lost broker":
            self.losses += 1
            self.say(self.broker.lose(losses.pop(), choose))
        elif kind == "refusing broker":
            self.say(self.broker.refuse(refusals.pop(), self._ended.wait))
        elif kind == "set clock":
            self.say(self._clocks.set_one())
        else:
            self.say(self._sky.lock() if kind == "locked row" else self._sky.read_only())

    def _freeze_pump(self, choose: random.Random) -> None:
        port = urlsplit(self.database_url).port
        if found := [child for process in self.bridges for child in children(process, connected_to=port)]:
            self.say(self._sky.freeze(choose.choice(found)))

    def _kill(self) -> None:
        if not self._victims:  # draw without replacement, so that a short run has every kind, too
            self._victims = self.choose.sample(VICTIMS, len(VICTIMS))
        victim = self._victims.pop()
        if victim == "bridge":
            self.choose.choice(self.bridges).restart()
        elif victim == "fleet":
            self.choose.choice(self.fleet).restart()
        elif victim == "beat":
            self.beat.restart()
        else:
            port = urlsplit(self.database_url).port if victim == "pump" else None
            if victim == "handler":
                found = [child for process in self.fleet for child in children(process)]
            elif victim == "pump":  # the pool process that talks to Postgres
                found = [child for process in self.bridges for child in children(process, connected_to=port)]
            else:
                found = [child for child in children(self.bridges[0]) if is_beat(child)]
            if not found:
                return
            with suppress(psutil.Error):
                self.choose.choice(found).kill()
        self.kills[victim] += 1
        self.say(f"kill -9: {victim}")

    def _forge(self) -> None:
        """Report open deliveries as done, with a wrong signature."""
        rows = self.eyes.execute(OPEN).fetchall()
        for client, offset, epoch, attempt in rows:
            args = [client, offset, epoch, attempt, "0" * 32]
            # Of a broker that refuses, or is made anew; kombu's own word for a channel that was closed is the last one.
            with suppress(RedisError, KombuError, AMQPError, OSError, AttributeError):
                self._forger.send_task("bridge.commit", args=args, queue="bridge", ignore_result=True)
            self.forged += 1

    def _register(self) -> None:
        common = {"task": "fleet.handle", "queue": "fleet", "backoff_seconds": 1.0, "backoff_max_seconds": 2.0}
        common["ack_timeout_seconds"] = 600.0 if self.plan.calm else LEASE_SECONDS
        for id, given in CLIENTS.items():
            self.register(id, **{**common, **given})

    def wait_until(self, condition: Callable[[], Any], seconds: float) -> None:
        """Wait for a condition; raise `Interrupted` where it takes longer."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Interrupted
            time.sleep(0.1)


OPEN = 'SELECT client_id, "offset", epoch, attempt FROM fq.deliveries ORDER BY random() LIMIT 3'
SERVED = "SELECT bool_and(wake_at IS DISTINCT FROM 'epoch') FROM fq.clients"


@contextmanager
def torture(plan: Plan, directory: Path, say: Callable[[str], None]) -> Iterator[Torture]:
    """Start everything; nothing of it is left afterwards, also after Ctrl-C."""
    with ExitStack() as stack:
        yield Torture(plan, directory, stack, say)
