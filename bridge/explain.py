"""Why a client stands where it stands, in plain words. Pure: facts in, causes out, what matters most first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.fleet import Fleet
from bridge.model import task_id
from bridge.store.standing import MOST_EVENTS, Facts, Holder, Key, Open

SILENT_SECONDS = 10  # a pump comes every second or so; this long without one is no accident
MOST_QUERY = 120  # characters of a query that are shown
MOST_HOLDERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for where a client stands.

    Attributes:
        kind: Its name, for programs.
        text: What is so.
        do: What to do about it, where there is something to do.
        data: The facts behind the text.
    """

    kind: str
    text: str
    do: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def explain(
    facts: Facts, fleet: Fleet | None = None, *, bridge_queue: str = "bridge", lingers: bool = True
) -> list[Cause]:
    """Say why a client stands where it stands.

    Args:
        facts: What the database knows.
        fleet: What the broker says; None if it was not asked.
        bridge_queue: The queue of the bridge's own tasks.
        lingers: Whether pumps linger, and so leave a trace even when there is nothing to do.

    Returns:
        At least one cause, what matters most first.
    """
    if facts.task is None:
        return [*_rewound(facts), *_horizon(facts), _reader(facts)]
    causes = [
        *_rewound(facts),
        *_state(facts),
        *_pump(facts, lingers=lingers),
        *_trouble(facts),
        *(_fleet(facts, fleet, bridge_queue) if fleet else ()),
        *_horizon(facts),
        *_window(facts),
        *_keys(facts),
        *_retries(facts),
        *_asked(facts),
        *_parked(facts),
    ]
    return [*causes, *_ordinary(facts, quiet=not causes)]


def _rewound(facts: Facts) -> Iterator[Cause]:
    if facts.drawn < facts.horizon:
        yield Cause(
            kind="rewound",
            text=f"the sequence of fq.events stands at {facts.drawn}, behind the horizon {facts.horizon}: nothing is handed "
            "over to anybody, because events may have been lost in a restore or failover",
            do="find out what was lost, then `bridge resync`",
            data={"drawn": facts.drawn, "horizon": facts.horizon},
        )


def _state(facts: Facts) -> Iterator[Cause]:
    if facts.state == "active":
        return
    by = f" by {facts.state_by}" if facts.state_by else ""
    when = f" since {_moment(facts.state_at)}" if facts.state_at else ""
    why = f": {facts.state_reason}" if facts.state_reason else ""
    said = f"it is {facts.state}{by}{when}{why}"
    resume = f"`bridge resume {facts.client}`"
    do = {
        "draining": f"wait until its {facts.open} open deliveries are finished, or {resume}",
        "halted": f"mend what failed, then {resume}: the event goes out again",
    }.get(facts.state, resume)
    data = {"by": facts.state_by, "at": facts.state_at, "reason": facts.state_reason}
    yield Cause(kind=facts.state, text=said, do=do, data=data)


def _pump(facts: Facts, *, lingers: bool) -> Iterator[Cause]:
    silent = facts.pump_silent_seconds
    if silent is not None and silent < SILENT_SECONDS:
        return
    overdue = (facts.unread_seconds or 0) > SILENT_SECONDS and facts.open < facts.window and not facts.holders
    if not lingers and not (overdue and facts.state == "active"):
        return
    last = "no pump has ever run" if silent is None else f"no pump has run for {_span(silent)}"
    if not lingers:
        last = f"events wait for {_span(facts.unread_seconds or 0)}, and no pump has taken them"
    yield Cause(
        kind="no-pump",
        text=f"{last}: nothing is handed over to any client",
        do="is `celery beat` running, and a worker that consumes the bridge's queue?",
        data={"silent_seconds": silent},
    )


def _trouble(facts: Facts) -> Iterator[Cause]:
    if facts.trouble:
        when = f" since {_moment(facts.trouble_at)}" if facts.trouble_at else ""
        yield Cause(
            kind="trouble",
            text=f"it could not be served{when}: {facts.trouble}",
            do="the bridge tries again every second or so, and forgets this when it succeeds",
            data={"trouble": facts.trouble, "at": facts.trouble_at},
        )


