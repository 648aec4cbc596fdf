"""Operators do all that they can, in any order, while events are handed over, handled and lost (G1, G3 to G6, G10).

`test_guarantees_stateful.py` has one reader of the log and a model of each message. Here are what it has not: replays,
`recall`, `discard` of what is open or next, other topics, handlers that use `bridge.transaction`, and messages that
arrive twice, or from before a `seek`. What must hold is little and hard: no pass fails, no key is open twice, an effect
happens once in an epoch, an audit finds nothing, and in the end all is at rest and each replay has given all it had.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

import bridge
from bridge.errors import AlreadyDone, UsageError
from bridge.model import Delivery, Position
from bridge.operate.audit import audit
from bridge.operate.lifecycle import pause, resume
from bridge.operate.parked import discard, redrive
from bridge.operate.replay import replay, stop_replays
from bridge.operate.seek import seek
from bridge.store.held import hold_driven_client
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from bridge.store.recall import recall_open
from tests.conftest import Connect
from tests.support.world import World

SEEDS = int(os.environ.get("BRIDGE_TEST_OPERATORS", "3"))
FIRST_SEED = int(os.environ.get("BRIDGE_TEST_FIRST_SEED", "0"))
STEPS, MOST_WAITS = 250, 3000
TOPICS = ("order.made", "order.paid", "other")


class Operators:
    """One client, its fleet, and the people who look after it."""

    def __init__(self, world: World, connect: Connect, seed: int) -> None:
        self.world, self.free = world, [connect() for _ in range(2)]
        self.rng = random.Random(seed)
        self.ordering = self.rng.choice(["key", "key", "none", "strict"])
        self.disordered: set[int] = set()  # open since before the order by key
        self.messages: list[Delivery] = []  # all that the broker ever had
        self.waiting: list[Delivery] = []  # in the fleet's queue
        self.holding: list[tuple[Delivery, ExitStack]] = []  # handlers in their transaction
        self.effects: Counter[tuple[int, int]] = Counter()
        self.owed: dict[int, set[int]] = {}  # epoch of a replay: what it has to give
        self.given: dict[int, set[int]] = {}
        self.log: list[str] = []
        world.eyes.execute("CREATE TABLE effects (epoch int, n bigint)")
        self.settings(max_attempts=self.rng.choice([1, 3]), window=self.rng.choice([1, 2, 4, 10]))

    def settings(self, **given: Any) -> None:
        self.world.client(backoff_seconds=0, ordering=self.ordering, **given)

    # What happens ---------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            self.world.publish(self.rng.choice(["a", "a", "b", None]), topic=self.rng.choice(TOPICS))

    def one_pass(self) -> None:
        self.world.eyes.execute("UPDATE fq.clients SET wake_at = now()")
        out = self.world.hand_over(limit=self.rng.choice([1, 3, 500]), look=lambda _: self.rng.choice([0, 99]))
        self.messages += out
        self.waiting += out
        for it in out:
            self.given.setdefault(it.epoch, set()).add(it.offset)

    def take(self) -> Delivery | None:
        """Take a message as a worker does: mostly the oldest, now and then any, or one that came before."""
        if self.messages and self.rng.random() < 0.1:
            return self.rng.choice(self.messages)
        return (
            self.waiting.pop(0 if self.rng.random() < 0.7 else self.rng.randrange(len(self.waiting)))
            if (self.waiting)
            else None
        )

    def handle(self) -> None:
        message = self.take()
        if message is not None and not self.is_held(message):  # no handler succeeds while another has its delivery
            (self.world.fail if self.rng.random() < 0.3 else self.world.succeed)(message)

    def begin(self) -> None:
        """Begin a handler that uses bridge.transaction, if it need not wait for another one."""
        message = self.take()
        if message is None or self.is_held(message) or not self.free:
            return
        stack = ExitStack()
        event = json.loads(message.body)
        mine = self.free.pop()
        stack.callback(self.free.append, mine)
        try:
            stack.enter_context(bridge.transaction(event, mine))
        except AlreadyDone:
            stack.close()
            return
        mine.execute("INSERT INTO effects VALUES (%s, %s)", [message.epoch, message.offset])
        self.holding.append((message, stack))

    def is_held(self, message: Delivery) -> bool:
        """Tell whether a handler has the event's delivery in its transaction."""
        return any(it.offset == message.offset for it, _ in self.holding)

    def end(self) -> None:
        """End such a handler: it commits or not, and reports or not."""
        if not self.holding:
            return
        message, stack = self.holding.pop(self.rng.randrange(len(self.holding)))
        if self.rng.random() < 0.3:
            with suppress(ZeroDivisionError), stack:
                raise ZeroDivisionError
            if self.rng.random() < 0.7:
                self.world.fail(message)
            return
        stack.close()
        self.effects[message.epoch, message.offset] += 1
        if self.rng.random() < 0.7:
            (self.world.succeed if self.rng.random() < 0.7 else self.world.fail)(message)

    def lose(self) -> None:
        if self.waiting:
            self.waiting.pop(self.rng.randrange(len(self.waiting)))

    def time_passes(self) -> None:
        """End the lease of each delivery that no handler has in its transaction."""
        self.world.eyes.execute(
            """UPDATE fq.deliveries d SET due_at = now() - interval '1 second'
                 FROM (SELECT ctid FROM fq.deliveries FOR UPDATE SKIP LOCKED) free WHERE d.ctid = free.ctid"""
        )

    def change_ordering(self) -> None:
        self.ordering = self.rng.choice(["key", "key", "none", "strict"])
        self.settings()
        self.disordered = set(self.world.rows("deliveries"))

    def change_topics(self) -> None:
        self.settings(topics=self.rng.choice([("#",), ("order.#",), ("order.made", "other")]))
        for owed in self.owed.values():
            owed &= set(self.matching(-1, self.world.last()))

    def change_window(self) -> None:
        self.settings(window=self.rng.choice([1, 2, 4, 10]), max_attempts=self.rng.choice([1, 3]))
        self.settings(on_exhausted=self.rng.choice(["park", "park", "hold-key", "halt"]))

    def start_replay(self) -> None:
        cursor = self.world.cursor()
        first = self.rng.randrange(max(1, cursor - 8), max(2, cursor + 1))
        end = self.rng.choice([cursor, first + 2])
        with suppress(UsageError):
            begun = replay(
                self.world.store, "c", start=Position(offset=first), end=Position(offset=end), per_second=1e6, by="me"
            )
            parked = set(self.world.rows("parked"))
            self.owed[begun.epoch] = set(self.matching(begun.first, begun.upto)) - parked

    def stop_replays(self) -> None:
        if self.rng.random() < 0.2:
            stop_replays(self.world.store, "c", by="me")
            self.owed.clear()

    def seek(self) -> None:
        if self.rng.random() < 0.3 and not self.holding:
            target = max(-1, min(advance_horizon(self.world.store), self.world.cursor() + self.rng.randrange(-6, 3)))
            seek(self.world.store, "c", to=Position(offset=target), by="me")
            self.owed.clear()
            self.disordered.clear()

    def recall(self) -> None:
        offsets = self.rng.sample(it, 1) if (it := self.world.rows("deliveries")) and self.rng.random() < 0.7 else []
        with self.world.store.transaction() as connection:
            hold_driven_client(connection, "c")
            recall_open(connection, "c", offsets=offsets, by="me", reason="a test")

    def discard(self) -> None:
        offsets = self.world.rows("deliveries") + self.world.rows("parked") + self.world.rows("lanes")
        offsets.append(self.world.row()["dispatched"] + 1)
        chosen = self.rng.sample(offsets, min(len(offsets), self.rng.randrange(1, 3)))
        gone = discard(self.world.store, "c", Selection(offsets=tuple(chosen)), by="me", reason="a test")
        for owed in self.owed.values():
            owed -= set(gone)

    def redrive(self) -> None:
        parked = self.world.rows("parked")
        some = tuple(self.rng.sample(parked, self.rng.randrange(len(parked)))) if parked else ()
        redrive(self.world.store, "c", Selection(offsets=some), by="me")

    def pause_or_resume(self) -> None:
        if self.rng.random() < 0.3:
            pause(self.world.store, "c", reason="a test", by="me", drain=self.rng.random() < 0.5)
        else:
            resume(self.world.store, "c", by="me")

    # What must hold -------------------------------------------------------------------------------------------------

    def matching(self, first: int, upto: int) -> list[int]:
        query = """SELECT e."offset" FROM fq.events e, fq.clients c
                    WHERE e."offset" BETWEEN %s AND %s AND '.' || e.topic ~ c.filter"""
        return [offset for (offset,) in self.world.eyes.execute(query, (first, upto))]

    def check(self) -> None:
        open_ = self.world.rows("deliveries", '"offset", key')
        for owed in self.owed.values():
            owed -= set(self.world.rows("parked"))  # what is parked stays parked, also if it is redriven later
        self.disordered &= {offset for offset, _ in open_}
        if self.ordering == "none":
            self.disordered |= {offset for offset, _ in open_}
        if not self.disordered:
            keys = Counter(key for _, key in open_ if key is not None)
            assert self.ordering != "key" or not keys or max(keys.values()) == 1, f"a key is open twice: {open_}"
        rows = self.world.eyes.execute("SELECT epoch, n, count(*) FROM effects GROUP BY 1, 2 HAVING count(*) > 1")
        assert rows.fetchall() == [], "an effect happened twice in an epoch"

    def audit(self) -> None:
        found = audit(self.world.store, "c")
        assert found.holds, f"the audit found {found.contradictions}"

    def come_to_rest(self) -> None:
        while self.holding:
            self.end()
        self.ordering = self.rng.choice(["key", "none", "strict"])
        self.settings(max_attempts=50, on_exhausted="park")
        for _ in range(MOST_WAITS):
            if self.world.row()["state"] != "active":
                resume(self.world.store, "c", by="me")
            before = len(self.messages)
            self.one_pass()
            while self.waiting:
                self.world.succeed(self.waiting.pop(0))
            self.check()
            if len(self.messages) == before:
                if held := self.world.eyes.execute('SELECT "offset" FROM fq.parked WHERE held').fetchall():
                    redrive(self.world.store, "c", Selection(offsets=tuple(it for (it,) in held)), by="me")
                elif self.world.rows("deliveries"):
                    self.time_passes()
                elif self.is_at_rest():
                    break
        else:
            raise AssertionError(f"nothing comes to rest: {self.world.row()}, {self.tables()}")
        for epoch, owed in self.owed.items():
            missing = owed - self.given.get(epoch, set())
            assert not missing, f"the replay of epoch {epoch} left out {missing}"

    def tables(self) -> dict[str, int]:
        return {
            table: len(self.world.eyes.execute(f"SELECT FROM fq.{table}").fetchall())
            for table in ("deliveries", "lanes", "replays", "aside")
        }

    def is_at_rest(self) -> bool:
        return not any(self.tables().values()) and self.world.cursor() == advance_horizon(self.world.store)


def run(it: Operators) -> None:
    """Let anything happen for a while, then come to rest."""
    often: list[Callable[[], None]] = [it.one_pass, it.one_pass, it.handle, it.handle, it.publish, it.begin, it.end]
    rare: list[Callable[[], None]] = [
        it.lose, it.time_passes, it.change_ordering, it.change_topics, it.change_window, it.start_replay,
        it.start_replay, it.stop_replays, it.seek, it.recall, it.discard, it.redrive, it.pause_or_resume,
    ]  # fmt: skip
    for step in range(STEPS):
        what = it.rng.choice(often if it.rng.random() < 0.7 else rare)
        it.log.append(what.__name__)
        what()
        it.check()
        if step % 25 == 0:
            it.audit()
    it.come_to_rest()
    it.audit()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_g10_whatever_operators_do_all_comes_to_rest_and_nothing_is_left_out(
    world: World, connect: Connect, seed: int
) -> None:
    run(Operators(world, connect, seed))
