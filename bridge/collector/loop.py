"""The collector's loop: take messages, settle what they report, let the broker forget them.

While Postgres is away, or refuses writes, nothing is taken that can't be settled: what is in hand stays there, and the
same messages are tried again. It is not given back, because a quorum queue of RabbitMQ drops a message that was given
back too often. Outcomes that another transaction holds up wait aside, see `waiting`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery

from bridge.app import Bridge
from bridge.collector.amqp import AmqpReader
from bridge.collector.note import CollectorNote
from bridge.collector.onward import Onward
from bridge.collector.reader import Reader
from bridge.collector.redis import RedisReader
from bridge.collector.settling import Left, read_reports, settle_reported
from bridge.collector.visibility import warn_of_visibility
from bridge.collector.waiting import WaitingRoom
from bridge.contract import SETTLED_TASKS
from bridge.errors import BrokerTaken, LogRewound, SchemaError, Unavailable
from bridge.marks.witness import witness_of
from bridge.settle.policy import rest
from bridge.store.migrate import check_schema
from bridge.store.writable import check_writable
from bridge.trouble import Trouble

logger = logging.getLogger("bridge.collector")

MESSAGES_AT_ONCE = 2000
IDLE_SECONDS = 1.0  # longest wait for the next callback, so that stopping is quick
GATHER_SECONDS = 0.01  # shortest rest after fewer than 500 messages, so that more share the next transaction
FULL_SECONDS = 0.5
ADOPT_EVERY_SECONDS = 10.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0

READERS: dict[str, type[Reader[Any]]] = {"py-amqp": AmqpReader, "redis": RedisReader}


def reader_on(app: Celery) -> type[Reader[Any]] | None:
    """Return the reader for this app's broker; None if callbacks can only run as ordinary tasks there."""
    found = READERS.get(app.connection_for_read().transport.driver_name)
    return found if found is not None and found.fast_way.conforms(found.try_out) else None


def collect(
    bridge: Bridge,
    *,
    queue: str,
    others: str,
    stopping: threading.Event,
    trouble: Trouble | None = None,
    answered: Callable[[], object] = lambda: None,
) -> None:
    """Settle the callbacks that arrive on a queue until told to stop.

    Args:
        bridge: The store, the secret and the broker.
        queue: The bridge's queue.
        others: The queue for messages that are no callbacks.
        stopping: Set when it is to end.
        trouble: Says that Postgres or the broker is away.
        answered: Hears of each round in which the broker has answered.

    Raises:
        StoreUnavailable, SchemaError, LogRewound, BrokerTaken: nothing was taken.
        BrokerUnavailable: the messages that were taken are back on the queue, or will be put back.
    """
    check_schema(bridge.store.engine)
    check_writable(bridge.store)
    witness_of(bridge).check()
    warn_of_visibility(bridge)
    kind = reader_on(bridge.app)
    assert kind is not None, "or the step would not have included itself"
    reader = kind(bridge.app, queue=queue, others=others)
    trouble = trouble or Trouble(logger, what="outcomes wait", over="outcomes are settled again")
    collecting = Collecting(bridge, reader, stopping, trouble, answered)
    try:
        collecting.run()
    finally:
        reader.close()
        collecting.forget()  # where closing fails, the broker gives what was taken to others only later


class Collecting:
    """One connection's worth of collecting.

    Args:
        bridge: The store and the secret.
        reader: The bridge's queue.
        stopping: Set when it is to end.
        trouble: Says that Postgres is away.
        answered: Hears of each round in which the broker has answered.
    """

    def __init__(
        self,
        bridge: Bridge,
        reader: Reader[Any],
        stopping: threading.Event,
        trouble: Trouble,
        answered: Callable[[], object],
    ) -> None:
        self._bridge = bridge
        self._reader = reader
        self._stopping = stopping
        self._trouble = trouble
        self._answered = answered
        self._waiting = WaitingRoom(bridge, reader)
        self._onward = Onward(reader)
        self._note = CollectorNote(bridge)

    def run(self) -> None:
        """Collect until told to stop."""
        adopted = 0.0
        witness = witness_of(self._bridge)
        while not self._stopping.is_set():
            with suppress(Unavailable):  # what is taken waits for the same check before it is settled
                witness.check()
            if time.monotonic() - adopted > ADOPT_EVERY_SECONDS:
                self._reader.adopt()
                adopted = time.monotonic()
            messages = self._reader.wait(self._waiting.seconds_to_wait(IDLE_SECONDS))
            messages += self._reader.take(MESSAGES_AT_ONCE - len(messages))
            self._answered()
            began = time.monotonic()
            self._note.write()
            due = self._waiting.is_due() or self._onward.is_due()
            if (messages or due) and not self._settle(messages):
                return
            self._trouble.back()
            took_all = len(messages) < MESSAGES_AT_ONCE and not self._reader.left_some
            if took_all and not self._waiting.messages:
                self._note.settled_at = began  # all that there was had been taken then
            if self._waiting.is_full:  # what has just gone back to the queue comes again next
                self._stopping.wait(FULL_SECONDS)
            elif took_all and len(messages) < MESSAGES_AT_ONCE // 4:
                self._stopping.wait(rest(time.monotonic() - began, least=GATHER_SECONDS))

    def forget(self) -> None:
        """Say that nothing is in hand any more."""
        self._note.forget()

    def _settle(self, messages: list[Any]) -> bool:
        """Settle the callbacks among these messages, and pass on the rest; while Postgres is away, wait for it.

        Returns:
            False if it was told to stop before: what is in hand goes back to the queue. Ticks that were passed on come
            twice then, which is harmless.
        """
        found = [(message, self._reader.read(message)) for message in messages]
        calls = [(message, call) for message, call in found if call and call.task in SETTLED_TASKS]
        others = [message for message, call in found if not call or call.task not in SETTLED_TASKS]
        self._onward.pass_on(others)  # first: the pump's ticks don't wait for Postgres
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            try:
                witness_of(self._bridge).check()  # first: what is settled before may need it to go on
                left = self._waiting.try_again()
                held = self._waiting.clients
                reports = read_reports(calls, secret=self._bridge.secret)
                new = settle_reported(self._bridge, reports, held=held)
            except (Unavailable, SchemaError, LogRewound, BrokerTaken) as error:
                self._trouble.went(error)
                self._stay(delay)
                delay = min(2 * delay, LONGEST_DELAY_SECONDS)
                continue
            self._finish(left, new)
            return True
        return False

    def _finish(self, left: Left, new: Left) -> None:
        """Set aside what was refused, keep what is held, and let the broker forget the rest."""
        if refused := [*left.refused, *new.refused]:
            more = f", and {len(refused) - 1:,} more" if len(refused) > 1 else ""
            self._reader.set_aside([it.message for it in refused], why=refused[0].why + more)
        self._waiting.hold([*left.held, *new.held])
        self._reader.done(keep=[*self._waiting.messages, *self._onward.messages])

    def _stay(self, seconds: float) -> None:
        """Keep what is in hand for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopping.is_set():
            self._reader.show_life()
            self._stopping.wait(min(left, IDLE_SECONDS))
