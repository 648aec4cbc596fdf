"""The pump's loop. Beat starts a tick; a tick hands over all that it can, then waits for more until a newer tick comes.

Nothing here compares the clocks of two machines. That a tick is late shows in Postgres: another one has just taken the
turn, or has just waited to its end. Such a tick hands over what there is, and ends.

A tick makes passes, one for each client that needs one (see `one_pass`). It leaves a client in trouble alone for a
second, so that it does not slow down the others. Ticks may overlap, and several bridge workers may run them: a client
that another pass holds is left to it, and only the newest tick goes on waiting.
"""

from __future__ import annotations

import gc
import logging
import socket
import time
import uuid
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from bridge.app import Bridge
from bridge.errors import BridgeError, BrokerUnavailable, LogRewound, SchemaError, StoreRefused, StoreUnavailable
from bridge.marks.witness import witness_of
from bridge.pump.beats import note_beat_of
from bridge.pump.declared import Declared
from bridge.pump.due import Due
from bridge.pump.noting import Noting
from bridge.pump.one_pass import Bounds, Pass, hand_over, rehearse
from bridge.pump.rehearsals import Rehearsals
from bridge.pump.slices import LONGEST_LOOK_EVENTS
from bridge.pump.stopping import is_stopping
from bridge.settle.policy import rest
from bridge.store import rounds
from bridge.store.driver_errors import may_be_about_a_row
from bridge.store.durations import note_durations
from bridge.store.horizon import advance
from bridge.store.migrate import check_schema
from bridge.trouble import Trouble
from bridge.wording import words_of

logger = logging.getLogger("bridge")

LONGEST_WAIT_SECONDS = 0.5  # of one statement: it holds a snapshot meanwhile, which keeps vacuum from dead rows
FEW_CLIENTS = 10  # up to so many, a pass each costs less than to ask first which of them want any of the new events
TROUBLE_SECONDS = 1.0  # how long a client in trouble is left alone
NOTE_SECONDS = 2.0  # how often a pump at work says so in Postgres, for `explain`
TOGETHER = "clients that want none of the new events can't be moved together"
LONGEST_APART_SECONDS = 5.0  # ticks that are closer together than this have not piled up, however long the interval


class Tick(NamedTuple):
    """What one run of the pump did, in numbers.

    Attributes:
        sent: Events that the broker took.
        looked: Events that were looked at.
        troubled: Clients that could not be served.
    """

    sent: int
    looked: int
    troubled: int


