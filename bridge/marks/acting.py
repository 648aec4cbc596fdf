"""Act on what a comparison found: renew the mark, note a loss, or say why nothing goes on here.

Postgres is written first, in the transaction that holds its marks, and the broker second. A process that dies between
the two leaves a mark that the next one completes.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.broker.marks import Keeper
from bridge.errors import BridgeError, BrokerTaken, MarkAhead
from bridge.mark import NOTHING_SEEN, RESYNC, Held, Mark
from bridge.marks.compare import (
    Ahead,
    First,
    Lost,
    OtherBroker,
    OtherLog,
    Pending,
    Unseen,
    Verdict,
    compare,
    our_mark,
)
from bridge.store import Store, marks
from bridge.store.marks import LogFacts, OurMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found.

    Attributes:
        verdict: What follows from it.
        facts: What the log is.
        broker: The address under which Postgres remembers this broker.
        count: Of Postgres' mark, now.
        others: How the marks of other brokers stand that serve this bridge: address and count.
        written: Whether the broker has the mark that Postgres has.
    """

    verdict: Verdict
    facts: LogFacts
    broker: str
    count: int
    others: dict[str, int]
    written: bool


class Here(NamedTuple):
    """Who looks, and where.

    Attributes:
        bridge: The bridge's queue.
        broker: The broker's address.
    """

    bridge: str
    broker: str


class Renewed(NamedTuple):
    """What follows a mark.

    Attributes:
        mark: The next one, or the same one where the broker does not have it yet.
        before: The nonce of the count before.
        fresh: Whether the broker has not been seen with this `broker_id` yet.
        anew: Whether the broker is to forget what was noted beside the old one.
    """

    mark: Mark
    before: str | None
    fresh: bool
    anew: bool


def look(store: Store, keeper: Keeper, here: Here, *, remembered: dict[str, int], silent: set[str]) -> Look:
    """Compare Postgres' mark with the broker's, and renew both where they fit.

    Args:
        store: The event log.
        keeper: Keeps the mark in the broker.
        here: Who looks, and where.
        remembered: By log, the highest count that this process has seen.
        silent: Brokers whose marks nobody has renewed while this process watched.

    Raises:
        StoreUnavailable, BrokerUnavailable: nothing is known; Postgres may be one count ahead, which is in order.
        MarkRefused: this user may not keep a mark in the broker.
    """
    # The broker's mark is read after Postgres' marks are locked: so it is never older than what Postgres had seen.
    with marks.comparing(store, bridge=here.bridge, broker=here.broker) as connection:
        ours = marks.lock_marks(connection, bridge=here.bridge)
        facts = marks.log_facts(connection)
        with keeper.taken() as taken:
            theirs = taken.mark
            event = None
            if isinstance(theirs, Mark) and theirs.log == facts.log and theirs.seen.offset >= 0:
                event = marks.event_at(connection, theirs.seen.offset)
            verdict = compare(
                facts,
                ours,
                theirs,
                broker=here.broker,
                event=event,
                remembered=remembered.get(facts.log, 0),
                silent=silent,
            )
            mine = our_mark(ours, theirs, here.broker)
            found = Look(
                verdict=verdict,
                facts=facts,
                broker=mine.broker,
                count=mine.count,
                others=_others(ours, mine),
                written=True,
            )
            if isinstance(verdict, Unseen | Ahead | OtherLog | OtherBroker):
                return found
            new = renewed(here.bridge, facts, mine, theirs, verdict)
            if isinstance(verdict, Lost):
                marks.lose(connection, bridge=here.bridge, broker=mine.broker, why=verdict.why)
            _note_changes(connection, here, facts, mine)
            marks.renew(connection, new.mark, broker=mine.broker, before=new.before, fresh=new.fresh, holder=holder())
            connection.commit()
            written = taken.put(new.mark, anew=new.anew)
            return replace(found, count=new.mark.count, written=written)


def renewed(bridge: str, facts: LogFacts, mine: OurMark, theirs: Mark | Held | None, verdict: Verdict) -> Renewed:
    """Say what both are to have next; only a mark that the broker was seen with is followed by another one."""
    anew, pending = isinstance(verdict, First | Lost), isinstance(verdict, Pending)
    seen = NOTHING_SEEN
    if isinstance(theirs, Mark) and theirs.broker_id == mine.broker_id and not anew:
        seen = theirs.seen
    mark = Mark(
        log=facts.log,
        generation=facts.generation,
        bridge=bridge,
        broker_id=str(uuid.uuid4()) if anew or mine.broker_id is None else mine.broker_id,
        system=facts.system or 0,
        timeline=facts.timeline or 0,
        count=mine.count if pending else mine.count + 1,
        nonce=mine.nonce if pending and mine.nonce else str(uuid.uuid4()),
        seen=seen,
    )
    return Renewed(
        mark=mark,
        before=mine.before if pending else mine.nonce,
        fresh=anew or (pending and mine.fresh),
        anew=anew or mine.fresh,
    )


def _note_changes(connection: Connection, here: Here, facts: LogFacts, mine: OurMark) -> None:
    """Write into the journal that another server has the log now, where nothing else has changed."""
    for action, before, now in (
        ("moved", mine.system, facts.system),
        ("failed-over", mine.timeline, facts.timeline),
    ):
        if before and now and before != now:
            marks.note(connection, action, {"bridge": here.bridge, "from": before, "to": now})


def error_of(verdict: Verdict, here: Here) -> BridgeError | None:
    """Return the error that says why nothing goes on at this broker; None if it does."""
    match verdict:
        case Ahead(why):
            return MarkAhead(
                f"the database was set back, by a restore or by a fail-over that lost its last transactions: {why}. "
                f"Nothing is handed over or settled on queue {here.bridge!r}: {RESYNC}"
            )
        case OtherLog(why):
            return BrokerTaken(
                f"queue {here.bridge!r} on {here.broker} serves another log: {why}. Two logs on one broker need a "
                f"bridge_queue each. If the other log is gone, {RESYNC}"
            )
        case OtherBroker(broker, holder):
            by = f", where {holder} runs" if holder else ""
            return BrokerTaken(
                f"the log is served by queue {here.bridge!r} on {broker} already{by}, and this is {here.broker}. Two "
                "brokers of one log need a bridge_queue each, and their clients the `bridge` that serves them"
            )
    return None


def kind_of(verdict: Verdict) -> str:
    """Name the trouble, for programs."""
    return {Ahead: "mark-ahead", OtherLog: "other-log", OtherBroker: "other-broker"}[type(verdict)]


def _others(ours: list[OurMark], mine: OurMark) -> dict[str, int]:
    return {it.broker: it.count for it in ours if it.broker != mine.broker and it.serving}


def holder() -> str:
    """Return what this process is called in a mark."""
    return f"{socket.gethostname()} pid {os.getpid()}"
