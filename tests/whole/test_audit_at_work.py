"""An audit raises no false alarm while pumps, settling, publishers and operators are at work (G1, G6)."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from bridge.errors import BridgeError, BrokerUnavailable, Undeliverable
from bridge.model import Client, Delivery, Position
from bridge.operate.audit import audit
from bridge.operate.parked import discard, redrive
from bridge.operate.replay import replay
from bridge.operate.seek import seek
from bridge.pump.one_pass import hand_over
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.support.world import World

pytestmark = pytest.mark.slow

AUDITS = 40
BY = "me@here"


class AtWork:
    """A client that many threads work for at once, each with random choices of its own."""

    def __init__(self, world: World, connect: Connect) -> None:
        self.world, self._connect = world, connect
        self.sent: queue.Queue[Delivery] = queue.Queue()
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self.verbs = 0

    @contextmanager
    def working(self) -> Iterator[None]:
        work = [self.publish, self.pump, self.pump, self.settle, self.operate]
        threads = [threading.Thread(target=self._repeat, args=[one, seed]) for seed, one in enumerate(work)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in threads:
                thread.join()

    def publish(self, choose: random.Random) -> None:
        with self._connect(autocommit=False) as connection:
            for _ in range(20):
                for _ in range(choose.randint(1, 8)):
                    key, topic = choose.choice("abcde") if choose.random() < 0.8 else None, choose.choice("xxxy")
                    connection.execute("INSERT INTO fq.events (topic, key) VALUES (%s, %s)", [topic, key])
                (connection.rollback if choose.random() < 0.2 else connection.commit)()
                self.ended.wait(0.01)

    def pump(self, choose: random.Random) -> None:
        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            if choose.random() < 0.05:
                raise BrokerUnavailable("away")
            refused = [it for it in deliveries if choose.random() < 0.02]
            for it in deliveries:
                if it not in refused:
                    self.sent.put(it)
            return [Undeliverable(it.offset, "no way") for it in refused]

        with suppress(BrokerUnavailable):
            horizon = advance_horizon(self.world.store)
            hand_over(self.world.store, "c", horizon=horizon, limit=choose.randint(1, 30), send=send)

    def settle(self, choose: random.Random) -> None:
        out = [self.sent.get() for _ in range(min(self.sent.qsize(), 20))]
        choose.shuffle(out)
        late = [it for it in out if choose.random() < 0.1]
        for it in late:
            self.sent.put(it)
        failed = [it for it in out if choose.random() < 0.2]
        self.world.succeed(*[it for it in out if it not in failed])
        self.world.fail(*failed)
        self.ended.wait(0.01)

    def operate(self, choose: random.Random) -> None:
        self.ended.wait(0.1)
        cursor = self._cursor()
        chosen = Selection(offsets=(choose.randint(max(1, cursor - 5), cursor + 20),))
        verbs: list[Callable[[], object]] = [
            lambda: redrive(self.world.store, "c", Selection(), by=BY),
            lambda: discard(self.world.store, "c", Selection(keys=("a",)), by=BY),
            lambda: discard(self.world.store, "c", chosen, by=BY, reason="wrong"),
            lambda: replay(self.world.store, "c", start=Position(), end=Position(offset=cursor), per_second=500, by=BY),
            lambda: self.world.client(topics=choose.choice([("x",), ("#",)])),
            lambda: seek(self.world.store, "c", to=Position(offset=max(0, cursor - choose.randint(-9, 30))), by=BY),
        ]
        with suppress(BridgeError):
            choose.choice(verbs)()
            self.verbs += 1

    def _cursor(self) -> int:
        with self._connect() as connection:
            row = connection.execute('SELECT "offset" FROM fq.clients').fetchone()
            assert row
            return int(row[0])

    def _repeat(self, work: Callable[[random.Random], None], seed: int) -> None:
        choose = random.Random(seed)
        try:
            while not self.ended.is_set():
                work(choose)
        except BaseException as error:
            self.errors.append(error)


@pytest.mark.parametrize("ordering", ["key", "none"])
def test_g1_an_audit_raises_no_false_alarm_at_full_speed(world: World, connect: Connect, ordering: str) -> None:
    world.client(topics=("x",), ordering=ordering, window=20, max_attempts=2, backoff_seconds=0)
    at_work, alarms, finished = AtWork(world, connect), [], 0
    with at_work.working():
        for _ in range(AUDITS):
            found = audit(world.store, "c")
            alarms += [] if found.holds else [found.contradictions]
            finished = max(finished, found.counts.finished)
    assert at_work.errors == []
    assert alarms == []
    assert finished > 20
    assert at_work.verbs