def _fleet(facts: Facts, fleet: Fleet, bridge_queue: str) -> Iterator[Cause]:
    if fleet.trouble:
        yield Cause(kind="broker-away", text=fleet.trouble, do="the bridge waits for it and loses nothing")
        return
    others = f" ({fleet.answered} workers answered)" if fleet.answered else " (no worker answered at all)"
    data: dict[str, Any] = {"queue": facts.queue, "messages": fleet.messages, "answered": fleet.answered}
    waiting = f", in which {fleet.messages} messages wait" if fleet.messages else ""
    if not fleet.consumers:
        yield Cause(
            kind="no-consumer",
            text=f"no worker consumes queue {facts.queue!r}{waiting}{others}",
            do=f"start one with `celery -A fleet worker -Q {facts.queue}`; workers without remote control don't answer",
            data=data,
        )
    elif fleet.messages:
        workers = f"{len(fleet.consumers)} worker{'s' if len(fleet.consumers) > 1 else ''}"
        yield Cause(
            kind="backlog",
            text=f"{fleet.messages} messages wait in queue {facts.queue!r} for {workers}",
            do="more workers or a faster handler; the window bounds how many the bridge adds",
            data={**data, "consumers": fleet.consumers},
        )
    if not fleet.bridge_workers:
        yield Cause(
            kind="no-bridge-worker",
            text=f"no worker consumes the bridge's own queue {bridge_queue!r}{others}: no outcome is settled",
            do=f"start one with `celery -A proj worker -Q {bridge_queue}`",
            data={"queue": bridge_queue, "answered": fleet.answered},
        )


def _horizon(facts: Facts) -> Iterator[Cause]:
    if facts.drawn <= facts.horizon or not facts.holders:
        return
    for holder in facts.holders[:MOST_HOLDERS]:
        who, do = _holder(holder)
        yield Cause(
            kind="horizon-held",
            text=f"the horizon stands at {facts.horizon}, and offsets up to {facts.drawn} are drawn: {who} has written "
            "events and not ended, and what it wrote may come below those that are there",
            do=do,
            data=_mapping(holder),
        )
    if len(facts.holders) > MOST_HOLDERS:
        others = len(facts.holders) - MOST_HOLDERS
        yield Cause(kind="horizon-held", text=f"{others} younger transactions hold the horizon too")


def _holder(holder: Holder) -> tuple[str, str]:
    age = "" if holder.age_seconds is None else f" of {_span(holder.age_seconds)} ago"
    role = f" of {holder.role}" if holder.role else ""
    if holder.pid is None:
        if holder.gid is None:
            return "a prepared transaction", "see pg_prepared_xacts"
        end = f"in this database, COMMIT PREPARED or ROLLBACK PREPARED {_quoted(holder.gid)}"
        return f"the prepared transaction {_quoted(holder.gid)}{role}{age}", end
    application = f" ({holder.application})" if holder.application else ""
    state = f", {holder.state}" if holder.state else ""
    query = " ".join((holder.query or "").split())
    doing = (
        f", its query since {_moment(holder.query_start)}: {query[:MOST_QUERY]}" if query and holder.query_start else ""
    )
    who = f"the transaction{age} of pid {holder.pid}{application}{role}{state}{doing}"
    return who, f"let it commit or roll back, or SELECT pg_terminate_backend({holder.pid})"


def _window(facts: Facts) -> Iterator[Cause]:
    if facts.open >= facts.window and facts.oldest:
        yield Cause(
            kind="window-full",
            text=f"its window is full, {facts.open} of {facts.window} deliveries are open; {_open(facts, facts.oldest)}",
            do="wait for the fleet; is it stuck, or slower than the events come?",
            data={"open": facts.open, "window": facts.window, "oldest": _delivery(facts, facts.oldest)},
        )


def _keys(facts: Facts) -> Iterator[Cause]:
    for key in facts.keys:
        yield _key(facts, key)
    if facts.waiting > len(facts.keys):
        more = facts.waiting - len(facts.keys)
        yield Cause(
            kind="keys-wait", text=f"{more} more keys wait for events of theirs that are open", data={"keys": more}
        )


def _key(facts: Facts, key: Key) -> Cause:
    data = _mapping(key)
    what = f"key {key.key!r}" if key.offset is None else f"key {key.key!r} waits with event {key.offset}"
    if key.blocker is None:
        return Cause(kind="key-next", text=f"{what}: nothing is in its way, it goes out with the next pass", data=data)
    if key.parked:
        redriven = ", which is to go out again when the window has room" if key.redrive else ""
        return Cause(
            kind="key-held",
            text=f"{what}: it is held by parked event {key.blocker} ({key.reason}){redriven}",
            do=None
            if key.redrive
            else f"`bridge redrive {facts.client} --offset {key.blocker}`, or `bridge discard` it",
            data=data,
        )
    task = task_id(facts.client, key.blocker, key.epoch or 1, key.attempt or 1)
    text = f"{what}: event {key.blocker} is open, attempt {key.attempt}, task {task}"
    return Cause(kind="key-blocked", text=text, data={**data, "task_id": task})


