"""The client itself: what a person or its failures made of it, and what is so when nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.explain.cause import Cause, delivery, mapping
from bridge.operate.explain.deliveries import open_deliveries
from bridge.store.facts import MOST_EVENTS, Facts
from bridge.wording import counted, moment, span


def state(facts: Facts) -> Iterator[Cause]:
    """Somebody stopped it, or it halted."""
    if facts.state == "active":
        return
    by = f" by {facts.state_by}" if facts.state_by else ""
    when = f" since {moment(facts.state_at)}" if facts.state_at else ""
    why = f": {facts.state_reason}" if facts.state_reason else ""
    said = f"it is {facts.state}{by}{when}{why}"
    resume = f"`bridge resume {facts.client}`"
    do = {
        "draining": f"wait until {counted(facts.open, 'open delivery is', 'open deliveries are')} finished, or {resume}",
        "halted": f"mend what failed, then {resume}: the event goes out again",
    }.get(facts.state, resume)
    data = {"by": facts.state_by, "at": facts.state_at, "reason": facts.state_reason}
    yield Cause(kind=facts.state, text=said, do=do, data=data)


def trouble(facts: Facts) -> Iterator[Cause]:
    """The last pass could not serve it."""
    if facts.trouble:
        when = f" since {moment(facts.trouble_at)}" if facts.trouble_at else ""
        yield Cause(
            kind="trouble",
            text=f"it could not be served{when}: {facts.trouble}",
            do="the bridge tries again every second or so, and forgets this when it succeeds",
            data={"trouble": facts.trouble, "at": facts.trouble_at},
        )


def asked(facts: Facts) -> Iterator[Cause]:
    """What people asked for beside the cursor: redrives and replays."""
    if facts.redriving:
        events = counted(facts.redriving, "parked event is", "parked events are")
        text = f"{events} to go out again, as the window and the order of the keys allow"
        yield Cause(kind="redriving", text=text, data={"redriving": facts.redriving})
    for nth, it in enumerate(facts.replays):
        gone = counted(it.sent, "event has", "events have")
        how = "waits for the replay before it" if nth else f"is under way, {gone} gone out"
        yield Cause(
            kind="replaying",
            text=f"a replay up to event {it.upto} {how}; it goes on at {it.next}, at most {it.per_second:g} a second",
            do=f"to stop it: `bridge replay {facts.client} --stop`",
            data=mapping(it),
        )


def parked(facts: Facts) -> Iterator[Cause]:
    """Events that were set aside and wait for a person."""
    if facts.parked > facts.redriving:
        number = facts.parked - facts.redriving
        them = "it" if number == 1 else "them"
        yield Cause(
            kind="parked",
            text=f"{counted(number, 'event is', 'events are')} parked; the cursor has passed {them}",
            do=f"`bridge parked {facts.client}` says why, then `bridge redrive` or `bridge discard`",
            data={"parked": number},
        )


def ordinary(facts: Facts, *, quiet: bool) -> Iterator[Cause]:
    """What is so when nothing is wrong."""
    if facts.oldest and facts.open < facts.window:
        text = open_deliveries(facts, facts.oldest)
        yield Cause(kind="open", text=text, data={"open": facts.open, "oldest": delivery(facts, facts.oldest)})
    if facts.unread:
        events = counted(facts.unread, "event that matches is", "events that match are")
        which = "it" if facts.unread == 1 else "the oldest"
        text = f"{_least(facts)}{events} not handed over yet, {which} is {span(facts.unread_seconds or 0)} old"
        yield Cause(kind="unread", text=text, data={"unread": facts.unread, "seconds": facts.unread_seconds})
    if not facts.unread and not facts.open and not facts.waiting and facts.offset >= min(facts.horizon, facts.drawn):
        said = "it is caught up: everything that matches is finished"
        yield Cause(kind="caught-up", text=f"{said}, the log ends at {facts.drawn}", data={"offset": facts.offset})
    elif quiet and not facts.unread and not facts.open:
        first = facts.dispatched + 1
        events = f"event {first}" if first == facts.drawn else f"events {first} to {facts.drawn}"
        text = f"nothing is open, and the next pass looks at {events}"
        yield Cause(kind="next-pass", text=text, data={"dispatched": facts.dispatched, "drawn": facts.drawn})


def reader(facts: Facts) -> Cause:
    """It is no client of the bridge, but of SQL."""
    events = counted(facts.unread, "event comes", "events come")
    return Cause(
        kind="reader",
        text=f"it is a plain SQL reader, which moves its own cursor; {_least(facts)}{events} after its offset "
        f"{facts.offset}",
        do="SELECT * FROM fq.get(...), then SELECT fq.commit(...)" if facts.unread else None,
        data={"offset": facts.offset, "unread": facts.unread},
    )


def _least(facts: Facts) -> str:
    return "at least " if facts.unread >= MOST_EVENTS else ""
