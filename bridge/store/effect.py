"""The SQL of an exactly-once effect: the event is locked first and marked last, in the handler's own transaction."""

from __future__ import annotations

from typing import Any

from bridge.errors import AlreadyDone
from bridge.store.callers import run_on


def begin_effect(connection: Any, *, client: str, offset: int) -> None:
    """Lock an event's delivery, and wait for another attempt that has it in its transaction.

    Raises:
        AlreadyDone: it is not open for this client: done, parked or unknown; nothing is locked.
    """
    found = run_on(connection, "outcomes/begin_effect", {"client": client, "offset": offset})
    if not found or found[0][0] == "done":
        raise AlreadyDone(f"event {offset} is not open for client {client!r}")


def end_effect(connection: Any, *, client: str, offset: int) -> None:
    """Mark the event as done, in the same transaction."""
    run_on(connection, "outcomes/end_effect", {"client": client, "offset": offset})
