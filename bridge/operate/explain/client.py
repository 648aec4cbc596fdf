"""The client itself: whether a person or a failure stopped it, and how things stand when nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.operate.explain.cause import Cause, Severity, delivery_data, field_data
from bridge.operate.explain.deliveries import say_open
from bridge.operate.explain.log import say_holder
from bridge.store.facts import ClientFacts
from bridge.store.status import MOST_EVENTS_COUNTED
from bridge.wording import counted, moment, span

OWN = "celery-event-bridge"  # how the names of the bridge's sessions begin


def explain_state(facts: ClientFacts) -> Iterator[Cause]:
    """Say that a person stopped it, or that it halted."""
    if facts.state == "active":
        return
    by = f" by {facts.state_by}" if facts.state_by else ""
    when = f" since {moment(facts.state_at)}" if facts.state_at else ""
    why = f": {facts.state_reason}" if facts.state_reason else ""
    said = f"it is {facts.state}{by}{when}{why}"
    resume = f"`eventbridge resume {facts.client}`"
    still_open = counted(facts.open, "open delivery is", "open deliveries are")
    do = {
        "draining": f"wait until {still_open} finished, or {resume}",
        "halted": f"mend what failed, then {resume}: the event goes out again",
    }.get(facts.state, resume)
    data = {"by": facts.state_by, "at": facts.state_at, "reason": facts.state_reason}
    severity: Severity = "error" if facts.state == "halted" else "warning"
    yield Cause(kind=facts.state, severity=severity, text=said, do=do, data=data)


def explain_bridge(facts: ClientFacts, here: str) -> Iterator[Cause]:
    """Say that another bridge serves it."""
    if facts.bridge != here:
        yield Cause(
            kind="other-bridge",
            severity="info",
            text=f"it is served by bridge {facts.bridge!r}, and here is bridge {here!r}: its broker and workers were "
            "not asked",
            do=f"ask an app whose bridge_queue is {facts.bridge!r}; to give it to the bridge here, "
            f"`eventbridge register {facts.client} --bridge {here}`",
            data={"bridge": facts.bridge, "here": here},
        )


def explain_locked(facts: ClientFacts) -> Iterator[Cause]:
    """Say who holds the client's row, so that no pass and no outcome gets it."""
    for holder in facts.lockers:
        if (facts.blockers or facts.standby) and (holder.application or "").startswith(OWN):
            continue  # it waits itself, and another cause says for what
        who, do = say_holder(holder)
        text = f"its row is held by {who}; nothing is handed over and its outcomes wait until that ends"
        yield Cause(kind="locked", severity="error", text=text, do=do, data=field_data(holder))


def explain_trouble(facts: ClientFacts) -> Iterator[Cause]:
    """Say why the last pass could not serve it."""
    if facts.trouble:
        when = f" since {moment(facts.trouble_at)}" if facts.trouble_at else ""
        yield Cause(
            kind="trouble",
            severity="error",
            text=f"it could not be served{when}: {facts.trouble}",
            do="mend this, `eventbridge doctor` may say how; the bridge tries again every second or so, and forgets it "
            "when it succeeds",
            data={"trouble": facts.trouble, "at": facts.trouble_at},
        )


def explain_rate(facts: ClientFacts) -> Iterator[Cause]:
    """Say that its own rate keeps events back."""
    waits = facts.unread or facts.ready or facts.redriving or facts.retrying
    if facts.token_seconds and waits and facts.state == "active" and facts.open < facts.window:
        yield Cause(
            kind="rate-limited",
            severity="warning",
            text=f"it is limited by its rate of {facts.rate}: more goes out in {span(facts.token_seconds)}",
            do=f"`eventbridge register {facts.client} --rate N/s` changes it, `--rate ''` ends it",
            data={"rate": facts.rate, "tokens": facts.tokens, "seconds": facts.token_seconds},
        )


