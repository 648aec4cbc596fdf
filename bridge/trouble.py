"""Say in the log that a server is away: one line when it goes, one a minute while it is away, one when it is back.

What waits for a server tries again many times a second, or in many processes. A line for each try would hide all other
lines.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from bridge.happened import Happening, tell
from bridge.wording import counted, said, span, words_of

AGAIN_SECONDS = 60.0


class Trouble:
    """What one loop of a process waits for.

    Args:
        logger: Where the lines go.
        what: What waits meanwhile, with its verb, such as `outcomes wait`.
        over: What is true again afterwards, such as `outcomes are settled again`.
        client: Id of the client that it is about; empty where it is about no single one.
        clock: Seconds, from any moment.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        what: str,
        over: str,
        client: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._what, self._over = what, over
        self._client = client
        self._clock = clock
        self._since: float | None = None
        self._said = 0.0

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 if there is none."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def is_on(self) -> bool:
        """Whether there is trouble."""
        return self._since is not None

    def went(self, error: object, *, unexpected: BaseException | None = None) -> None:
        """Note that a try failed.

        Args:
            error: Why.
            unexpected: The error again, if its traceback is wanted.
        """
        now, begins = self._clock(), self._since is None
        if not begins and now - self._said < AGAIN_SECONDS:
            return
        self._since, self._said = now if self._since is None else self._since, now
        kind = "" if isinstance(error, str) else type(error).__name__
        it = Happening(kind="trouble", client=self._client, about=self._what, reason=words_of(error), error_type=kind)
        lasts = "" if begins else f", for {span(self.seconds)} now"
        self._logger.warning("%s%s: %s", self._what, lasts, said(error), exc_info=unexpected, extra=it.extra())
        if begins:
            tell(it)

    def back(self) -> None:
        """Note that a try succeeded."""
        if self._since is not None:
            lasted, self._since = self.seconds, None
            it = Happening(kind="recovered", client=self._client, about=self._what, seconds=lasted)
            self._logger.warning("%s, after %s", self._over, span(lasted), extra=it.extra())
            tell(it)


class Tally:
    """Counts what may come by the thousand, and says so once a minute at most.

    Args:
        logger: Where the lines go.
        clock: Seconds, from any moment.

    Attributes:
        count: How many there were in this process.
    """

    def __init__(self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._said = float("-inf")
        self._unsaid = 0
        self.count = 0

    def note(self, number: int, say: Callable[[int], str]) -> None:
        """Count some more, and leave a line if the last one is long enough ago.

        Args:
            number: How many came now.
            say: Makes the line, of the number that came since the last one.
        """
        with self._lock:
            self.count += number
            self._unsaid += number
            if self._clock() - self._said < AGAIN_SECONDS:
                return
            number, self._unsaid, self._said = self._unsaid, 0, self._clock()
        self._logger.warning("%s", say(number))


class Few:
    """Leaves lines that may come by the thousand: the first ones of a minute, and the number of all that went unsaid.

    Args:
        logger: Where the lines go.
        most: Lines of a minute.
        clock: Seconds, from any moment.
    """

    def __init__(self, logger: logging.Logger, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._said = self._unsaid = 0

    def say(self, level: int, line: str) -> None:
        """Leave a line, or count it.

        Args:
            level: Of the log.
            line: Its text.
        """
        with self._lock:
            unsaid = 0
            if self._clock() - self._began >= AGAIN_SECONDS:
                unsaid, self._began = self._unsaid, self._clock()
                self._said = self._unsaid = 0
            if self._said >= self._most:
                self._unsaid += 1
                return
            self._said += 1
            last = self._said == self._most
        if unsaid:
            self._logger.warning("%s like the following went unsaid", counted(unsaid, "line", "lines"))
        self._logger.log(level, "%s%s", line, "; further lines like this wait for a minute" if last else "")
