"""Ask what may never answer: a server that is frozen keeps a connection open and says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.operate.doctor.facts import Unasked
from bridge.wording import one_line, span

Answer = TypeVar("Answer")


class Asking(Generic[Answer]):
    """A question that is asked in a thread of its own, which nobody waits for at the end of the process.

    Args:
        what: Whom it is asked, such as `Postgres`.
        ask: Asks it.
    """

    def __init__(self, what: str, ask: Callable[[], Answer]) -> None:
        self._what, self._ask = what, ask
        self._answer: Answer | Unasked | None = None
        self._thread = threading.Thread(target=self._run, name=f"doctor asks {what}", daemon=True)
        self._thread.start()

    def answer(self, seconds: float) -> Answer | Unasked:
        """Wait so long for the answer at most; whatever goes wrong is the answer's own."""
        self._thread.join(seconds)
        if self._answer is None:
            return Unasked(f"{self._what} has not answered within {span(seconds)}")
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:  # a driver, or a server that is no server, may raise anything
            self._answer = Unasked(one_line(error) or type(error).__name__)
