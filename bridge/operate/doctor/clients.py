"""The clients themselves: those that stand still, topics that match nothing, and clients that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from bridge.operate.doctor.facts import Facts, Unasked
from bridge.operate.doctor.finding import Check, Fault
from bridge.sender.parcels import matches
from bridge.wording import counted, one_line, span

FORGOTTEN_SECONDS = 7 * 86_400.0  # a client that nobody read with, or that is paused, for so long
NEAR = 0.75  # of 1: topics that differ by a letter or two


def _clients(facts: Facts) -> Iterator[Fault]:
    for client in (it for it in facts.db.clients if it.task is not None):
        why = f": {one_line(client.state_reason)}" if client.state_reason else ""
        if client.released:
            yield Fault(
                "warning",
                f"client {client.id} is released and does not hold the log any more{why}",
                f"`eventbridge resume {client.id}`, or `eventbridge remove {client.id}`",
                {"client": client.id},
            )
        elif client.state == "halted":
            do = f"mend what failed, then `eventbridge resume {client.id}`"
            yield Fault("at-risk", f"client {client.id} is halted{why}", do, {"client": client.id})
        elif client.state == "paused" and (client.state_seconds or 0) > FORGOTTEN_SECONDS:
            yield Fault(
                "warning",
                f"client {client.id} has been paused for {span(client.state_seconds or 0)}{why}",
                f"`eventbridge resume {client.id}`, or `eventbridge release {client.id}` to let it hold no events",
                {"client": client.id},
            )
        if client.trouble:
            yield Fault(
                "at-risk",
                f"client {client.id} could not be served: {one_line(client.trouble)}",
                f"`eventbridge explain {client.id}` says more; the bridge tries again every second or so",
                {"client": client.id, "trouble": one_line(client.trouble)},
            )
        if client.parked:
            events = counted(client.parked, "event is", "events are")
            yield Fault(
                "warning",
                f"{events} parked for client {client.id}",
                f"`eventbridge parked {client.id}` says why, then redrive or discard",
                {"client": client.id, "parked": client.parked},
            )


def _topics(facts: Facts) -> Iterator[Fault]:
    topics = facts.db.topics
    if not topics:  # the log is empty, or has so many that nobody can say
        return
    for client in facts.db.clients:
        if client.task is None:
            continue
        patterns = {**dict.fromkeys(client.topics, "topic"), **{pattern: "route" for pattern, _ in client.routes}}
        for pattern, kind in patterns.items():
            if any(matches(pattern, topic) for topic in topics):
                continue
            near = get_close_matches(pattern, topics, 1, NEAR)
            meant = f"did you mean {one_line(near[0])}? " if near else ""
            yield Fault(
                "warning",
                f"no event in the log matches the {kind} {one_line(pattern)} of client {client.id}",
                f"{meant}`eventbridge tail` shows the topics of the log, `eventbridge register {client.id} --topics "
                "PATTERNS` mends it; if such events are still to come, all is well",
                {"client": client.id, "pattern": pattern},
            )


def _topics_fine(facts: Facts) -> str:
    if facts.db.topics is None:
        return "the log has too many topics to tell"
    return "each topic pattern matches events of the log" if facts.db.topics else "the log is empty"


def _unused(facts: Facts) -> Iterator[Fault]:
    idle = [it for it in facts.db.clients if it.delivered == 0 and it.offset < 0 and it.age_seconds > FORGOTTEN_SECONDS]
    for client in idle if facts.db.topics != () else ():
        yield Fault(
            "warning",
            f"client {client.id} has been registered for {span(client.age_seconds)} and never read anything; it holds "
            "the whole log",
            f"`eventbridge remove {client.id}`, or `eventbridge explain {client.id}` says why",
            {"client": client.id},
        )
    if isinstance(facts.declared, Unasked) or not facts.declared:
        return
    for client in facts.served:
        if client.id not in facts.declared:
            yield Fault(
                "warning",
                f"client {client.id} is registered, and the code of app {facts.app.name} does not declare it",
                f"`eventbridge remove {client.id}` if it is not needed any more; if it was registered by hand, all is "
                "well",
                {"client": client.id},
            )


def _unused_fine(facts: Facts) -> str:
    return (
        f"{counted(len(facts.db.clients), 'client')} registered, each in use" if facts.db.clients else "no clients yet"
    )


CHECKS = (
    Check("clients", ("log",), _clients, lambda it: f"none of {counted(len(it.db.clients), 'client')} stands still"),
    Check("topics", ("log",), _topics, _topics_fine),
    Check("unused", ("log", "code"), _unused, _unused_fine),
)
