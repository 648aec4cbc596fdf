"""The SQL of an exactly-once effect: the event is locked first and marked last, in the handler's own transaction."""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.bounds import EFFECT_WAIT_SECONDS, FINISH_WAIT_SECONDS
from bridge.store.callers import run_on


class HandedOver(NamedTuple):
    """Which hand-over of an event a handler has: the five fields that fence its effect."""

    client: str
    offset: int
    generation: int
    epoch: int
    attempt: int


def begin_effect(connection: Any, it: HandedOver) -> str | None:
    """Lock an event's delivery, and wait for another attempt that has it in its transaction.

    Returns:
        The delivery's state. None if nothing is locked: the event is finished or parked, is open in another epoch, or
        its pass has not committed yet.
    """
    found = run_on(connection, "outcomes/begin_effect", it._asdict())
    return str(found[0][0]) if found else None


def end_effect(connection: Any, it: HandedOver) -> None:
    """Mark the event as done, in the same transaction."""
    run_on(connection, "outcomes/end_effect", {"client": it.client, "offset": it.offset, "epoch": it.epoch})


def await_pass(connection: Any, it: HandedOver) -> bool:
    """Wait for the pass that may be handing this event over; return False if no pass can be.

    The connection is in a transaction of its own, which must end at once.
    """
    binds = {"client": it.client, "epoch": it.epoch, "wait_ms": _milliseconds(EFFECT_WAIT_SECONDS)}
    return bool(run_on(connection, "outcomes/await_pass", binds))


def finish_soon(connection: Any, it: HandedOver) -> None:
    """Let the next pass finish an event that is done: its callback may never come.

    The connection is in a transaction of its own.
    """
    binds = {"client": it.client, "offset": it.offset, "epoch": it.epoch}
    run_on(connection, "outcomes/finish_soon", {**binds, "wait_ms": _milliseconds(FINISH_WAIT_SECONDS)})


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
