"""Append scheduled events to the log when they are due. From then on they are events like all others."""

from __future__ import annotations

import logging
import time

from bridge.errors import BridgeError, SchemaError, StoreUnavailable
from bridge.store import Store
from bridge.store.driver_errors import may_be_about_a_row
from bridge.store.scheduled import append_due
from bridge.wording import said

logger = logging.getLogger("bridge")

MOST_EVENTS = 1000  # of one transaction
MOST_ROUNDS = 10  # of one call: then the pump hands over
MOST_SECONDS = 1.0  # of one call that begins no further round: what is held up by others costs time
APART_SECONDS = 1.0  # between two looks of a pump that is busy, and after one that could not append all
RESTS = 40  # times as long as a look took: an old snapshot keeps all that was appended before in its way
LONGEST_REST_SECONDS = 10.0


class Due:
    """Appends what is due, for one pump."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked = -APART_SECONDS  # time.monotonic()
        self._held_up_until = -APART_SECONDS
        self._look_again_at = -APART_SECONDS
        self._apart = APART_SECONDS
        self._said = ""

    @property
    def is_held_up(self) -> bool:
        """Whether something due could not be appended just now: do not look for it again at once."""
        return time.monotonic() < self._held_up_until

    @property
    def rest_seconds(self) -> float:
        """In how many seconds a wait may look for what is due."""
        return max(0.0, self._look_again_at - time.monotonic())

    def rest(self, seconds: float) -> None:
        """Let no wait look for what is due for so long."""
        self._look_again_at = time.monotonic() + seconds

    def append_now_and_then(self) -> bool:
        """Append what is due, at most once in a second; tell whether there was anything."""
        return time.monotonic() - self._looked >= self._apart and self.append()

    def append_found(self) -> None:
        """Append what is due, after something was found to be; if that can't be appended, wait before looking again."""
        if not self.append():  # another pump does it, or one of them is held up
            self._held_up_until = time.monotonic() + APART_SECONDS

    def append(self) -> bool:
        """Append what is due, and tell whether there was anything. What Postgres refuses stays scheduled.

        Raises:
            StoreUnavailable, SchemaError: nothing can be done at all.
        """
        appended, until = False, time.monotonic() + MOST_SECONDS
        try:
            for _ in range(MOST_ROUNDS):
                began = time.monotonic()
                found = append_due(self._store, most=MOST_EVENTS)
                appended = appended or found.done > 0
                if found.why is not None:
                    self._say(found.why)
                if not found.done and not found.held:
                    took = time.monotonic() - began
                    self._apart = min(LONGEST_REST_SECONDS, max(APART_SECONDS, RESTS * took))
                    break
                if time.monotonic() > until:
                    break
        except BridgeError as error:  # the passes go on
            if isinstance(error, StoreUnavailable | SchemaError) and not may_be_about_a_row(error):
                raise
            self._say(str(error))
        self._looked = time.monotonic()
        return appended

    def _say(self, why: str) -> None:
        """Say why something that is due can't be appended, unless that was the last thing said."""
        if why != self._said:
            logger.warning("scheduled events that are due can't be appended to the log: %s", said(why))
        self._said = why
