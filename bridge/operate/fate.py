"""Say what became of one event at one client. Pure: facts in, a word and a sentence out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.model import task_id
from bridge.store.looking_up import EventAtClient, EventFound
from bridge.wording import counted, moment

ERROR_CHARACTERS = 500  # of an error in a sentence; `data` has all that is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of an event at a client. The names are the keys of `show --json`.

    Attributes:
        client: Id of the client.
        fate: One word: `not-read`, `skipped`, `waiting`, `open`, `retrying`, `done`, `parked`, `discarded`, `aside`,
            `passed` or `unknown`.
        text: The same in a sentence.
        data: The facts behind it.
    """

    client: str
    fate: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


def fate_of(it: EventAtClient, offset: int, found: EventFound) -> Fate:
    """Say what became of the event at this offset at a client."""
    fate, text, data = next(_fates(it, offset, found))
    return Fate(client=it.client, fate=fate, text=text, data=data)


def _fates(it: EventAtClient, offset: int, found: EventFound) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what is true of it, what is most certain first: the first one counts."""
    if it.delivery:
        yield _open(it, offset)
    if it.reason is not None:
        yield _parked(it)
    if it.replay is not None:
        text = f"replay {it.replay} hands it over when what is open of its key is finished"
        yield "aside", text, {"replay": it.replay}
    if it.discarded_at:
        by, at = it.discarded_by, it.discarded_at
        yield "discarded", f"given up by {by} at {moment(at)}", {"by": by, "at": at}
    if it.matches is False:
        yield "skipped", "its topic does not match the client's topics", {}
    if it.is_reader:
        if offset <= it.offset:
            yield "done", f"read: the cursor, which this SQL reader moves itself, is at {it.offset}", {}
        yield "not-read", f"not read yet: the cursor of this SQL reader is at {it.offset}", {}
    if offset > it.dispatched:
        yield _not_read(it, offset, found)
    if it.lane is not None:
        blocker = f"event {it.blocker}" if it.blocker is not None else f"event {it.lane}, which goes out next"
        if it.lane == offset:
            blocker = f"event {it.blocker}" if it.blocker is not None else "the next pass"
        yield "waiting", f"waits for {blocker}, of the same key", {"blocker": it.blocker, "next_of_key": it.lane}
    if it.matches is None:
        yield "unknown", "finished or skipped: its topic is not known here any more", {}
    if offset <= it.counted_after:
        text = f"finished, or passed over when the client began or was moved (to {it.counted_after})"
        yield "passed", text, {"counted_after": it.counted_after}
    yield "done", "finished" + ("" if offset <= it.offset else f"; the cursor, at {it.offset}, is still below it"), {}


def _open(it: EventAtClient, offset: int) -> tuple[str, str, dict[str, Any]]:
    data = {name: getattr(it, name) for name in ("epoch", "attempt", "sent_at", "due_at", "error_type", "error")}
    data["task_id"] = task_id(it.client, offset, it.epoch or 1, it.attempt or 1)
    error = f"; the last error: {_error(it.error_type, it.error)}" if it.error_type or it.error else ""
    if it.delivery == "retrying" and not it.attempt:
        return "retrying", f"the broker has not taken it yet: it is sent again at {moment(it.due_at)}", data
    if it.delivery == "retrying":
        return "retrying", f"attempt {it.attempt} failed, the next one is due at {moment(it.due_at)}{error}", data
    if it.delivery == "done":
        return "done", "its handler's transaction is committed, and the report of it is still to come", data
    text = f"open: attempt {it.attempt}, sent at {moment(it.sent_at)}, its lease ends at {moment(it.due_at)}{error}"
    return "open", text, data


def _parked(it: EventAtClient) -> tuple[str, str, dict[str, Any]]:
    data = {name: getattr(it, name) for name in ("reason", "attempts", "parked_at", "redrive", "held")}
    data |= {"error_type": it.parked_error_type, "error": it.parked_error}
    error = _error(it.parked_error_type, it.parked_error)
    attempts = counted(it.attempts or 0, "attempt")
    text = f"parked at {moment(it.parked_at)} after {attempts}: {it.reason}" + (f": {error}" if error else "")
    return "parked", text + ("; it goes out again soon" if it.redrive else "; its key waits" if it.held else ""), data


def _not_read(it: EventAtClient, offset: int, found: EventFound) -> tuple[str, str, dict[str, Any]]:
    data = {"dispatched": it.dispatched, "state": it.state}
    if offset > found.horizon:
        return "not-read", f"not read yet: the log is final up to {found.horizon} only", data
    if it.state != "active":
        return "not-read", f"not read yet: the client is {it.state}, and stands at {it.dispatched}", data
    return "not-read", f"not read yet: the client stands at {it.dispatched}", data


def _error(kind: str | None, said: str | None) -> str:
    return ": ".join(part for part in (kind, said) if part)[:ERROR_CHARACTERS]
