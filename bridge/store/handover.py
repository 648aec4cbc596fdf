"""The SQL of one pass: lock a client, take what goes out, remember it. All of it runs in the pump's transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.bounds import ASIDE_EVENTS, HEADER_CHARACTERS
from bridge.model import UNTRACED, Client, Delivery
from bridge.settings.client import OnExhausted
from bridge.settings.headers import message_headers, travelling
from bridge.sql import statement
from bridge.store.repeated import run
from bridge.store.tally import Tally
from bridge.tracing.context import other_headers, trace_headers

MOST_TOPICS = 1000  # leaping reads each topic of the log: beyond so many different ones it gives up
WAITS_SECONDS = 1  # said of a replay that is at its end, or whose next events wait for others
# The columns of the SQL type `fq.message`, in its order. Rows are unpacked by position: to read them by name takes
# 3 µs more for each event (SQLAlchemy 2.0), of about 15 that it costs in all.
MESSAGE_COLUMNS = (
    "offset",
    "epoch",
    "attempt",
    "topic",
    "key",
    "body",
    "trace",
    "other_trace",
    "part",
    "upto",
    "within_seconds",
)
MANY_BATCHES = 100  # a client so far behind does not wait for a full batch: looking for its events would cost too much

# As `Delivery(…)`, whose `__new__` is Python's: it would take longer than the rest of a row.
_delivery: Callable[[tuple[object, ...]], Delivery] = partial(tuple.__new__, Delivery)


class Todo(NamedTuple):
    """What there is to do for a client, and what it may have open.

    Attributes:
        woken: Whether a retry, lease, replay or waiting key is due.
        full: Whether its window was full; no new events go out until only `refill_at` deliveries are open.
        refill_at: The most deliveries that may be open for a full window to take new events again.
        ready: Whether a finished key has a successor.
        redriving: Whether parked events are to go out again.
        replaying: Whether a replay is under way.
        window: The most deliveries that may be open.
        opened: How many deliveries are open.
        replayed: How many of these come from replays.
        due: The number of deliveries whose backoff or lease has expired.
        lapsed: The number of these whose lease has expired.
        verdict: What becomes of an event that has no attempts left.
        tokens: What the bucket of its rate holds; None without a rate.
        tokens_per_second: How many come in a second; None without a rate.
        tokens_enough: How many wake it when it has used them up; None without a rate.
    """

    woken: bool
    full: bool
    refill_at: int
    ready: bool
    redriving: bool
    replaying: bool
    window: int
    opened: int
    replayed: int
    due: int
    lapsed: int
    verdict: OnExhausted
    tokens: float | None = None
    tokens_per_second: float | None = None
    tokens_enough: float | None = None


class Slice(NamedTuple):
    """What one slice of the log gave: deliveries, and how far the log was looked through."""

    deliveries: list[Delivery]
    upto: int


class Replayed(NamedTuple):
    """What a replay gave: deliveries, and in how many seconds there may be more; 0 at once, None never."""

    deliveries: list[Delivery]
    within_seconds: float | None


def lock_client(connection: Connection, client: str, *, bridge: str | None = None) -> Client | None:
    """Lock a client for this pass; None if another transaction holds it, or this bridge does not serve it."""
    binds = {"client": client, "bridge": bridge}
    row = run(connection, "pass/lock_client", binds).mappings().one_or_none()
    if row is None:
        return None
    values = dict(row)
    values["topics"] = tuple(values["topics"])
    values["headers"] = tuple(values["headers"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return Client(**values)


def look_at_client(connection: Connection, client: Client) -> Todo:
    """Find out what there is to do for the client."""
    return Todo(**run(connection, "pass/look_at_client", {"client": client.id}).mappings().one())


def hand_over_again(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take retries that are due and deliveries whose lease ran out, at most `room` of them."""
    binds = {"ordered": _is_ordered(client), "strict": client.ordering == "strict"}
    return _deliveries(connection, client, _take(connection, "pass/hand_over_again", client, room, **binds))


