"""Which statement appends an event, with which binds, and what its rows say: the same for `publish` and `apublish`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bridge.bounds import LONGEST_DELAY_DAYS
from bridge.errors import IdTaken, InvalidEvent, UsageError
from bridge.event import NewEvent, NewEventTuple, Scheduled
from bridge.log.encoding import arrays_of, checked_together, encoded
from bridge.store.callers import sqlstate_of
from bridge.tracing.context import with_trace, with_trace_each
from bridge.wording import one_line

ID_TAKEN = "FQ002"
WAYS_OUT = {  # by SQLSTATE; the error stays the driver's own, and a traceback shows this below it
    **dict.fromkeys(
        ("42P01", "3F000", "42883"),  # table, schema, function
        "this database has no schema fq, or an older one: run `eventbridge migrate`, with the same database",
    ),
    "42501": "the role of this connection may not publish: grant it fq_publisher, which `eventbridge migrate --roles` "
    "makes, and let it inherit its rights",
}
NAMES = ("topic", "key", "id")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
AROUND_MESSAGE = re.compile(r"^\([\w.]+\) |\n(?:HINT|CONTEXT|DETAIL|\[SQL): .*", re.DOTALL)  # what drivers add


class Step(NamedTuple):
    """One statement: its name, and its binds."""

    name: str
    binds: Mapping[str, Any]


def one(event: NewEvent, *, deliver_after: timedelta | float | None, deliver_at: datetime | None) -> Step:
    """Return the statement that appends one event with the current trace context, or schedules it.

    Raises:
        InvalidEvent: the event can't be stored, or the time at which it is due makes no sense.
    """
    headers = with_trace(event.headers)
    event = event if headers is event.headers else event._replace(headers=headers)
    binds = encoded(event)
    if deliver_after is not None or deliver_at is not None:
        names = json.dumps([binds.pop(name, None) for name in NAMES])
        return Step("log/schedule", {"names": names, **binds, **_due(deliver_after, deliver_at)})
    return Step("log/publish" if event.id is None else "log/publish_once", binds)


def many(events: Iterable[NewEvent | NewEventTuple]) -> list[Step]:
    """Return the statements that append many events with the current trace context, in their order.

    Raises:
        InvalidEvent: one of them can't be stored; the message says which.
    """
    checked = checked_together(with_trace_each(events))
    texts = arrays_of(checked)  # all of them first: where one can't be stored, none is sent
    name = "log/publish_many_once" if [1 for event in checked if event[4] is not None] else "log/publish_many"
    return [Step(name, {"events": text}) for text in texts]


def in_ascii(step: Step) -> Step:
    """Return a statement that does the same, with all of its texts in ASCII.

    It is for a session with another encoding than UTF-8, which has not all of their characters. Only JSON can say every
    character in ASCII, so topic, key and id go into it too.
    """
    binds = {name: _ascii(text) if isinstance(text, str) else text for name, text in step.binds.items()}
    if step.name not in ("log/publish", "log/publish_once"):
        return Step(step.name, binds)
    topic, key, id = (json.dumps(step.binds.get(name)) for name in NAMES)
    several = {"log/publish": "log/publish_many", "log/publish_once": "log/publish_many_once"}[step.name]
    return Step(several, {"events": f"[[{topic},{binds['payload']},{key},{binds['headers']},{id}]]"})


def _ascii(text: str) -> str:
    """Return JSON text in ASCII: only what stands in its strings can be anything else."""
    return text if text.isascii() else NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def refuse_in_part(steps: Sequence[Step]) -> None:
    """Refuse several statements on a connection that commits each by itself.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"these events need {len(steps)} statements, and this connection commits each by itself: begin a transaction, "
        "so that all of them are published or none"
    )


def offset_or_scheduled(step: Step, rows: Sequence[Any]) -> int | Scheduled:
    """Return what the rows of the statement for one event say."""
    [row] = rows
    if step.name != "log/schedule":
        return int(row[0])
    number, due_us, offset = row
    if number is None:
        return Scheduled(None, None, int(offset))
    return Scheduled(int(number), EPOCH + timedelta(microseconds=int(due_us)), None)


def offsets(step: Step, rows: Sequence[Any]) -> list[int]:
    """Return the offsets that a statement for many events has returned, in the order of the events."""
    found = [int(row[0]) for row in rows]
    # Postgres draws the offsets in the order of the events, but may return the rows of an INSERT in another.
    return sorted(found) if step.name == "log/publish_many" else found


class _Telling:
    """Turns Postgres' refusal of an id into ours; any other error is the driver's own, with a note where we know more.

    A class, and no generator with `contextmanager`, which would take a microsecond of each event that is published.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin to look at errors."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Look at the error, if there is one.

        Raises:
            IdTaken: the id is that of an event with another topic.
        """
        if not isinstance(error, Exception):
            return
        state = sqlstate_of(error)
        if state == ID_TAKEN:
            raise IdTaken(one_line(AROUND_MESSAGE.sub("", str(error)), most=1000)) from error
        if way_out := WAYS_OUT.get(state):
            error.add_note(way_out)


telling = _Telling()


def _due(after: timedelta | float | None, at: datetime | None) -> dict[str, str | None]:
    """Return when an event is due as binds."""
    if after is not None and at is not None:
        raise InvalidEvent("an event has deliver_after or deliver_at, and not both")
    if at is not None:
        if not isinstance(at, datetime) or at.tzinfo is None or at.utcoffset() is None:
            raise InvalidEvent(f"deliver_at {repr(at)[:60]} must be a datetime with a time zone")
        if not 1000 < at.year < 9998:
            raise InvalidEvent(f"deliver_at {at.isoformat()} is no year that the log can hold")
        return {"at": at.astimezone(UTC).isoformat(), "seconds": None}  # Postgres does not know every offset
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:  # NaN is neither
        raise InvalidEvent(f"deliver_after {repr(after)[:60]} must be a timedelta or seconds, 0 or more")
    if seconds > LONGEST_DELAY_DAYS * 86400:  # infinity, and numbers too long to be written, too
        raise InvalidEvent(f"deliver_after is too long: at most {LONGEST_DELAY_DAYS:,} days")
    return {"at": None, "seconds": repr(float(seconds))}
