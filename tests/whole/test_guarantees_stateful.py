"""Any interleaving of what can happen to a client, against a model of what was promised (G1, G3, G4, G5, G6).

Hypothesis draws publishing, passes, crashes, outcomes in any order and number, expiries, pauses, changed settings and
seeks; after every step the database is compared with the promises, and in the end everything has to come to rest. A
failure prints its shortest sequence as a program.

By default the examples are the same in every run: a red run then points at a change and not at luck. The search for new
ones is done by hand: `BRIDGE_TEST_STATEFUL=2000 pytest tests/test_guarantees_stateful.py` draws that many new ones.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.errors import BrokerUnavailable, Undeliverable
from bridge.model import Client, Delivery, Failure, Position
from bridge.operate.parked import discard, redrive
from bridge.operate.seek import seek
from bridge.settle.settle import settle
from bridge.store import outcomes, rounds
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.support.world import World, offsets, outcome

EXAMPLES = int(os.environ.get("BRIDGE_TEST_STATEFUL", "0"))
MATCHING = "order.created"
MOST_WRITERS = 2
QUIET_AFTER = 2000  # steps until everything must have come to rest
PUT = 'INSERT INTO fq.events (topic, key) VALUES (%s, %s) RETURNING "offset"'

pytestmark = pytest.mark.timeout(0 if EXAMPLES else 300)
ids = (f"client-{number}" for number in itertools.count(1))

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


class Promises(RuleBasedStateMachine):
    """One client on a log that others write; what is known of it comes from the messages it was sent and plain SQL."""

    def __init__(self, world: World, connect: Connect) -> None:
        super().__init__()
        self.world, self._connect = world, connect
        self.client, self.first, self.start, self.epoch = "", -1, -1, 1
        self.given: dict[str, Any] = {}
        self.writers: list[psycopg.Connection[Any]] = []
        self.sent: list[Delivery] = []  # all that the broker may have got, also what no pass remembered
        self.remembered: dict[tuple[int, int, int], int] = {}  # epoch, offset, attempt: the clock when it was sent
        self.failed: set[tuple[int, int, int]] = set()
        self.succeeded: set[tuple[int, int]] = set()  # epoch and offset of what was ever reported as a success
        self.done: set[int] = set()  # offsets of this epoch that are finished for good
        self.aside: set[int] = set()  # offsets of this epoch that were ever parked
        self.holding: set[int] = set()  # those of them whose keys wait for them
        self.disordered: set[int] = set()  # offsets of this epoch that went out while no order per key was asked for
        self.clock = self.opened = 0

    # What happens ---------------------------------------------------------------------------------------------------

    @initialize(given=st.fixed_dictionaries(choices))
    def register(self, given: dict[str, Any]) -> None:
        """A client that begins behind all examples before it."""
        self.client, self.given = next(ids), given
        self.world.client(self.client, start="now", topics=("order.#",), **given)
        self.first = self.start = self.world.cursor(self.client)

    @rule(batch=events)
    def publish(self, batch: list[tuple[str, str | None]]) -> None:
        with self.world.eyes.transaction():
            self._put(self.world.eyes, batch)

    @rule(batch=events)
    def publish_and_roll_back(self, batch: list[tuple[str, str | None]]) -> None:
        with self.world.eyes.transaction(force_rollback=True):
            self._put(self.world.eyes, batch)

    @precondition(lambda self: len(self.writers) < MOST_WRITERS)
    @rule(batch=events, lost=events)
    def begin_to_publish(self, batch: list[tuple[str, str | None]], lost: list[tuple[str, str | None]]) -> None:
        """A transaction that stays open, with a savepoint that was rolled back."""
        writer = self._connect(autocommit=False)
        self._put(writer, batch)
        with writer.transaction(force_rollback=True):
            self._put(writer, lost)
        self.writers.append(writer)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, MOST_WRITERS - 1), kept=st.booleans())
    def end_publishing(self, which: int, kept: bool) -> None:
        writer = self.writers.pop(which % len(self.writers))
        (writer.commit if kept else writer.rollback)()  # closing alone would leave its end to the server's good time
        writer.close()

    @rule(batch=st.integers(1, 6))
    def another_pass(self, batch: int) -> None:
        """As likely as two other rules."""
        self.one_pass(batch)

    @rule(batch=st.integers(1, 6))
    def one_pass(self, batch: int) -> None:
        messages: list[Delivery] = []

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            messages.extend(deliveries)
            return []

        self.world.one_pass(self.client, send=send, limit=batch)
        self._went_out(messages)

    @rule(batch=st.integers(1, 6), nth=st.integers(0, 5))
    def a_pass_with_an_event_that_no_message_can_be_made_of(self, batch: int, nth: int) -> None:
        messages: list[Delivery] = []

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            refused = deliveries[nth : nth + 1]
            messages.extend(delivery for delivery in deliveries if delivery not in refused)
            self.failed |= {(delivery.epoch, delivery.offset, delivery.attempt) for delivery in refused}
            return [Undeliverable(delivery.offset, "no way") for delivery in refused]

        self.world.one_pass(self.client, send=send, limit=batch)
        self._went_out(messages)

    @rule(batch=st.integers(1, 6), arrived=st.integers(0, 6))
    def a_pass_that_crashes(self, batch: int, arrived: int) -> None:
        """The broker has some of its messages, and nobody remembers any."""

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            self.sent.extend(deliveries[:arrived])
            raise BrokerUnavailable("the broker is away")

        try:
            self.world.one_pass(self.client, send=send, limit=batch)
        except BrokerUnavailable:
            return

    @rule(reports=st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ssf")), min_size=1, max_size=6))
    def outcomes(self, reports: list[tuple[int, str]]) -> None:
        """A batch of outcomes of any messages, the newest most often: first ones, late ones, repeated ones."""
        if self.sent:
            self._report([(self.sent[-1 - back % len(self.sent)], kind == "s") for back, kind in reports])

    @rule()
    def all_succeed(self) -> None:
        """Every message that is out; or else most sequences would stand still with a full window."""
        self._report([(message, True) for message in self._unanswered()])

    @rule()
    def time_passes(self) -> None:
        """Two hours, in which every lease runs out and every wait ends; it wakes nobody who was not to be woken."""
        self.clock += 1
        self.world.eyes.execute("UPDATE fq.deliveries SET due_at = due_at - interval '2 hours'")
        self.world.eyes.execute("UPDATE fq.clients SET wake_at = wake_at - interval '2 hours' WHERE wake_at > 'epoch'")

    @rule(state=st.sampled_from(["paused", "active", "active", "draining"]))
    def set_state(self, state: str) -> None:
        with self.world.store.transaction() as connection:
            outcomes.set_state(connection, self.client, state=state, reason="", by="test")

    @rule(change=st.sampled_from(sorted(choices)).flatmap(lambda name: st.tuples(st.just(name), choices[name])))
    def change_settings(self, change: tuple[str, Any]) -> None:
        self.given |= dict([change])
        self.world.client(self.client, **dict([change]))

    @rule(back=st.integers(-3, 12))
    def seek(self, back: int) -> None:
        """To somewhere around the cursor, or to what was handed over last."""
        horizon = advance_horizon(self.world.store)
        self.start = max(self.first, min(horizon, self.world.cursor(self.client) - back))
        seek(self.world.store, self.client, to=Position(offset=self.start), by="test")
        self.epoch = self.world.row(self.client)["epoch"]
        self.done, self.aside, self.holding, self.disordered = set(), set(), set(), set()

    @rule(offsets=st.lists(st.integers(0, 40), max_size=2))
    def redrive(self, offsets: list[int]) -> None:
        """Some of the parked events, or all of them."""
        redrive(self.world.store, self.client, self._choose(offsets), by="test")

    @rule(offsets=st.lists(st.integers(0, 40), max_size=2))
    def discard(self, offsets: list[int]) -> None:
        """Some of the parked events, or all of them."""
        self._parked()
        self.holding -= set(discard(self.world.store, self.client, self._choose(offsets), by="test"))

    # What was promised ----------------------------------------------------------------------------------------------

    @invariant()
    def the_cursor_covers_finished_events_only(self) -> None:
        """G2, G3: whatever was published at or below it, by whomever and whenever committed."""
        if self.client:
            cursor = self.world.cursor(self.client)
            unfinished = set(self._matching(upto=cursor)) - self._finished()
            assert not unfinished, f"the cursor {cursor} is above unfinished events {sorted(unfinished)}"

    @invariant()
    def the_cursor_goes_back_by_seek_alone(self) -> None:
        """G3."""
        if self.client:
            row = self.world.row(self.client)
            assert row["offset"] >= self.start, f"the cursor went back from {self.start} to {row['offset']}"
            assert row["offset"] <= row["dispatched"]
            self._highest = max(
                row["offset"], getattr(self, "_highest", -1) if self._highest_epoch == self.epoch else -1
            )
            self._highest_epoch = self.epoch
            assert row["offset"] == self._highest, f"the cursor went back from {self._highest} to {row['offset']}"

    _highest_epoch = 0

    @invariant()
    def no_more_are_open_than_the_window(self) -> None:
        """G5: where a window was made smaller, it only shrinks."""
        if self.client:
            opened, window = (
                self._count("deliveries"),
                1 if self.given["ordering"] == "strict" else self.given["window"],
            )
            assert opened <= max(window, self.opened), f"{opened} deliveries are open, the window is {window}"
            self.opened = opened

    @invariant()
    def every_delivery_is_looked_for(self) -> None:
        """G1: none lies below where searches begin."""
        rows = self.world.eyes.execute(
            'SELECT d."offset" FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id WHERE d."offset" < c.lowest'
        ).fetchall()
        assert not rows, f"these deliveries are below the client's `lowest`: {rows}"

    @invariant()
    def one_event_of_a_key_is_out(self) -> None:
        """G4."""
        if self.client and self.given["ordering"] == "key" and not self.disordered - self._finished():
            rows = self.world.eyes.execute(
                "SELECT key FROM fq.deliveries WHERE client_id = %s AND state = 'sent' AND key IS NOT NULL",
                [self.client],
            ).fetchall()
            assert len(rows) == len(set(rows)), f"two events of a key are out: {rows}"

    def teardown(self) -> None:
        """G1: when nothing new happens, everything comes to rest at the end of the log."""
        try:
            if self.client:
                self._come_to_rest()
        finally:
            for writer in self.writers:
                writer.rollback()
                writer.close()
            self.world.eyes.execute("DELETE FROM fq.clients WHERE id = %s", [self.client])

    def _come_to_rest(self) -> None:
        while self.writers:
            self.end_publishing(which=0, kept=True)
        for _ in range(QUIET_AFTER):
            self._check()
            row = self.world.row(self.client)
            horizon = advance_horizon(self.world.store)
            if row["state"] != "active":
                self.set_state("active")
                continue
            woken, before = self.client in rounds.clients_to_serve(self.world.store, horizon=horizon), len(self.sent)
            if woken:  # as the bridge itself asks
                self.one_pass(6)
            if len(self.sent) > before:
                continue
            if unanswered := self._unanswered():
                self._report([(message, True) for message in unanswered])
            elif self._count("deliveries"):  # retries that wait
                self.time_passes()
            elif held := self._held():
                redrive(self.world.store, self.client, Selection(offsets=tuple(held)), by="test")
            elif not woken:
                break
        else:
            raise AssertionError(f"nothing comes to rest: {self.world.row(self.client)}")
        row = self.world.row(self.client)
        assert row["offset"] == row["dispatched"] == horizon == self._value("SELECT fq.last_drawn()")
        assert (self._count("deliveries"), self._count("lanes")) == (0, 0)
        missed = set(self._matching(upto=horizon)) - self._finished()
        assert not missed, f"never handed over: {sorted(missed)}"

    # What is known of it --------------------------------------------------------------------------------------------

    def _went_out(self, messages: list[Delivery]) -> None:
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
        ordering, finished = self.given["ordering"], self._finished()
        if ordering == "none":
            self.disordered |= {message.offset for message in messages}
            return
        if ordering == "key":  # under `strict` a parked event is done, whatever its key
            finished -= self.holding - self.done
        keys = self._matching(upto=max((message.offset for message in messages), default=-1))
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

    def _report(self, batch: list[tuple[Delivery, bool]]) -> None:
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

    def _unanswered(self) -> list[Delivery]:
        """Messages of this epoch that a pass remembers, and of which nobody heard."""
        waiting, finished = self.remembered.keys() - self.failed, self.done | self._parked().keys()
        return [
            message
            for message in self.sent
            if message.epoch == self.epoch
            and (message.epoch, message.offset, message.attempt) in waiting
            and message.offset not in finished
        ]

    def _finished(self) -> set[int]:
        """What needs no further attempt; also what succeeded in an attempt that no pass remembers."""
        self._parked()
        return self.done | self.aside | {offset for epoch, offset in self.succeeded if epoch == self.epoch}

    def _parked(self) -> dict[int, bool]:
        """Offsets that are set aside, and whether their key is held."""
        rows = self.world.eyes.execute('SELECT "offset", held FROM fq.parked WHERE client_id = %s', [self.client])
        parked = dict(rows.fetchall())
        self.aside |= parked.keys()
        self.holding = {offset for offset in self.holding | parked.keys() if parked.get(offset, offset in self.holding)}
        return parked

    def _choose(self, offsets: list[int]) -> Selection:
        parked = sorted(self._parked())
        return Selection(offsets=tuple(parked[nth % len(parked)] for nth in offsets) if parked else (0,))

    def _held(self) -> set[int]:
        return {offset for offset, held in self._parked().items() if held}

    def _matching(self, *, upto: int) -> dict[int, str | None]:
        """Offset and key of what this client is to get in this epoch, in order."""
        query = 'SELECT "offset", key FROM fq.events WHERE "offset" > %s AND "offset" <= %s AND topic = %s ORDER BY 1'
        return dict(self.world.eyes.execute(query, (self.start, upto, MATCHING)).fetchall())

    def _count(self, table: str) -> int:
        return int(self._value(f"SELECT count(*) FROM fq.{table} WHERE client_id = %s", self.client))

    def _value(self, query: str, *values: object) -> Any:
        row = self.world.eyes.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def _check(self) -> None:
        self.the_cursor_covers_finished_events_only()
        self.the_cursor_goes_back_by_seek_alone()
        self.no_more_are_open_than_the_window()
        self.one_event_of_a_key_is_out()

    def _put(self, connection: psycopg.Connection[Any], batch: list[tuple[str, str | None]]) -> None:
        for event in batch:
            connection.execute(PUT, event)


def test_g6_a_key_that_waits_goes_out_once_when_order_is_no_longer_asked_for(world: World) -> None:
    world.client()
    world.publish("a", "a")
    [first] = world.hand_over()
    world.client(ordering="none")
    world.publish("a")
    sent = world.hand_over()
    world.succeed(first, *sent)
    while new := world.hand_over():
        sent += new
        world.succeed(*new)
    assert sorted(offsets(sent)) == [2, 3]


def test_g4_a_new_event_of_a_key_waits_for_one_that_waits_for_its_retry(world: World) -> None:
    world.client(backoff_seconds=1000, backoff_max_seconds=5000)
    world.publish("a")
    world.fail(*world.hand_over())
    world.publish("a", "b")
    assert offsets(world.hand_over()) == [3]


def test_g6_a_success_counts_although_one_of_a_pass_that_crashed_comes_in_the_same_batch(world: World) -> None:
    world.client()
    world.publish(None)
    [first] = world.hand_over()
    world.make_due()
    arrived: list[Delivery] = []

    def crash(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        arrived.extend(deliveries)
        raise BrokerUnavailable("the broker is away")

    with pytest.raises(BrokerUnavailable):
        world.one_pass(send=crash)
    assert [delivery.attempt for delivery in arrived] == [2], "an attempt that nobody remembers"
    assert world.succeed(first, *arrived).succeeded == 1
    assert world.cursor() == 1


def test_g1_to_g6_hold_in_any_interleaving(world: World, connect: Connect) -> None:
    run_state_machine_as_test(
        lambda: Promises(world, connect),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES or 80,
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
