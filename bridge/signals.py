"""Signals of Celery's kind, for hooks of your own: page somebody when an event is parked, say.

::

    from bridge.signals import parked

    @parked.connect
    def page(sender, client, offset, key, reason, **_):
        ...

They are sent after the commit, from a thread of their own: a receiver that raises is logged, and one that is slow holds
up nothing but later signals. At most 10,000 wait; further ones are dropped, and the log says how many. Nothing is
stored: what a process has not sent when it ends is not sent. Where no receiver is connected they cost nothing.

A signal is sent in the process where it happened, so connect in a module that every process of a bridge worker imports.
Each receiver takes `**_`, because later versions may send more. `sender` is the client's id, empty where it is about no
single one. All other arguments are by name:

| signal | when | arguments |
| --- | --- | --- |
| `parked` | an event was set aside | `client, offset, key, attempt, task_id, reason, error_type, held` |
| `halted` | a client was stopped | `client, offset, reason, error_type` |
| `trouble` | something can't go on | `client, about, reason, error_type` |
| `recovered` | it goes on again | `client, about, seconds` |

`held` tells whether the next events of its key wait for it. `about` says in words what has trouble; it is the same when
that is over. `seconds` is how long it lasted.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Sequence
from typing import Any

from celery.utils.dispatch import Signal

from bridge.happened import Happening, observe
from bridge.trouble import Tally
from bridge.wording import counted

MOST_WAITING = 10_000

parked = Signal(
    name="bridge_parked",
    providing_args={"client", "offset", "key", "attempt", "task_id", "reason", "error_type", "held"},
)
halted = Signal(name="bridge_halted", providing_args={"client", "offset", "reason", "error_type"})
trouble = Signal(name="bridge_trouble", providing_args={"client", "about", "reason", "error_type"})
recovered = Signal(name="bridge_recovered", providing_args={"client", "about", "seconds"})

__all__ = ["halted", "parked", "recovered", "trouble"]

_SIGNALS = {"parked": parked, "halted": halted, "trouble": trouble, "recovered": recovered}
_logger = logging.getLogger("bridge")
_dropped = Tally(_logger)


class _Mailer:
    """Sends signals from a thread, which each process makes when it is first needed."""

    def __init__(self) -> None:
        self._attends_forks = False
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked child has no threads of its parent, whose signals are not the child's."""
        self._turn, self._is_working = threading.Lock(), False
        self._waiting: queue.Queue[tuple[Signal, dict[str, Any]]] = queue.Queue(MOST_WAITING)

    def post(self, signal: Signal, values: dict[str, Any]) -> None:
        """Let a signal be sent soon; it never waits."""
        with self._turn:
            if not self._is_working:
                self._begin()
        try:
            self._waiting.put_nowait((signal, values))
        except queue.Full:
            _dropped.note(1, lambda number: f"{counted(number, 'signal')} dropped: the receivers are too slow")

    def _begin(self) -> None:
        if not self._attends_forks:
            os.register_at_fork(after_in_child=self.forget)
            self._attends_forks = True
        threading.Thread(target=self._work, args=(self._waiting,), name="bridge-signals", daemon=True).start()
        self._is_working = True

    def _work(self, waiting: queue.Queue[tuple[Signal, dict[str, Any]]]) -> None:
        while True:
            signal, values = waiting.get()
            try:
                signal.send(sender=values["client"], **values)  # it logs what a receiver raises
            except BaseException:
                _logger.exception("a receiver of %r failed, and nothing depends on it", signal)


_mailer = _Mailer()


def connect() -> None:
    """Send signals about what happens in this process; once, however often this is called."""
    observe(_send)


def _send(happenings: Sequence[Happening]) -> None:
    held = {(it.client, it.offset) for it in happenings if it.kind == "held"}
    for it in happenings:
        signal = _SIGNALS.get(it.kind)
        if signal is not None and signal.receivers:
            _mailer.post(signal, _values(it, held=(it.client, it.offset) in held))


def _values(it: Happening, *, held: bool) -> dict[str, Any]:
    named = {"client": it.client}
    if it.kind == "recovered":
        return {**named, "about": it.about, "seconds": it.seconds}
    named |= {"reason": it.reason, "error_type": it.error_type}
    if it.kind == "trouble":
        return {**named, "about": it.about}
    if it.kind == "halted":
        return {**named, "offset": it.offset}
    return {**named, "offset": it.offset, "key": it.key, "attempt": it.attempt, "task_id": it.task_id, "held": held}
