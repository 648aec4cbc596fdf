"""Being told to stop: Ctrl-C, SIGTERM and a closed terminal all unwind, so that what was started is stopped.

An exception out of a signal handler is lost where Python forks, and a process that has just been started is lost with
it. So the signal waits while anything is being started, and is remembered in any case.
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
        """Let a signal wait for the end of this block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.check()

    def check(self) -> None:
        """Stop now if we were told to.

        Raises:
            KeyboardInterrupt: we were.
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