class Pump:
    """The pump of one process.

    Args:
        bridge: The settings, the store and the sender that it works with.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._left_alone_until: dict[str, float] = {}  # clients in trouble: id -> time.monotonic()
        self._troubles: dict[str, Trouble] = {}  # of the same clients
        self._moving = Trouble(logger, what=TOGETHER, over="they are moved together again")
        self._prepared = False
        self._witness = witness_of(bridge)
        self._noted = -NOTE_SECONDS  # time.monotonic()
        self._declared = Declared(bridge)
        self._due = Due(bridge.store)
        self._rehearsals = Rehearsals(bridge.settings.pass_limit)
        self._tried = 0.0  # time.monotonic()

    @property
    def _name(self) -> str:
        """The bridge's name, which is that of its queue: it serves the clients that name it."""
        return self._bridge.settings.queue

    def prepare(self) -> None:
        """Check the schema, and register the clients that this process declares. Later calls do what is left of it.

        It also calls `gc.freeze()`: the garbage collector then ignores all that is loaded by now. To look through that
        again and again would take a tenth of a pump's time.

        Raises:
            SchemaError: the schema is not the one that this code knows; the message says what to do.
        """
        if self._prepared and self._declared.is_registered:
            return
        check_schema(self._bridge.store.engine)
        if not self._prepared:
            rounds.prepare_turns(self._bridge.store, bridge=self._name)
        self._declared.register()
        if not self._prepared:
            gc.freeze()
        self._prepared = True

    def tick(self, *, first: bool = False, request: Any = None) -> Tick:
        """Hand over all that can be, then wait for more until the time is up or a newer tick takes the turn.

        Args:
            first: Whether its worker has just begun: then it takes the turn in any case, because the tick that had it
                may have died with that worker.
            request: Celery's request of the tick, which names the beat that has sent it; None: nobody has.

        Raises:
            SchemaError, LogRewound, BrokerTaken, Unavailable: nothing more could be done; nothing is lost.
        """
        self.prepare()
        self._witness.check()
        self._note_tick()
        note_beat_of(self._bridge, request)
        total = self.catch_up()
        store, settings = self._bridge.store, self._bridge.settings
        holder = uuid.uuid4().hex
        if not settings.linger_seconds or not self._take_turn(holder, first=first):
            return total
        until = time.monotonic() + settings.linger_seconds
        while (left := until - time.monotonic()) > 0 and not is_stopping():
            found = rounds.wait_for_work(
                store,
                bridge=self._name,
                holder=holder,
                seconds=min(left, LONGEST_WAIT_SECONDS),
                poll_seconds=settings.poll_seconds,
                look_for_due=not self._due.is_held_up,
                due_rest_seconds=self._due.rest_seconds,
            )
            self._due.rest(found.due_rest_seconds)
            if not found.newest:
                break
            self._witness.check()
            if found.due:
                self._due.append_found()
            if found.work or found.due:
                began = time.monotonic()
                done = self.catch_up()
                total = Tick(*map(sum, zip(total, done, strict=True)))
                # If nothing was done, another transaction holds the client that needs a pass, or it is in trouble.
                least = 0 if done.sent or done.looked else settings.poll_seconds
                time.sleep(rest(time.monotonic() - began, least=least))
            self._note_tick()  # behind the events: somebody waits for these
            note_durations(store, bridge=self._name)
            self._register_rest()
        else:  # no other tick came: those that wait behind this one begin now
            rounds.end_tick(store, bridge=self._name, most_seconds=2 * settings.linger_seconds)
        return total

    def catch_up(self) -> Tick:
        """Run passes until no client has anything left that its window has room for, or the worker shuts down."""
        store = self._bridge.store
        sent = looked = 0
        troubled: set[str] = set()
        while True:
            horizon, last = advance(store)
            if self._due.append_now_and_then():
                horizon, last = advance(store)
            if self._witness.keeps_marks:
                self._bridge.sender.remember(last)
            hungry = False
            for client in self._clients_to_serve(horizon):
                if is_stopping():
                    return Tick(sent, looked, len(troubled))
                self._note_tick()
                self._witness.check()
                if client in troubled or self._left_alone_until.get(client, 0) > time.monotonic():
                    continue
                done, failed = self._serve(client, horizon)
                if failed:
                    troubled.add(client)
                if done is not None:
                    sent, looked, hungry = sent + done.sent, looked + done.looked, hungry or done.hungry
            if not hungry:
                return Tick(sent, looked, len(troubled))

    def _serve(self, client: str, horizon: int) -> tuple[Pass | None, bool]:
        """Run one pass for a client; return what it did, and whether it failed.

        Raises:
            LogRewound: nothing can be handed over to any client.
        """
        settings, sender = self._bridge.settings, self._bridge.sender
        limit = self._rehearsals.limit(client)
        bounds: Bounds = {
            "horizon": horizon,
            "limit": limit or settings.pass_limit,
            "bridge": self._name,
            "look": sender.length,
            "batch_bytes": settings.batch_bytes,
        }
        try:
            if limit is not None:
                rehearse(self._bridge.store, client, **bounds)
            noting = Noting(sender.send)
            done = hand_over(self._bridge.store, client, send=noting.send, revoke=sender.revoke, **bounds)
        except LogRewound:
            raise
        except Exception as error:  # any error is this client's alone: the others are served
            self._rehearsals.refused(client, error)
            self._note_trouble(client, error)
            return None, True
        if done is None:  # another transaction holds the client: nobody knows whether it can be served
            return None, False
        self._rehearsals.passed(client)
        noting.say()
        if done.trouble:  # the broker takes no more for now: what it did take is remembered
            self._note_trouble(client, BrokerUnavailable(done.trouble))
            return done, True
        self._end_trouble(client)
        return done, False

    def _clients_to_serve(self, horizon: int) -> list[str]:
        """List the clients that need a pass. If they are many, first move those that want none of the new events."""
        store = self._bridge.store
        clients = rounds.clients_to_serve(store, bridge=self._name, horizon=horizon)
        if len(clients) <= FEW_CLIENTS:
            return clients
        try:
            rounds.pass_over(store, bridge=self._name, horizon=horizon, slice=LONGEST_LOOK_EVENTS)
        except (StoreUnavailable, StoreRefused, SchemaError) as error:  # then each is moved by a pass of its own
            self._moving.went(error)
        else:
            self._moving.back()
        return rounds.clients_to_serve(store, bridge=self._name, horizon=horizon)

    def _take_turn(self, holder: str, *, first: bool) -> bool:
        """Take the turn to wait for work, unless this tick is one of those of beat that have piled up."""
        store, settings = self._bridge.store, self._bridge.settings
        apart_seconds = min(settings.interval_seconds / 2, LONGEST_APART_SECONDS)
        # A turn longer than the interval only runs to its end where no process is free for the next tick. Ticks have
        # piled up then.
        runs_out = settings.linger_seconds > settings.interval_seconds
        after_seconds = min(settings.interval_seconds * 0.9, LONGEST_APART_SECONDS)
        taken = rounds.take_turn(
            store,
            bridge=self._name,
            holder=holder,
            seconds=settings.linger_seconds,
            apart_seconds=-1 if first else apart_seconds,
            after_seconds=after_seconds if runs_out and not first else -1,
        )
        if not taken and runs_out:
            rounds.end_tick(store, bridge=self._name, most_seconds=2 * settings.linger_seconds)
        return taken

    def _register_rest(self) -> None:
        """Register, every few seconds, the clients that another transaction held before."""
        if not self._declared.is_registered and time.monotonic() - self._tried >= TROUBLE_SECONDS:
            self._declared.register()
            self._tried = time.monotonic()

    def _note_tick(self) -> None:
        """Say in Postgres, every few seconds, that a pump is at work."""
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            rounds.note_tick(self._bridge.store, bridge=self._name, host=socket.gethostname(), clock=time.time())
            self._noted = time.monotonic()
            note_durations(self._bridge.store, bridge=self._name)

    def _note_trouble(self, client: str, error: Exception) -> None:
        """Log why a client could not be served, remember it for `status`, and leave the client alone for a while."""
        expected = isinstance(error, BridgeError)
        self._left_alone_until[client] = time.monotonic() + TROUBLE_SECONDS
        said = words_of(error) if expected else f"{type(error).__name__}: {words_of(error)}"
        try:  # first: while Postgres is away this raises, and the tick ends with one line for all clients
            rounds.note_trouble(self._bridge.store, client=client, trouble=said)
        except (StoreUnavailable, StoreRefused, SchemaError) as refusal:
            if not (isinstance(refusal, StoreRefused) or may_be_about_a_row(refusal)):
                raise
        what, over = f"client {client} can't be served", f"client {client} is served again"
        trouble = self._troubles.setdefault(client, Trouble(logger, what=what, over=over, client=client))
        trouble.went(error, unexpected=None if expected else error)

    def _end_trouble(self, client: str) -> None:
        """Say that a client is served again, if it was not before."""
        if self._troubles and (trouble := self._troubles.pop(client, None)):
            trouble.back()
            self._left_alone_until.pop(client, None)


_pumps: WeakKeyDictionary[Bridge, Pump] = WeakKeyDictionary()


def pump_of(bridge: Bridge) -> Pump:
    """Return the pump of a bridge, which each process makes once."""
    if bridge not in _pumps:
        _pumps[bridge] = Pump(bridge)
    return _pumps[bridge]
