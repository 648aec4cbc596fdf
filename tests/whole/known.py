"""Collect what is known of one client, from the messages that it was sent and from plain SQL, and check it.

This is the model that `test_guarantees_stateful.py` compares the bridge with.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from bridge.model import Delivery, Failure
from bridge.settle.settle import settle
from bridge.store.parked import Selection
from tests.support.world import World, outcome

MATCHING = "order.created"

events = st.lists(
    st.tuples(st.sampled_from([MATCHING, MATCHING, "other.thing"]), st.sampled_from(["a", "a", "b", None])),
    min_size=1,
    max_size=5,
)
choices: dict[str, st.SearchStrategy[Any]] = {
    "window": st.integers(1, 4),
    "ordering": st.sampled_from(["key", "key", "none", "strict"]),
    "max_attempts": st.integers(1, 3),
    "on_exhausted": st.sampled_from(["park", "hold-key", "halt"]),
    "backoff_seconds": st.sampled_from([0, 100]),
}


class Known(RuleBasedStateMachine):
    """One client on a log that others write."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.client, self.first, self.start, self.epoch = "", -1, -1, 1
        self.given: dict[str, Any] = {}
        self.sent: list[Delivery] = []  # all that the broker may have, also of passes that crashed
        self.remembered: dict[tuple[int, int, int], int] = {}  # epoch, offset, attempt: the clock when it was sent
        self.failed: set[tuple[int, int, int]] = set()
        self.succeeded: set[tuple[int, int]] = set()  # epoch and offset of every event ever reported as a success
        self.done: set[int] = set()  # offsets of this epoch that are finished for good
        self.aside: set[int] = set()  # offsets of this epoch that were ever parked
        self.holding: set[int] = set()  # those of them whose keys wait for them
        self.disordered: set[int] = set()  # offsets of this epoch that went out while no order per key was asked for
        self.clock = self.opened = self.steps = 0

    def went_out(self, messages: list[Delivery]) -> None:
        """Check a pass that was remembered: nothing is sent without a reason, and nothing before its turn."""
        self.sent += messages
        for message in messages:
            attempt = (message.epoch, message.offset, message.attempt)
            assert message.epoch == self.epoch
            assert attempt not in self.remembered, f"{attempt} was handed over twice"
            assert message.offset not in self.done, f"{attempt} was handed over although it is done"
            before = (message.epoch, message.offset, message.attempt - 1)
            assert message.attempt == 1 or before in self.failed or self.remembered.get(before, -1) < self.clock, (
                f"{attempt} was handed over while the attempt before was out"
            )
        for message in messages:
            self.remembered[message.epoch, message.offset, message.attempt] = self.clock
        self._check_order(messages)

    def _check_order(self, messages: list[Delivery]) -> None:
        """G4: an event goes out when all that come before it are done, as far as its client asks for order."""
        ordering, finished = self.given["ordering"], self.finished()
        if ordering == "none":
            self.disordered |= {message.offset for message in messages}
            return
        if ordering == "key":  # under `strict` a parked event is done, whatever its key
            finished -= self.holding - self.done
        keys = self.matching(upto=max((message.offset for message in messages), default=-1))
        if self.disordered - finished:
            return
        for message in messages:
            if message.offset in self.aside or message.offset not in keys:  # redriven, out of turn by its nature
                continue
            before = {
                offset
                for offset, key in keys.items()
                if offset < message.offset
                and (ordering == "strict" or (key is not None and key == keys[message.offset]))
            }
            assert before <= finished, f"{message.offset} went out before {sorted(before - finished)}"

    def report(self, batch: list[tuple[Delivery, bool]]) -> None:
        """Settle a batch; a success of a message that a pass remembers ends its event for good."""
        why = Failure(type="ValueError", message="no")
        settle(self.world.store, [outcome(message, failure=None if good else why) for message, good in batch])
        for message, good in batch:
            attempt = (message.epoch, message.offset, message.attempt)
            if good:
                self.succeeded.add(attempt[:2])
                if attempt in self.remembered and message.epoch == self.epoch:
                    self.done.add(message.offset)
            elif attempt in self.remembered:
                self.failed.add(attempt)
        left = self.world.eyes.execute(
            """SELECT "offset" FROM fq.deliveries WHERE client_id = %(client)s AND "offset" = ANY (%(done)s)
               UNION ALL SELECT "offset" FROM fq.parked WHERE client_id = %(client)s AND "offset" = ANY (%(done)s)""",
            {"client": self.client, "done": list(self.done)},
        ).fetchall()
        assert not left, f"events {left} succeeded and are still open or parked"

    def unanswered(self) -> list[Delivery]:
        """Return the messages of this epoch that a pass remembers and that no outcome was reported for."""
        waiting, finished = self.remembered.keys() - self.failed, self.done | self.parked().keys()
        return [
            message
            for message in self.sent
            if message.epoch == self.epoch
            and (message.epoch, message.offset, message.attempt) in waiting
            and message.offset not in finished
        ]

    def finished(self) -> set[int]:
        """Return the offsets that need no further attempt.

        This includes those that succeeded in an attempt that no pass remembers.
        """
        self.parked()
        return self.done | self.aside | {offset for epoch, offset in self.succeeded if epoch == self.epoch}

    def parked(self) -> dict[int, bool]:
        """Return the offsets that are parked, and whether their key is held."""
        rows = self.world.eyes.execute('SELECT "offset", held FROM fq.parked WHERE client_id = %s', [self.client])
        parked = dict(rows.fetchall())
        self.aside |= parked.keys()
        self.holding = {offset for offset in self.holding | parked.keys() if parked.get(offset, offset in self.holding)}
        return parked

    def choose(self, offsets: list[int]) -> Selection:
        parked = sorted(self.parked())
        return Selection(offsets=tuple(parked[nth % len(parked)] for nth in offsets) if parked else (0,))

    def held(self) -> set[int]:
        return {offset for offset, held in self.parked().items() if held}

    def matching(self, *, upto: int) -> dict[int, str | None]:
        """Return offset and key of every event that this client is to get in this epoch, in order."""
        query = 'SELECT "offset", key FROM fq.events WHERE "offset" > %s AND "offset" <= %s AND topic = %s ORDER BY 1'
        return dict(self.world.eyes.execute(query, (self.start, upto, MATCHING)).fetchall())

    def count(self, table: str) -> int:
        return int(self.value(f"SELECT count(*) FROM fq.{table} WHERE client_id = %s", self.client))

    def value(self, query: str, *values: object) -> Any:
        row = self.world.eyes.execute(query.encode(), values).fetchone()
        return row[0] if row else None
