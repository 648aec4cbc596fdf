"""Compare what Postgres and the broker remember of each other, and say what follows. Pure: it decides, others act.

In good order the broker's count is Postgres' count or one less: Postgres is raised first, only by a process that has
seen the broker at the same count, and the broker gets it second. No crash between the two, and no process that stands
still for an hour in between, makes it otherwise. So each deviation means that one of the two was set back:

| the broker's mark | the verdict |
| --- | --- |
| is of another log | `OtherLog`: two logs share a broker and a queue |
| is ahead: of count, of nonce, of generation, or has seen an event that Postgres does not have | `Ahead` |
| has the same count and nonce | `Fine` |
| is one behind, or not there yet after Postgres noted it | `Pending`: it is written, as if by the process that died |
| is older, or is gone | `Lost` |
| is gone or unknown, while another broker serves the bridge | `OtherBroker`; `Lost` when that one serves no more |
| is not there, and never was | `First` |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bridge.mark import Held, Mark, Seen
from bridge.store.marks import LogFacts, OurMark

LIVING_SECONDS = 10.0  # a mark that was renewed so lately is alive


@dataclass(frozen=True, slots=True)
class First:
    """There was no mark; one is written."""


@dataclass(frozen=True, slots=True)
class Fine:
    """All fits; the mark is renewed."""


@dataclass(frozen=True, slots=True)
class Pending:
    """All fits; the broker gets the mark that Postgres has already."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """The broker's mark is in another process' hands, so nothing can be said."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The broker lost messages, or was replaced."""

    why: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """The broker remembers what Postgres does not: the database was set back."""

    why: str


@dataclass(frozen=True, slots=True)
class OtherLog:
    """The broker's mark is of another log, or of another copy of this one."""

    why: str


@dataclass(frozen=True, slots=True)
class OtherBroker:
    """Another broker serves this bridge."""

    broker: str
    holder: str


Verdict = First | Fine | Pending | Unseen | Lost | Ahead | OtherLog | OtherBroker


def compare(
    facts: LogFacts,
    ours: Sequence[OurMark],
    theirs: Mark | Held | None,
    *,
    broker: str,
    event: Seen | None = None,
    remembered: int = 0,
    silent: Collection[str] = (),
) -> Verdict:
    """Say what follows from what Postgres and the broker remember.

    Args:
        facts: What the log is.
        ours: Postgres' marks of all brokers of this bridge.
        theirs: The broker's mark; None if it has none.
        broker: The broker's address.
        event: Postgres' event at the offset that the broker's mark has seen; None if there is none.
        remembered: The highest count of this broker's that this process has seen.
        silent: Brokers whose marks nobody has renewed while this process watched.
    """
    here = our_mark(ours, theirs, broker)
    if isinstance(theirs, Held):
        back = here.count < remembered
        return Ahead(f"the mark stood at {remembered:,} and stands at {here.count:,} now") if back else Unseen()
    if theirs is not None:
        if theirs.log != facts.log:
            return OtherLog(f"it belongs to the log {theirs.log}, and this one is {facts.log}")
        if here.fresh and theirs.count < here.count and here.serving:
            return Pending()  # what it has was seen, and Postgres has gone on from it
        if why := _ahead(facts, here, theirs, event, remembered):
            # A copy of the log whose original goes on elsewhere looks just like a database that was set back.
            elsewhere = theirs.system and facts.system and theirs.system != facts.system
            return Ahead(f"{why}; the mark was written by another server" if elsewhere else why)
    elif here.count < remembered:
        return Ahead(f"the mark stood at {remembered:,} and stands at {here.count:,} now")
    other = next((it for it in ours if it.serving and it.broker != here.broker), None)
    if other is not None:
        living = 0 <= other.seen_seconds <= LIVING_SECONDS or other.broker not in silent
        if living:
            return OtherBroker(other.broker, other.holder or "")
        return Lost(f"the broker {other.broker} served this bridge before, and does no more")
    return _found(here, theirs)


def our_mark(ours: Sequence[OurMark], theirs: Mark | Held | None, broker: str) -> OurMark:
    """Return Postgres' mark of a broker, which the broker's own mark tells best: it may have several addresses."""
    by_id = [it for it in ours if isinstance(theirs, Mark) and it.broker_id == theirs.broker_id]
    return next(iter(by_id), None) or next(it for it in ours if it.broker == broker)


def _found(here: OurMark, theirs: Mark | None) -> Verdict:
    """Say what follows where this broker serves the bridge, and nothing is ahead."""
    if theirs is None:
        if not here.count:
            return First()
        return Pending() if here.fresh else Lost("it has no mark any more, and had one")
    if theirs.count == here.count:
        return Fine()
    if theirs.count == here.count - 1 and theirs.broker_id == here.broker_id:
        return Pending()
    return Lost(f"its mark is old: it stands at {theirs.count:,}, and stood at {here.count - 1:,} or more")


def _ahead(facts: LogFacts, here: OurMark, theirs: Mark, event: Seen | None, remembered: int) -> str:
    """Say in what the broker is ahead of Postgres; an empty string if in nothing."""
    if theirs.generation > facts.generation:
        return f"the broker has seen the log's generation {theirs.generation}, and this is {facts.generation}"
    if theirs.count > here.count:
        return f"the broker's mark stands at {theirs.count:,}, and the database's at {here.count:,}"
    if here.count < remembered:
        return f"the mark stood at {remembered:,} and stands at {here.count:,} now"
    if theirs.count == here.count and theirs.nonce != here.nonce:
        return f"both marks stand at {here.count:,}, and were not written together"
    one_less = theirs.count == here.count - 1 and theirs.broker_id == here.broker_id
    if one_less and theirs.nonce != here.before:
        return f"the broker's mark of count {theirs.count:,} is not the one that the database remembers"
    return _unknown_event(facts, here, theirs.seen, event)


def _unknown_event(facts: LogFacts, here: OurMark, seen: Seen, event: Seen | None) -> str:
    """Say that the broker has seen an event that Postgres does not have; an empty string if it has not.

    Where Postgres knows that it had come so far, an event that is gone was deleted.
    """
    if seen.offset < 0:
        return ""
    if event is None:
        known = max(here.seen.offset, facts.pruned, facts.dispatched)
        return f"the broker has seen event {seen.offset}, which the log does not have" if seen.offset > known else ""
    return "" if event == seen else f"event {seen.offset} is another one than the broker has seen"
