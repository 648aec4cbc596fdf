"""Compare the bridge with a model of its promises, whatever happens to a client in whatever order (G1, G3 to G6).

Hypothesis draws publishing, passes, crashes, outcomes in any order and number, expiries, pauses, changed settings and
seeks. After every step the database is compared with the promises, and in the end everything must come to rest. A
failure prints its shortest sequence as a program.

By default the examples are the same in every run, so that a red run points at a change and not at luck. To search for
new ones, run `BRIDGE_TEST_STATEFUL=2000 pytest tests/whole/test_guarantees_stateful.py`, which draws that many.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.errors import BrokerUnavailable, Undeliverable
from bridge.model import Client, Delivery, Position
from bridge.operate.audit import audit
from bridge.operate.parked import discard, redrive
from bridge.operate.seek import seek
from bridge.store import outcomes, rounds
from bridge.store.horizon import advance_horizon
from bridge.store.parked import Selection
from tests.conftest import Connect
from tests.support.world import World
from tests.whole.known import Known, choices, events

EXAMPLES = int(os.environ.get("BRIDGE_TEST_STATEFUL", "0"))
MOST_WRITERS = 2
QUIET_AFTER = 2000  # steps until everything must have come to rest
PUT = 'INSERT INTO fq.events (topic, key) VALUES (%s, %s) RETURNING "offset"'

pytestmark = pytest.mark.timeout(0 if EXAMPLES else 300)
ids = (f"client-{number}" for number in itertools.count(1))


class Promises(Known):
    """What can happen to a client, and what must hold after each step."""

    def __init__(self, world: World, connect: Connect) -> None:
        super().__init__(world)
        self._connect = connect
        self.writers: list[psycopg.Connection[Any]] = []

    # What happens ---------------------------------------------------------------------------------------------------

    @initialize(given=st.fixed_dictionaries(choices))
    def register(self, given: dict[str, Any]) -> None:
        """Register a client that begins behind all examples before it."""
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
        """Open a transaction that stays open, with a savepoint that was rolled back."""
        writer = self._connect(autocommit=False)
        self._put(writer, batch)
        with writer.transaction(force_rollback=True):
            self._put(writer, lost)
        self.writers.append(writer)

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, MOST_WRITERS - 1), kept=st.booleans())
    def end_publishing(self, which: int, kept: bool) -> None:
        writer = self.writers.pop(which % len(self.writers))
        (writer.commit if kept else writer.rollback)()  # or else the server ends it some time after `close`
        writer.close()

    @rule(batch=st.integers(1, 6))
    def another_pass(self, batch: int) -> None:
        """Make a pass as likely as two other rules."""
        self.one_pass(batch)

    @rule(batch=st.integers(1, 6))
    def one_pass(self, batch: int) -> None:
        messages: list[Delivery] = []

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            messages.extend(deliveries)
            return []

        self.world.one_pass(self.client, send=send, limit=batch)
        self.went_out(messages)

    @rule(batch=st.integers(1, 6), nth=st.integers(0, 5))
    def a_pass_with_an_event_that_no_message_can_be_made_of(self, batch: int, nth: int) -> None:
        messages: list[Delivery] = []

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            refused = deliveries[nth : nth + 1]
            messages.extend(delivery for delivery in deliveries if delivery not in refused)
            self.failed |= {(delivery.epoch, delivery.offset, delivery.attempt) for delivery in refused}
            return [Undeliverable(delivery.offset, "no way") for delivery in refused]

        self.world.one_pass(self.client, send=send, limit=batch)
        self.went_out(messages)

    @rule(batch=st.integers(1, 6), arrived=st.integers(0, 6))
    def a_pass_that_crashes(self, batch: int, arrived: int) -> None:
        """Crash when the broker has some of its messages, and no transaction remembers any."""

        def send(_: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
            self.sent.extend(deliveries[:arrived])
            raise BrokerUnavailable("the broker is away")

        try:
            self.world.one_pass(self.client, send=send, limit=batch)
        except BrokerUnavailable:
            return

    @rule(reports=st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ssf")), min_size=1, max_size=6))
    def outcomes(self, reports: list[tuple[int, str]]) -> None:
        """Settle outcomes of any messages, the newest most often: first ones, late ones, repeated ones."""
        if self.sent:
            self.report([(self.sent[-1 - back % len(self.sent)], kind == "s") for back, kind in reports])

    @rule()
    def all_succeed(self) -> None:
        """Let every message that is out succeed, or else most sequences would stand still with a full window."""
        self.report([(message, True) for message in self.unanswered()])

    @rule()
    def time_passes(self) -> None:
        """Let two hours pass: every lease and every wait ends. A client that was not to be woken is not."""
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
        """Move the cursor somewhere around itself, or to the event that was handed over last."""
        horizon = advance_horizon(self.world.store)
        self.start = max(self.first, min(horizon, self.world.cursor(self.client) - back))
        seek(self.world.store, self.client, to=Position(offset=self.start), by="test")
        self.epoch = self.world.row(self.client)["epoch"]
        self.done, self.aside, self.holding, self.disordered = set(), set(), set(), set()

    @rule(offsets=st.lists(st.integers(0, 40), max_size=2))
    def redrive(self, offsets: list[int]) -> None:
        """Redrive some of the parked events, or all of them."""
        redrive(self.world.store, self.client, self.choose(offsets), by="test")

    @rule(offsets=st.lists(st.integers(0, 40), max_size=2))
    def discard(self, offsets: list[int]) -> None:
        """Discard some of the parked events, or all of them."""
        self.parked()
        self.holding -= set(discard(self.world.store, self.client, self.choose(offsets), by="test"))

    # What was promised ----------------------------------------------------------------------------------------------

    @invariant()
    def the_cursor_covers_finished_events_only(self) -> None:
        """G2, G3: this includes every event at or below it, whichever writer committed it, and when."""
        if self.client:
            cursor = self.world.cursor(self.client)
            unfinished = set(self.matching(upto=cursor)) - self.finished()
            assert not unfinished, f"the cursor {cursor} is above unfinished events {sorted(unfinished)}"

    @invariant()
    def the_cursor_goes_back_by_seek_alone(self) -> None:
        """G3: within an epoch it only goes forward."""
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
        """G5: where a window was made smaller, the number of open deliveries only shrinks."""
        if self.client:
            opened = self.count("deliveries")
            window = 1 if self.given["ordering"] == "strict" else self.given["window"]
            assert opened <= max(window, self.opened), f"{opened} deliveries are open, the window is {window}"
            self.opened = opened

    @invariant()
    def every_delivery_is_looked_for(self) -> None:
        """G1: none lies below the offset where searches begin."""
        rows = self.world.eyes.execute(
            'SELECT d."offset" FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id WHERE d."offset" < c.lowest'
        ).fetchall()
        assert not rows, f"these deliveries are below the client's `lowest`: {rows}"

    @invariant()
    def one_event_of_a_key_is_out(self) -> None:
        """G4: no two events of a key are in the hands of the fleet."""
        if self.client and self.given["ordering"] == "key" and not self.disordered - self.finished():
            rows = self.world.eyes.execute(
                "SELECT key FROM fq.deliveries WHERE client_id = %s AND state = 'sent' AND key IS NOT NULL",
                [self.client],
            ).fetchall()
            assert len(rows) == len(set(rows)), f"two events of a key are out: {rows}"

    @invariant()
    def everything_adds_up(self) -> None:
        """G1, G2: an audit finds each event where it must be, and no contradiction. It looks now and then."""
        self.steps += 1
        if self.client and self.steps % 50 == 0:
            found = audit(self.world.store, self.client)
            assert found.holds, f"the audit found {found.contradictions}"
            counts = dataclasses.astuple(found.counts)
            assert min(counts) >= 0 and sum(counts) == found.last, found.counts

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
            if woken:  # the bridge asks the same
                self.one_pass(6)
            if len(self.sent) > before:
                continue
            if unanswered := self.unanswered():
                self.report([(message, True) for message in unanswered])
            elif self.count("deliveries"):  # retries that wait
                self.time_passes()
            elif held := self.held():
                redrive(self.world.store, self.client, Selection(offsets=tuple(held)), by="test")
            elif not woken:
                break
        else:
            raise AssertionError(f"nothing comes to rest: {self.world.row(self.client)}")
        row = self.world.row(self.client)
        assert row["offset"] == row["dispatched"] == horizon == self.value("SELECT fq.last_drawn()")
        assert (self.count("deliveries"), self.count("lanes")) == (0, 0)
        missed = set(self.matching(upto=horizon)) - self.finished()
        assert not missed, f"never handed over: {sorted(missed)}"

    def _check(self) -> None:
        self.the_cursor_covers_finished_events_only()
        self.the_cursor_goes_back_by_seek_alone()
        self.no_more_are_open_than_the_window()
        self.one_event_of_a_key_is_out()

    def _put(self, connection: psycopg.Connection[Any], batch: list[tuple[str, str | None]]) -> None:
        for event in batch:
            connection.execute(PUT, event)


def test_g1_to_g6_hold_in_any_interleaving(world: World, connect: Connect) -> None:
    run_state_machine_as_test(
        lambda: Promises(world, connect),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES or 25,
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