def _retries(facts: Facts) -> Iterator[Cause]:
    if not facts.next_retry:
        return
    it = facts.next_retry
    due = f"in {_span(it.due_seconds)}" if it.due_seconds > 0 else "as soon as a pump comes and its key is free"
    error = ": ".join(said for said in (it.error_type, it.error) if said) or "unknown"
    events = f"{facts.retrying} events wait" if facts.retrying > 1 else "an event waits"
    yield Cause(
        kind="retrying",
        text=f"{events} for another attempt, next event {it.offset} {due}, after attempt {it.attempt} failed; "
        f"its error: {error}",
        data={"retrying": facts.retrying, "next": _delivery(facts, it)},
    )


def _asked(facts: Facts) -> Iterator[Cause]:
    if facts.redriving:
        text = f"{facts.redriving} parked events are to go out again, as the window and their keys allow"
        yield Cause(kind="redriving", text=text, data={"redriving": facts.redriving})
    for nth, it in enumerate(facts.replays):
        how = "waits for the replay before it" if nth else f"is under way, {it.sent} events have gone out"
        yield Cause(
            kind="replaying",
            text=f"a replay up to event {it.upto} {how}; it goes on at {it.next}, at most {it.per_second:g} events a second",
            do=f"to stop it: `bridge replay {facts.client} --stop`",
            data=_mapping(it),
        )


def _parked(facts: Facts) -> Iterator[Cause]:
    if facts.parked > facts.redriving:
        number = facts.parked - facts.redriving
        yield Cause(
            kind="parked",
            text=f"{number} event{'s are' if number > 1 else ' is'} parked; the cursor has passed them",
            do=f"`bridge parked {facts.client}` says why, then `bridge redrive` or `bridge discard`",
            data={"parked": number},
        )


def _ordinary(facts: Facts, *, quiet: bool) -> Iterator[Cause]:
    """What is so when nothing is wrong."""
    if facts.oldest and facts.open < facts.window:
        text = f"{facts.open} of {facts.window} deliveries are open; {_open(facts, facts.oldest)}"
        yield Cause(kind="open", text=text, data={"open": facts.open, "oldest": _delivery(facts, facts.oldest)})
    if facts.unread:
        more = " or more" if facts.unread >= MOST_EVENTS else ""
        age = _span(facts.unread_seconds or 0)
        text = f"{facts.unread}{more} events that match are not handed over yet, the oldest is {age} old"
        yield Cause(kind="unread", text=text, data={"unread": facts.unread, "seconds": facts.unread_seconds})
    if not facts.unread and not facts.open and not facts.waiting and facts.offset >= min(facts.horizon, facts.drawn):
        said = "it is caught up: everything that matches is finished"
        yield Cause(kind="caught-up", text=f"{said}, the log ends at {facts.drawn}", data={"offset": facts.offset})
    elif quiet and not facts.unread and not facts.open:
        text = f"nothing is open, and the next pass looks at events {facts.dispatched + 1} to {facts.drawn}"
        yield Cause(kind="next-pass", text=text, data={"dispatched": facts.dispatched, "drawn": facts.drawn})


def _reader(facts: Facts) -> Cause:
    more = " or more" if facts.unread >= MOST_EVENTS else ""
    return Cause(
        kind="reader",
        text=f"it is a plain SQL reader, which moves its own cursor; {facts.unread}{more} events come after its offset "
        f"{facts.offset}",
        do="SELECT * FROM fq.get(...), then SELECT fq.commit(...)" if facts.unread else None,
        data={"offset": facts.offset, "unread": facts.unread},
    )


def _open(facts: Facts, it: Open) -> str:
    task = task_id(facts.client, it.offset, it.epoch, it.attempt)
    which = f"the oldest is event {it.offset}, attempt {it.attempt}, task {task}"
    if it.state == "retrying":
        return f"{which}, which waits for its next attempt"
    if it.state == "done":
        return f"{which}, whose handler's transaction is done and whose callback is on its way"
    lease = f"its lease has {_span(it.due_seconds)} left" if it.due_seconds > 0 else "its lease has run out"
    return f"{which}, handed over {_span(it.age_seconds)} ago; {lease}"


def _delivery(facts: Facts, it: Open) -> dict[str, Any]:
    return {**_mapping(it), "task_id": task_id(facts.client, it.offset, it.epoch, it.attempt)}


def _mapping(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _quoted(gid: str) -> str:
    return "'" + gid.replace("'", "''") + "'"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    """A duration in the one unit that says most."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 10 else f"{seconds:.0f} s"
