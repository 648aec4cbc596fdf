"""The SQL of one event at one client: what it holds, its failed attempts, and what was done to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.bounds import KEPT_FAILURES
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.events import WHOLE
from bridge.store.failures import FailedAttempt, read_kept

MOST_HISTORY = 20
DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that somebody did to an event.

    Attributes:
        at: When.
        action: `redrive`, `discard` or `recall`.
        by: Who did it.
        reason: Why, where that was said.
        named: Whether the journal names this event; it names at most a thousand of those that were chosen together.
    """

    at: datetime
    action: str
    by: str
    reason: str | None
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFate:
    """An event, and what has become of it at one client: the keys of `parked CLIENT --offset N --json`.

    Attributes:
        client_id: The client.
        offset: The event's place in the log.
        state: `parked`, `redriven` (parked, and goes out again), `open`, `waiting` (for its key), `ahead` (not handed
            over yet), `finished`, `discarded`, or `unwanted` (its topic is none of the client's).
        topic: Its topic; None where the event is not in the log any more.
        key: Its ordering key.
        payload_json: Its payload as JSON; None where it is not in the log any more.
        headers_json: Its headers, likewise.
        created_at: When it was published, likewise.
        epoch: The epoch that it was handed over with last; None where it is neither parked nor open, as all below.
        attempts: How many times it was handed over.
        error_type: Name of the last exception, where it is known.
        error: Its message.
        traceback: Its traceback.
        host: The worker that the last attempt was on.
        runtime_seconds: How long the last attempt ran.
        reason: Why the event was set aside.
        held: Whether its key's later events wait for it.
        redrive: Whether it is to go out again.
        first_at: When it was first handed over.
        parked_at: When it was set aside.
        failures: Its failed attempts, the first one first; of more than ten the last ten.
        history: What was done to it, the oldest first.
    """

    client_id: str
    offset: int
    state: str
    topic: str | None
    key: str | None
    payload_json: str | None
    headers_json: str | None
    created_at: datetime | None
    epoch: int | None
    attempts: int | None
    error_type: str | None
    error: str | None
    traceback: str | None
    host: str | None
    runtime_seconds: float | None
    reason: str | None
    held: bool
    redrive: bool
    first_at: datetime | None
    parked_at: datetime | None
    failures: list[FailedAttempt]
    history: list[Deed]


def read_fate(store: Store, client: str, offset: int, *, characters: int | None = None) -> EventFate | None:
    """Return what has become of an event at a client; None if there is no such event, or no such client.

    Args:
        store: The event log and its clients.
        client: Id of a client.
        offset: Offset of an event.
        characters: Where payload and headers are cut off; None: nowhere.
    """
    with store.reading() as connection:
        binds = {"client": client, "offset": offset}
        row = connection.execute(
            statement("look/event_fate"), {**binds, "characters": WHOLE if characters is None else characters}
        ).mappings()
        found = row.one_or_none()
        if found is None:
            return None
        deeds = connection.execute(statement("look/event_history"), {**binds, "most": MOST_HISTORY}).mappings()
        history = [Deed(**deed) for deed in deeds][::-1]
    kept = found["failures"]
    failures = read_kept(json.loads(kept) if isinstance(kept, str) else kept)[-KEPT_FAILURES:]
    last = failures[-1] if failures else None
    discarded = found["state"] == "finished" and bool(history) and history[-1].action == DISCARD and history[-1].named
    if last is not None and found["error_type"] is not None and last.error_type == found["error_type"]:
        failures[-1] = replace(last, error=found["error"], traceback=found["traceback"])  # not cut short
    return EventFate(
        **{
            **found,
            "client_id": client,
            "offset": offset,
            "state": "discarded" if discarded else found["state"],
            "host": last.host if last else None,
            "runtime_seconds": last.runtime_seconds if last else None,
            "failures": failures,
            "history": history,
        }
    )