def explain_requests(facts: ClientFacts) -> Iterator[Cause]:
    """Say what people asked for beside the cursor: redrives and replays."""
    if facts.redriving:
        events = counted(facts.redriving, "parked event is", "parked events are")
        text = f"{events} to go out again, as the window and the order of the keys allow"
        yield Cause(kind="redriving", severity="warning", text=text, data={"redriving": facts.redriving})
    for it in facts.replays:
        gone = counted(it.sent, "event has", "events have")
        aside = counted(it.aside, "of its events and keys waits", "of its events and keys wait")
        waits = f", {aside} for what is open" if it.aside else ""
        yield Cause(
            kind="replaying",
            severity="warning",
            text=f"a replay up to event {it.upto} is under way, {gone} gone out; it goes on at {it.next}, at most "
            f"{it.per_second:g} a second{waits}",
            do=f"to stop it: `eventbridge replay {facts.client} --stop`",
            data=field_data(it),
        )


def explain_parked(facts: ClientFacts) -> Iterator[Cause]:
    """Say how many events were set aside and wait for a person."""
    if facts.parked > facts.redriving:
        number = facts.parked - facts.redriving
        them = "it" if number == 1 else "them"
        yield Cause(
            kind="parked",
            severity="warning",
            text=f"{counted(number, 'event is', 'events are')} parked; the cursor has passed {them}",
            do=f"`eventbridge parked {facts.client}` says why, then `eventbridge redrive {facts.client} --all` or "
            f"`eventbridge discard {facts.client} --all`",
            data={"parked": number},
        )


def explain_ordinary(facts: ClientFacts, *, quiet: bool) -> Iterator[Cause]:
    """Say how things stand when nothing is wrong; `quiet` if there is nothing else to say."""
    if facts.oldest and facts.open < facts.window:
        data = {"open": facts.open, "oldest": delivery_data(facts, facts.oldest)}
        yield Cause(kind="open", severity="info", text=say_open(facts, facts.oldest), data=data)
    if facts.unread:
        events = counted(facts.unread, "event that matches is", "events that match are")
        which = "it" if facts.unread == 1 else "the oldest"
        text = f"{_least(facts)}{events} not handed over yet, {which} is {span(facts.unread_seconds or 0)} old"
        data = {"unread": facts.unread, "seconds": facts.unread_seconds}
        yield Cause(kind="unread", severity="info", text=text, data=data)
    if not facts.unread and not facts.open and not facts.waiting and facts.offset >= min(facts.horizon, facts.drawn):
        end = f"the log ends at {facts.drawn}" if facts.drawn > 0 else "the log is empty"
        if facts.holders and facts.drawn > facts.horizon:
            end = f"the log is final up to {facts.horizon}" if facts.horizon > 0 else "nothing of the log is final yet"
        text = f"it is caught up: everything that matches is finished, {end}"
        yield Cause(kind="caught-up", severity="info", text=text, data={"offset": facts.offset})
    elif quiet and not facts.unread and not facts.open:
        first = facts.dispatched + 1
        events = f"event {first}" if first == facts.drawn else f"events {first} to {facts.drawn}"
        text = f"nothing is open, and the next pass looks at {events}"
        data = {"dispatched": facts.dispatched, "drawn": facts.drawn}
        yield Cause(kind="next-pass", severity="info", text=text, data=data)


def explain_reader(facts: ClientFacts) -> Cause:
    """Say that it is not driven by the bridge, but reads by SQL."""
    events = counted(facts.unread, "event comes", "events come")
    return Cause(
        kind="reader",
        severity="info",
        text=f"it is a plain SQL reader, which moves its own cursor; {_least(facts)}{events} after its offset "
        f"{facts.offset}",
        do="SELECT * FROM fq.get(...), then SELECT fq.commit(...)" if facts.unread else None,
        data={"offset": facts.offset, "unread": facts.unread},
    )


def _least(facts: ClientFacts) -> str:
    return "at least " if facts.unread >= MOST_EVENTS_COUNTED else ""
