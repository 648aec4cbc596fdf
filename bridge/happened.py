"""Tell what happened: the one place on which log lines, signals and metrics hang.

Code that changes something in a transaction says so with `after_commit`, and observers hear of it when the transaction
is committed, never before and never of one that was rolled back. Code outside of a transaction says so with `tell`.
Observers are called in the thread that did it, so they must be quick; an error of an observer is logged, and harms
nothing. Several happenings of one transaction come in one call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.bounds import LOGGED_CHARACTERS
from bridge.wording import cleaned

logger = logging.getLogger("bridge")

Kind = Literal[
    "ready",
    "handed-over",
    "settled",
    "retried",
    "parked",
    "held",
    "halted",
    "recalled",
    "broker-lost",
    "trouble",
    "recovered",
]
WAITING = "bridge happened"  # in a connection's `info`: what is told after its transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened. Texts are as they came: whoever shows them bounds and cleans them.

    Attributes:
        kind: What it is. `ready`: a bridge worker is at work. `handed-over`: a pass sent `number` events. `settled`: a
            transaction settled outcomes, `number` of them successes. `retried`: an event waits for its next attempt; of
            a batch that is split, one for all `number` events. `parked`: an event was set aside. `held`: its key waits
            for it, beside `parked`. `halted`: a client was stopped. `recalled`: `number` lost events go out again.
            `broker-lost`: a broker lost its messages. `trouble` and `recovered`: something can't go on, and goes on
            again.
        client: Id of the client; empty where it is about no single one.
        offset: The event's, or the first one's.
        key: The event's.
        attempt: Of the event, from 1.
        task_id: Celery's id of that attempt.
        reason: Why, in words, with the class of a handler's error.
        error_type: The name of the exception's class, where a handler raised one.
        number: How many events.
        seconds: How long it took: a pass, or a transaction that settles; of `retried`, the wait for the next attempt.
        counts: Further numbers by name: of `handed-over` `again` and `looked`; of `settled` `retried`, `parked`,
            `ignored` and `outdated`.
        about: Of trouble: what it is about, such as `the pump waits`, or the name of an error.
    """

    kind: Kind
    client: str = ""
    offset: int | None = None
    key: str | None = None
    attempt: int | None = None
    task_id: str = ""
    reason: str = ""
    error_type: str = ""
    number: int = 1
    seconds: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    about: str = ""

    def extra(self) -> dict[str, object]:
        """Return its parts as the `extra` of a line in the log: bounded, in one line each, without those left empty."""
        texts = {"client": self.client, "key": self.key, "task_id": self.task_id, "reason": self.reason}
        texts |= {"error_type": self.error_type, "about": self.about}
        found = {name: cleaned(text, most=LOGGED_CHARACTERS) for name, text in texts.items() if text}
        numbers = {"offset": self.offset, "attempt": self.attempt, "seconds": self.seconds, **self.counts}
        known = {name: number for name, number in numbers.items() if number is not None}
        return {"happened": self.kind, **found, "number": self.number, **known}


Observer = Callable[[Sequence[Happening]], None]
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Let an observer hear of all that happens in this process; once, however often this is called."""
    if observer not in _observers:
        _observers.append(observer)


def forget(observer: Observer) -> None:
    """Let an observer hear of nothing any more."""
    if observer in _observers:
        _observers.remove(observer)


def tell(*happenings: Happening) -> None:
    """Tell the observers what happened; it never raises."""
    if not happenings:
        return
    for observer in tuple(_observers):
        try:
            observer(happenings)
        except Exception:
            logger.exception("an observer of the bridge failed, and nothing depends on it")


def begin(info: MutableMapping[Any, Any]) -> None:
    """Begin a transaction: what an earlier one on this connection left untold is forgotten."""
    info[WAITING] = []


def after_commit(info: MutableMapping[Any, Any], happenings: Sequence[Happening]) -> None:
    """Tell this when the transaction is committed, or at once where the connection commits each statement by itself.

    Args:
        info: `connection.info` of the connection that has the transaction.
        happenings: What will have happened then.
    """
    if (waiting := info.get(WAITING)) is None:
        tell(*happenings)
    else:
        waiting.extend(happenings)


def committed(info: MutableMapping[Any, Any]) -> Sequence[Happening]:
    """End a transaction; return what is to be told now, where it was committed."""
    found: list[Happening] = info.pop(WAITING, None) or []
    return found
