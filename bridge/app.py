"""Settings, store and sender on a Celery app: what the tasks, the steps and the commands work with."""

from __future__ import annotations

import gc
import logging
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from celery import Celery

from bridge.declared import registrations
from bridge.errors import BridgeError, LogRewound, StoreUnavailable, Unavailable
from bridge.model import Failure, Outcome
from bridge.policy import rest
from bridge.pump import hand_over
from bridge.reported import Callback, one_by_one, outcomes, signed
from bridge.schedule import Every
from bridge.sender import Sender
from bridge.settings import Settings
from bridge.settle import Settled, settle
from bridge.store import Store, pulse
from bridge.store.clients import register
from bridge.store.migrate import check
from bridge.store.slices import LONGEST_LOOK

logger = logging.getLogger("bridge")

MODULES = ("bridge.tasks", "bridge.steps", "bridge.inprocess", "bridge.acks")
PUMP = "bridge.pump"
LONGEST_WAIT_SECONDS = 0.5  # of one statement, which holds a snapshot as long
FEW_CLIENTS = 10  # up to so many, a pass for each is cheaper than asking first whether it wants any of the new events
MOST_OUTCOMES = 10_000  # in one transaction
TROUBLE_SECONDS = 1.0  # a client in trouble is left alone this long, so that it can't slow down the others


class Tick(NamedTuple):
    """What one run of the pump did: messages sent, events looked at, clients that could not be served."""

    sent: int
    looked: int
    troubled: int


class Bridge:
    """The bridge on one Celery app, in one process.

    Args:
        app: Its configuration holds the `bridge_*` settings, its broker takes the messages.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.settings = Settings.read(app.conf, os.environ)
        self._resting: dict[str, float] = {}
        self._prepared = False
        self._store: Store | None = None
        self._secret = ""
        self._sender: Sender | None = None

    # Plain properties: functools.cached_property holds a lock in Python 3.11, which a pool child may inherit locked.
    @property
    def store(self) -> Store:
        """The event log; connects when it is first used."""
        if self._store is None:
            self._store = Store(
                self.settings.need_database_url(),
                connect_timeout_seconds=self.settings.connect_timeout_seconds,
                statement_timeout_seconds=self.settings.statement_timeout_seconds,
            )
        return self._store

    @property
    def secret(self) -> str:
        """The key that signs callbacks: the setting, else the one that the database keeps."""
        if not self._secret:
            self._secret = self.settings.secret or pulse.secret(self.store)
        return self._secret

    @property
    def sender(self) -> Sender:
        """The broker's only writer; connects when it is first used."""
        if self._sender is None:
            self._sender = Sender(
                self.app,
                queue=self.settings.queue,
                secret=self.secret,
                connect_timeout_seconds=self.settings.connect_timeout_seconds,
                fast=self.settings.stencil,
            )
        return self._sender

    def prepare(self) -> None:
        """Check the schema, and register the clients that this process declares; once.

        Raises:
            SchemaError: says which migration is missing.
        """
        if self._prepared:
            return
        check(self.store.engine)
        for registration in registrations():
            try:
                done = register(self.store, registration)
            except Unavailable:
                raise
            except BridgeError as error:  # one client's trouble is not the others'
                logger.error("client %s is not registered: %s", registration.id, error)
            else:
                if done.created:
                    logger.info("client %s is registered, its cursor stands at %s", registration.id, done.offset)
        gc.freeze()  # what is loaded by now stays: looking through it for garbage takes a tenth of a pump's time
        self._prepared = True

    def tick(self) -> Tick:
        """Hand over everything that can be, then linger for more until a newer tick takes over.

        Raises:
            SchemaError, LogRewound, StoreUnavailable: nothing more could be done; nothing is lost.
        """
        self.prepare()
        total = self._drain()
        if not self.settings.linger_seconds:
            return total
        holder = uuid.uuid4().hex
        pulse.take_lease(self.store, holder=holder, seconds=self.settings.linger_seconds)
        until = time.monotonic() + self.settings.linger_seconds
        while (left := until - time.monotonic()) > 0:
            beat = pulse.wait_for_work(
                self.store,
                holder=holder,
                seconds=min(left, LONGEST_WAIT_SECONDS),
                poll_seconds=self.settings.poll_seconds,
            )
            if not beat.newest:
                break
            if beat.work:
                began = time.monotonic()
                done = self._drain()
                total = Tick(*map(sum, zip(total, done, strict=True)))
                # Where nothing was done, the client that needs a look is another pump's, or in trouble.
                least = 0 if done.sent or done.looked else self.settings.poll_seconds
                time.sleep(rest(time.monotonic() - began, least=least))
        return total

    def _drain(self) -> Tick:
        """Run passes until no client has anything left that its window has room for."""
        sent = looked = 0
        troubled: set[str] = set()
        while True:
            horizon = pulse.advance_horizon(self.store)
            hungry = False
            clients = pulse.wakeful(self.store, horizon=horizon)
            if len(clients) > FEW_CLIENTS:
                clients = self._skip(horizon)
            for client in clients:
                if client in troubled or self._resting.get(client, 0) > time.monotonic():
                    continue
                try:
                    done = hand_over(
                        self.store, client, horizon=horizon, batch=self.settings.batch, send=self.sender.send
                    )
                except LogRewound:
                    raise
                except Exception as error:  # whatever it is, it is this client's: the others are served
                    troubled.add(client)
                    self._note_trouble(client, error)
                    continue
                if done is not None:
                    sent, looked, hungry = sent + done.sent, looked + done.looked, hungry or done.hungry
            if not hungry:
                return Tick(sent, looked, len(troubled))

    def _skip(self, horizon: int) -> list[str]:
        """Move clients that want none of the new events; who is left. Where that fails, a pass of its own moves each."""
        try:
            pulse.skip(self.store, horizon=horizon, slice=LONGEST_LOOK)
        except StoreUnavailable as error:
            logger.warning("clients that want nothing can't be moved together: %s", error)
        return pulse.wakeful(self.store, horizon=horizon)

    def _note_trouble(self, client: str, error: Exception) -> None:
        expected = isinstance(error, BridgeError)
        logger.warning("client %s can't be served: %s", client, error, exc_info=None if expected else error)
        self._resting[client] = time.monotonic() + TROUBLE_SECONDS
        trouble = str(error) if expected else f"{type(error).__name__}: {error}"
        pulse.note_trouble(self.store, client=client, trouble=trouble)

    def settle_outcomes(self, batch: Sequence[Outcome]) -> Settled:
        """Settle outcomes whose signature was checked; see `bridge.settle`."""
        return settle(self.store, batch)

    def settle(self, callbacks: Iterable[Callback]) -> Settled:
        """Settle what callbacks report, see `bridge.reported`; very many in more than one transaction.

        Raises:
            StoreUnavailable: some may be settled; settle the same callbacks again.
        """
        total, batch = Settled(), list[Outcome]()
        for callback in one_by_one(callbacks):
            batch += outcomes(self.app, callback, secret=self.secret)  # those of one callback stay together
            if len(batch) >= MOST_OUTCOMES:
                total, batch = total + self.settle_outcomes(batch), []
        return total + self.settle_outcomes(batch)

    def signed_outcomes(self, args: Sequence[Any], failure: Failure | None = None) -> list[Outcome]:
        """The outcomes of an attempt whose signature is genuine; nothing, and a warning, for any other."""
        return signed(args, secret=self.secret, failure=failure)


