"""Register the clients that a pump's process declares: those of its own bridge, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from bridge.app import Bridge
from bridge.declare import app_name, options_left_out, registrations
from bridge.errors import BridgeError, SchemaError, StoreRefused, Unavailable
from bridge.model import Registration
from bridge.store.clients import ListedClient, list_clients, note_undeclared, register
from bridge.store.driver_errors import may_be_about_a_row
from bridge.store.outcomes import is_held
from bridge.store.rounds import silent_bridges
from bridge.trouble import Trouble
from bridge.wording import said

logger = logging.getLogger("bridge")

REGISTER_SECONDS = 1.0  # how long to wait for a client that a stranger's transaction holds: the others wait along
BRIEF_SECONDS = 0.05


class Declared:
    """What a process declares, and what of it is to be registered still.

    Args:
        bridge: The bridge of the process.

    Attributes:
        is_registered: Whether nothing is left to do.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._is_noted = False  # which clients are not declared any more
        self._held: set[str] | None = None  # clients that could not be registered yet; None before the first time
        self._trouble = Trouble(logger, what="a client is not registered yet", over="all clients are registered")

    @property
    def is_registered(self) -> bool:
        """Whether all is done; what another transaction held is tried again with the next tick."""
        return self._held is not None and not self._held and self._is_noted

    def register(self) -> None:
        """Register what is left.

        Raises:
            StoreUnavailable: Postgres is away; call it again.
        """
        held = set[str]()
        for registration in self._wanted():
            seconds = BRIEF_SECONDS if held else REGISTER_SECONDS
            try:
                done = register(
                    self._bridge.store, registration, bridge=self._bridge.settings.queue, lock_seconds=seconds
                )
            except (Unavailable, SchemaError) as error:
                if not (is_held(error) or may_be_about_a_row(error)):
                    raise
                held.add(registration.id)
                id = registration.id
                self._trouble.went(
                    f"another transaction holds client {id!r}" if is_held(error) else f"client {id!r}: {error}"
                )
            except BridgeError as error:  # one client's trouble must not stop the others
                logger.error("client %s is not registered: %s", registration.id, said(error))
            else:
                if done.created:
                    logger.info("client %s is registered, its cursor stands at %s", registration.id, done.offset)
                for note in options_left_out(self._bridge.app, done.settings, registration.given):
                    logger.warning("%s", note)
        if not held:
            self._trouble.back()
        self._held = held
        self._note_undeclared()

    def _note_undeclared(self) -> None:
        """Note which clients the code does not declare any more; where another transaction holds one, try again."""
        name, own = app_name(self._bridge.app), self._bridge.settings.queue
        declared = [it.id for it in registrations(self._bridge.app)]
        try:
            gone = note_undeclared(self._bridge.store, name, declared, bridge=own, lock_seconds=BRIEF_SECONDS)
        except (Unavailable, SchemaError, StoreRefused) as error:
            if not (isinstance(error, StoreRefused) or is_held(error) or may_be_about_a_row(error)):
                raise
            return
        for id in gone:
            logger.warning("client %s is not declared any more: `eventbridge register --prune` removes it", id)
        self._is_noted = True

    def _wanted(self) -> list[Registration]:
        """List what is to be registered; what names another bridge, or is another one's, is left to that one."""
        declared = [it for it in registrations(self._bridge.app) if self._held is None or it.id in self._held]
        own = self._bridge.settings.queue
        known = {it.id: it for it in list_clients(self._bridge.store) if not it.is_reader}
        if self._held is None:
            self._warn_of_others(known.values(), own)
        theirs = {it.id: it.given.get("bridge") or _bridge_of(known.get(it.id), own) for it in declared}
        return [it for it in declared if theirs[it.id] == own]

    def _warn_of_others(self, known: Iterable[ListedClient], own: str) -> None:
        """Say that there are clients of a bridge whose pumps are silent: was this one called by another name?"""
        others = {str(it.settings["bridge"]) for it in known} - {own}
        for name in silent_bridges(self._bridge.store) if others else ():
            if name in others:
                logger.warning(
                    "there are clients of bridge %r, and no pump of it is at work: this bridge is %r, as bridge_queue "
                    "says, and leaves them alone; `eventbridge register CLIENT --bridge %s` makes one its own",
                    name,
                    own,
                    own,
                )


def _bridge_of(known: ListedClient | None, own: str) -> str:
    return own if known is None else str(known.settings["bridge"])
