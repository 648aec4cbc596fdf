"""The witness of one process: it compares the marks at the start, after each restart of Postgres and every two seconds.

Until it has, this process hands nothing over and settles nothing. Where another process has compared a moment ago, that
is enough: then one look at a row in Postgres takes the place of a round trip to the broker.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from weakref import WeakKeyDictionary

from bridge.app import Bridge
from bridge.broker.marks import Keeper, MarkRefused, address, keeper_on
from bridge.errors import BridgeError, BrokerUnavailable, StoreLocked
from bridge.happened import Happening, tell
from bridge.marks.acting import Here, Look, error_of, kind_of, look
from bridge.marks.compare import Fine, Lost, Unseen
from bridge.store import marks
from bridge.store.connect import UNKNOWN
from bridge.store.recall import recall_all
from bridge.wording import counted, said

logger = logging.getLogger("bridge")

LOOK_SECONDS = 2.0  # between two looks
TRUST_SECONDS = 1.5  # how long ago another process may have looked in our place
WATCHED_SECONDS = 3.0  # how long another broker's mark must stand still before it counts as left
REFUSED_SECONDS = 60.0  # between two tries where the broker refuses the mark
RECALL_LOCK_SECONDS = 0.2  # for each client: one that is held is recalled at a later look
MOST_LOOKS = 3  # in a row, until the broker is seen with what was written


class Witness:
    """Compares for one process; several threads may ask.

    Args:
        bridge: The settings, the store and the broker.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._turn, self._pid = threading.RLock(), 0
        self._keeper: Keeper | None = None
        self._here = Here("", "")
        self._due = 0.0  # time.monotonic() of the next look
        self._remembered: dict[str, int] = {}  # by log
        self._others: dict[str, tuple[int, float]] = {}  # by broker: count, and since when it stands still
        self._said: set[str] = set()
        self._refused = False

    def check(self, *, trust_seconds: float = TRUST_SECONDS) -> None:
        """See that Postgres and the broker still remember each other; it costs nothing where that was just seen.

        Args:
            trust_seconds: How long ago another process may have looked in our place.

        Raises:
            MarkAhead: the database was set back.
            BrokerTaken: the broker serves another log, or another broker this one.
            StoreUnavailable, BrokerUnavailable: nothing is known.
        """
        if self._pid != os.getpid():
            self._begin()
        if time.monotonic() < self._due and self._bridge.store.vouched != UNKNOWN:
            return
        with self._turn:
            self._check(trust_seconds)

    def look_at_once(self) -> None:
        """Let the next check look, however lately the last one was."""
        self._due = 0.0

    @property
    def keeps_marks(self) -> bool:
        """Whether the broker keeps a mark."""
        return self._keeper is not None and not self._refused

    def close(self) -> None:
        """Disconnect from the broker."""
        if self._keeper is not None and self._pid == os.getpid():
            self._keeper.close()
        self._pid = 0

    def _begin(self) -> None:
        """Begin anew: a forked child has no connection of its own yet, and must not use its parent's."""
        settings = self._bridge.settings
        self._turn, self._due = threading.RLock(), 0.0
        self._keeper = keeper_on(
            self._bridge.app, queue=settings.queue, connect_timeout_seconds=settings.connect_timeout_seconds
        )
        self._here = Here(settings.queue, address(self._bridge.app))
        self._bridge.store.vouch(UNKNOWN if self._keeper is not None else "")
        self._pid = os.getpid()
        if self._keeper is None:
            self._say_once("this broker keeps no mark: a loss of its messages is noticed when leases end")

    def _check(self, trust_seconds: float) -> None:
        if self._keeper is None:
            self._due = float("inf")
            return
        store = self._bridge.store
        try:
            if not self._is_compared(trust_seconds):
                self._compare(self._keeper)
        except MarkRefused as error:
            self._say_once(f"the broker refuses the bridge's mark, and a loss will be noticed late: {error}")
            store.vouch("")
            self._refused = True
            self._due = time.monotonic() + REFUSED_SECONDS
            return
        except (StoreLocked, BrokerUnavailable):
            if store.vouched == UNKNOWN:
                raise  # else the last look still holds: this very server was compared
        self._refused = False
        self._due = time.monotonic() + LOOK_SECONDS

    def _is_compared(self, trust_seconds: float) -> bool:
        """Tell whether another process has compared this broker with this very server a moment ago."""
        known = next(iter(self._remembered.values()), 0)
        found = marks.peek(
            self._bridge.store, bridge=self._here.bridge, broker=self._here.broker, seconds=trust_seconds
        )
        if found is None or not found.fine or found.count < known or not self._remembered:
            return False
        self._remembered = dict.fromkeys(self._remembered, found.count)
        self._bridge.store.vouch(found.started)
        return True

    def _compare(self, keeper: Keeper) -> None:
        """Look until all fits, and see to what is lost."""
        store = self._bridge.store
        for _ in range(MOST_LOOKS):
            found = look(store, keeper, self._here, remembered=self._remembered, silent=self._silent())
            self._watch(found)
            if error := error_of(found.verdict, self._here):
                self._stop(found, error)
                raise error
            self._remembered = {found.facts.log: max(found.count, self._remembered.get(found.facts.log, 0))}
            if isinstance(found.verdict, Lost):
                why = found.verdict.why
                it = Happening(kind="broker-lost", about=found.broker, reason=why)
                text = "%s lost messages: %s; what is open is handed over again"
                logger.warning(text, found.broker, said(why), extra=it.extra())
                tell(it)
            if isinstance(found.verdict, Fine | Unseen) or not found.written:
                break
        store.vouch(found.facts.started)
        self._recall(found.broker)

    def _stop(self, found: Look, error: BridgeError) -> None:
        """Let nothing run on this server, and note why for `status` and `explain`."""
        self._bridge.store.vouch(UNKNOWN)
        marks.note_trouble(
            self._bridge.store,
            bridge=self._here.bridge,
            broker=found.broker,
            kind=kind_of(found.verdict),
            trouble=str(error),
        )

    def _recall(self, broker: str) -> None:
        """Recall what a loss has taken; clients that are held are recalled at a later look."""
        store = self._bridge.store
        lost = marks.lost(store, bridge=self._here.bridge, broker=broker)
        if lost is None:
            return
        lost_at, why = lost
        done, held = recall_all(
            store,
            bridge=self._here.bridge,
            sent_until=lost_at,
            reason=why,
            action="broker-lost",
            lock_seconds=RECALL_LOCK_SECONDS,
        )
        if not held:
            marks.recalled(store, bridge=self._here.bridge, broker=broker, lost_at=lost_at)
        number = sum(len(it.offsets) for it in done)
        logger.warning(
            "after the loss of %s, %s of %s handed over again",
            broker,
            counted(number, "delivery", "deliveries"),
            counted(len(done), "client is", "clients are"),
        )

    def _silent(self) -> set[str]:
        """Return the brokers whose mark has stood still while we watched."""
        now = time.monotonic()
        return {broker for broker, (_, since) in self._others.items() if now - since >= WATCHED_SECONDS}

    def _watch(self, found: Look) -> None:
        """Remember since when the marks of other brokers stand still."""
        now, before = time.monotonic(), self._others
        self._others = {
            broker: before[broker] if broker in before and before[broker][0] == count else (count, now)
            for broker, count in found.others.items()
        }

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning(text)


_witnesses: WeakKeyDictionary[Bridge, Witness] = WeakKeyDictionary()


def witness_of(bridge: Bridge) -> Witness:
    """Return the witness of a bridge, which each process makes once."""
    if bridge not in _witnesses:
        _witnesses[bridge] = Witness(bridge)
    return _witnesses[bridge]