_bridges: WeakKeyDictionary[Celery, Bridge] = WeakKeyDictionary()


def bridge_of(app: Celery) -> Bridge:
    """The bridge of this app; made once per process."""
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app
    if app not in _bridges:
        _bridges[app] = Bridge(app)
    return _bridges[app]


def install(app: Celery) -> None:
    """Add the bridge to a Celery app: its tasks, its steps, and the beat entry that runs the pump.

    The app's workers that consume the bridge's queue are then bridge workers; all others stay as they are.

    Args:
        app: An app, configured now or later.
    """

    def configure(sender: Celery, **_: Any) -> None:
        present = tuple(sender.conf.imports or ())
        sender.conf.imports = (*present, *(module for module in MODULES if module not in present))

    def schedule(sender: Celery, **_: Any) -> None:
        sender.conf.beat_schedule = {
            **(sender.conf.beat_schedule or {}),
            **beat_entry(Settings.read(sender.conf, os.environ)),
        }

    app.on_after_configure.connect(configure, weak=False)
    app.on_after_finalize.connect(schedule, weak=False)
    if app.configured:
        configure(app)
    if app.finalized:
        schedule(app)


def beat_entry(settings: Settings) -> dict[str, dict[str, Any]]:
    """The beat schedule's entry for the pump. Ticks that nobody took in time expire, so they never pile up."""
    return {
        PUMP: {
            "task": PUMP,
            "schedule": Every(settings.interval_seconds),
            "options": {
                "queue": settings.queue,
                "expires": max(1.0, settings.interval_seconds * 2),
                "ignore_result": True,
            },
        }
    }