def hand_over_redriven(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take parked events that are to be tried again, at most `room` of them."""
    binds = {"ordered": _is_ordered(client), "epoch": client.epoch}
    return _deliveries(connection, client, _take(connection, "pass/hand_over_redriven", client, room, **binds))


def replays(connection: Connection, client: Client, *, most: int) -> list[int]:
    """Return the ids of the client's replays, at most so many, the one that was served longest ago first."""
    return list(connection.execute(statement("pass/replays"), {"client": client.id, "most": most}).scalars())


def hand_over_aside(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take events of replays that have waited aside, at most `room` of them."""
    binds = {"ordered": _is_ordered(client), "filter": client.filter}
    return _replayed(connection, client, _take(connection, "pass/hand_over_aside", client, room, **binds))


def hand_over_replay(connection: Connection, client: Client, replay: int, *, room: int, slice: int) -> Replayed:
    """Take the next events of a replay, at most `room` of the next `slice`, and end it after its last one."""
    binds = {"replay": replay, "ordered": _is_ordered(client), "filter": client.filter, "slice": slice}
    rows = _take(connection, "pass/hand_over_replay", client, room, most_aside=ASIDE_EVENTS, **binds)
    within_seconds: float | None = rows[0].within_seconds if rows else None
    if within_seconds == WAITS_SECONDS:
        ended = connection.execute(statement("pass/end_replay"), {"client": client.id, "replay": replay})
        within_seconds = None if ended.one_or_none() else within_seconds
    return Replayed(_replayed(connection, client, rows), within_seconds)


def hand_over_lanes(connection: Connection, client: Client, *, room: int) -> list[Delivery]:
    """Take the successors of finished keys, at most `room` of them."""
    binds = {"epoch": client.epoch, "dispatched": client.dispatched, "filter": client.filter}
    return _deliveries(connection, client, _take(connection, "pass/hand_over_lanes", client, room, **binds))


def hand_over_new(connection: Connection, client: Client, *, after: int, horizon: int, slice: int, room: int) -> Slice:
    """Take the next matching events after `after`, at most `room` of the next `slice`."""
    binds = {
        "epoch": client.epoch,
        "after": after,
        "horizon": horizon,
        "slice": slice,
        "filter": client.filter,
        "ordered": _is_ordered(client),
    }
    rows = _take(connection, "pass/hand_over_new", client, room, **binds)
    return Slice(_deliveries(connection, client, rows), rows[0].upto)


def is_gathering(connection: Connection, client: Client, *, horizon: int) -> bool:
    """Tell whether a batch that is not full may still wait for more events."""
    if client.batch == 1 or not client.batch_wait_ms or horizon - client.dispatched >= MANY_BATCHES * client.batch:
        return False
    binds = {
        "after": client.dispatched,
        "horizon": horizon,
        "filter": client.filter,
        "batch": client.batch,
        "wait_ms": client.batch_wait_ms,
    }
    return bool(connection.execute(statement("pass/is_gathering"), binds).scalar_one())


def leap(connection: Connection, client: Client, *, after: int, horizon: int) -> int:
    """Move over events that the client does not want; return how far, `after` where the log has too many topics."""
    binds = {"client": client.id, "after": after, "horizon": horizon, "filter": client.filter, "topics": MOST_TOPICS}
    upto: int | None = connection.execute(statement("pass/leap"), binds).scalar_one_or_none()
    return after if upto is None else upto


def finish_pass(
    connection: Connection,
    client: Client,
    *,
    delivered: int,
    retried: int,
    counted: Tally,
    owed: Tally,
    hungry: bool,
    full: bool,
    within_seconds: float | None,
    tokens: float | None = None,
    token_seconds: float | None = None,
) -> None:
    """End a pass: move the cursor past events that do not match, and say when the pump must look again."""
    binds = {
        "client": client.id,
        "delivered": delivered,
        "retried": retried,
        "counted": counted.number,
        "counted_sum": counted.total,
        "owed": owed.number,
        "owed_sum": owed.total,
        "hungry": hungry,
        "full": full,
        "within_seconds": within_seconds,
        "tokens": tokens,
        "token_seconds": token_seconds,
    }
    connection.execute(statement("pass/finish_pass"), binds)


def end_drain(connection: Connection, client: Client) -> None:
    """Pause a client that was draining and has nothing open any more."""
    connection.execute(statement("pass/end_drain"), {"client": client.id})


def _is_ordered(client: Client) -> bool:
    """Tell whether events of one key wait for each other. Strict order needs no keys: its window is one event."""
    return client.ordering == "key"


def _take(connection: Connection, name: str, client: Client, room: int, **binds: Any) -> Sequence[Any]:
    """Run a statement that hands over, and return its rows, whose columns are `MESSAGE_COLUMNS`."""
    binds |= {
        "client": client.id,
        "room": room,
        "call": client.call,
        "lease_seconds": client.ack_timeout_seconds,
    }
    return run(connection, name, binds).all()


def _deliveries(connection: Connection, client: Client, rows: Sequence[Any]) -> list[Delivery]:
    """Make deliveries of rows; a row without an offset only says how far was looked, or when to look again."""
    end = partial(_end_of_event, client.id) if client.call == "event" else _no_end
    found = [
        _delivery(
            (
                client,
                offset,
                epoch,
                attempt,
                topic,
                body and body + end(attempt, epoch),  # one that is empty is fetched whole
                part,
                trace_headers(trace) if trace else UNTRACED,
                other_headers(others) if others else UNTRACED,
                key,
            )
        )
        for offset, epoch, attempt, topic, key, body, trace, others, part, _, _ in rows
        if offset is not None
    ]
    passed = message_headers(client.headers).passed
    return _with_headers(connection, found, passed) if passed and found else found


@lru_cache(maxsize=1024)
def _end_of_event(client: str, attempt: int, epoch: int) -> str:
    """Return what the SQL function `fq.event_head` leaves out: the end of an event's text, as `fq.body` writes it."""
    return f', "client": {json.dumps(client, ensure_ascii=False)}, "attempt": {attempt}, "epoch": {epoch}}}'


def _no_end(attempt: int, epoch: int) -> str:
    """Return nothing: only where a task is called with an event, its text lacks the end."""
    return ""


def _with_headers(connection: Connection, found: list[Delivery], passed: Mapping[str, str]) -> list[Delivery]:
    """Give deliveries the headers of their events that the client wants; what is too long does not travel."""
    binds = {"offsets": [it.offset for it in found], "names": [*passed.values()], "most": HEADER_CHARACTERS}
    rows = connection.execute(statement("pass/fetch_headers"), binds)
    texts: dict[int, list[str | None]] = {offset: values for offset, values in rows}
    return [it._replace(headers={**it.headers, **travelling(passed, texts.get(it.offset, ()))}) for it in found]


def _replayed(connection: Connection, client: Client, rows: Sequence[Any]) -> list[Delivery]:
    """Make deliveries of rows, and count them for their replays."""
    found = _deliveries(connection, client, rows)
    if found:
        binds = {"client": client.id, "epochs": [it.epoch for it in found], "lowest": min(it.offset for it in found)}
        connection.execute(statement("pass/note_replayed"), binds)
    return found
