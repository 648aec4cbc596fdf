"""Who follows goes on while Postgres is away: the place is kept, and the log says when it goes and when it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from bridge.errors import StoreUnavailable
from bridge.trouble import Trouble

AGAIN_SECONDS = 1.0

Read = TypeVar("Read")

logger = logging.getLogger("bridge")


class Patience:
    """What has been read once is read again, however long Postgres is away in between.

    The first time, an error is the caller's: it may be the address that is wrong.

    Args:
        has_read: Whether the caller has read something already.
    """

    def __init__(self, *, has_read: bool = False) -> None:
        self._trouble = Trouble(logger, what="nothing new is seen", over="what is new is seen again")
        self._has_read = has_read

    def read(self, read: Callable[[], Read]) -> Read:
        """Read, again and again until it works.

        Raises:
            StoreUnavailable: nothing has ever been read.
        """
        while True:
            try:
                found = read()
            except StoreUnavailable as error:
                if not self._has_read:
                    raise
                self._trouble.went(error)
                time.sleep(AGAIN_SECONDS)
            else:
                self._has_read = True
                self._trouble.back()
                return found
