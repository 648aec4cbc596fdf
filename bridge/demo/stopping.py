"""Turn Ctrl-C, SIGTERM and a closed terminal into KeyboardInterrupt, so that everything that was started is stopped.

Where Python forks, an exception out of a signal handler is lost, and the process that was just started with it. So a
signal waits while something is being started, and is remembered in any case.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Turns signals into KeyboardInterrupt until its `with` block ends; outside of the main thread it does nothing."""

    def __init__(self) -> None:
        self._told = False
        self._held = False
        self._before: dict[signal.Signals, Any] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make a signal wait for the end of this block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.check()

    def check(self) -> None:
        """Stop now if a signal has come.

        Raises:
            KeyboardInterrupt: one has.
        """
        if self._told:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # One that is ignored stays so: `nohup`, or a job in the background.
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._tell) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        if not self._held:
            raise KeyboardInterrupt
