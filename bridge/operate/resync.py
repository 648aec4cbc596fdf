"""Resync: after a restore, say what was lost, begin a new generation of the log, and go on.

A restore, or a fail-over that lost WAL, lets the log forget its last events, and give their offsets to new ones. Two
witnesses tell what was there: the log itself, and the broker, whose mark says how far events had come to it. From the
first offset on that may name another event than before, events belong to a new generation: see decision 34. What is
in flight goes out again in new epochs, and nothing that was handed over before can settle it (G6).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.app import Bridge
from bridge.errors import BrokerUnavailable, UsageError
from bridge.operate.witnesses import BrokerSaw, own_the_broker, what_the_broker_saw
from bridge.store.journal import WHOLE_LOG, note
from bridge.store.resync import (
    Found,
    ResyncedClient,
    begin_generation,
    count_events,
    forget_ids,
    hold_all_clients,
    look_at_log,
    move_other_sequences,
    move_sequence,
)


class Plan(NamedTuple):
    """What follows from what the witnesses say.

    Attributes:
        agreed: The last offset that certainly names the event of before.
        kept: The same where clients have had offsets above it; else None.
        starts: The first offset of each generation, the new one included.
        sequence: The last offset that counts as drawn from now on.
        lost_upto: Offsets above `agreed` were drawn before, up to this one; `agreed` if no witness says so.
    """

    agreed: int
    kept: int | None
    starts: tuple[int, ...]
    sequence: int
    lost_upto: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resynced:
    """What a resync did, or would do. The names are keys of `resync --json`.

    Attributes:
        done: Whether it was done; false for a dry run.
        generation: The new generation.
        first: Its first offset: from here on, an offset may name another event than before.
        sequence_before: The last offset that was drawn.
        sequence: The last one that counts as drawn now.
        horizon_before: The horizon before; it moves on from `first - 1`.
        broker: The broker whose mark was read; None if no mark of this log was.
        broker_offset: The last event that the broker had seen.
        broker_log: The id of another log that the broker remembered, and that loses the broker to this one; None if
            there is none.
        lost_from: The first offset whose event may be lost; None if no witness knows of any.
        lost_upto: The last one.
        lost_present: How many events the log has at these offsets now; they may be others than those that were there.
        clients: Every client, in the order of their ids.
        ids_forgotten: How many ids named events that the log does not have any more.
        mark_renewed: Whether the broker's mark is this log's now.
    """

    done: bool
    generation: int
    first: int
    sequence_before: int
    sequence: int
    horizon_before: int
    broker: str | None
    broker_offset: int | None
    broker_log: str | None
    lost_from: int | None
    lost_upto: int | None
    lost_present: int
    clients: Sequence[ResyncedClient]
    ids_forgotten: int
    mark_renewed: bool


def resync(
    bridge: Bridge,
    *,
    by: str,
    from_broker_mark: bool = False,
    above: int | None = None,
    dry_run: bool = False,
) -> Resynced:
    """Say what was lost, begin a new generation of the log, and let the bridge go on.

    Args:
        bridge: The log, and the broker that remembers it.
        by: Who does it, for the journal.
        from_broker_mark: Refuse where the broker has no mark of this log.
        above: Count offsets up to this one as drawn before.
        dry_run: Only say what would happen.

    Raises:
        UsageError: the broker has no mark of this log, and one was asked for; nothing changed.
        BrokerUnavailable: the broker can't be asked, and no offset was given instead; nothing changed.
        StoreUnavailable: nothing changed.
    """
    saw = _asked(bridge, needed=above is None or from_broker_mark)
    if from_broker_mark and (saw is None or saw.other_log):
        raise UsageError("the broker has no mark of this log: give --above with the highest offset that was ever drawn")
    with bridge.store.transaction() as connection:
        hold_all_clients(connection)
        found = look_at_log(connection)
        plan = plan_of(found, saw, above=above)
        present = count_events(connection, after=plan.agreed, upto=plan.lost_upto)
        savepoint = connection.begin_nested()
        clients = begin_generation(connection, starts=plan.starts, kept=plan.kept, final=plan.agreed)
        ids = forget_ids(connection, after=min(plan.agreed, found.last), kept=plan.kept)
        done = _resynced(plan, found, saw, clients=clients, ids=ids, present=present, done=not dry_run)
        if dry_run:
            savepoint.rollback()
        else:
            move_sequence(connection, sequence=plan.sequence)
            move_other_sequences(connection)  # before the journal is written
            note(connection, WHOLE_LOG, "resync", by=by, details=_details(done))
    return done if dry_run else _with_mark(bridge, done)


def plan_of(found: Found, saw: BrokerSaw | None, *, above: int | None = None) -> Plan:
    """Decide what follows from what the witnesses say. Pure.

    Whatever was handed over to a client, or was pruned, or was seen by the broker and is in the log, is agreed on.
    Where the sequence was set back, events may stand at offsets that had been drawn before: from the first of them on
    nothing is.
    """
    agreed = found.horizon if found.handed_over is None else found.handed_over
    seen, generation, remembered = -1, 0, -1
    if saw is not None:
        seen, generation, remembered = saw.offset, saw.generation, saw.remembered
        agreed = max(agreed, seen if saw.fits else -1)
    agreed = max(agreed, found.pruned)  # what was pruned is named by its generation in archives
    if found.reused is not None:
        agreed = min(agreed, found.reused - 1)
    sequence = max(
        found.drawn, found.horizon, found.last, found.reached, seen, remembered, -1 if above is None else above
    )
    first = max(agreed + 1, 0)
    length = max(len(found.starts), generation) + 1
    starts = [min(start, first) for start in found.starts]
    return Plan(
        agreed=agreed,
        kept=None if found.reused is None else agreed,
        starts=(*starts, *[first] * (length - len(starts))),
        sequence=sequence,
        lost_upto=max(agreed, seen, found.horizon, -1 if above is None else above),
    )


def _asked(bridge: Bridge, *, needed: bool) -> BrokerSaw | None:
    """Ask the broker; where an offset was given instead, its answer is welcome and not needed."""
    if needed:
        return what_the_broker_saw(bridge)
    with suppress(BrokerUnavailable):
        return what_the_broker_saw(bridge)
    return None


def _resynced(
    plan: Plan,
    found: Found,
    saw: BrokerSaw | None,
    *,
    clients: Sequence[ResyncedClient],
    ids: int,
    present: int,
    done: bool,
) -> Resynced:
    """Say what was done."""
    missing = plan.lost_upto - plan.agreed - present > 0 or found.reused is not None
    lost = missing and (found.drawn < plan.lost_upto or (saw is not None and not saw.fits and not saw.other_log))
    return Resynced(
        done=done,
        generation=len(plan.starts),
        first=plan.starts[-1],
        sequence_before=found.drawn,
        sequence=plan.sequence,
        horizon_before=found.horizon,
        broker=None if saw is None else saw.broker,
        broker_offset=None if saw is None else saw.offset,
        broker_log=None if saw is None else saw.other_log,
        lost_from=plan.agreed + 1 if lost else None,
        lost_upto=plan.lost_upto if lost else None,
        lost_present=present,
        clients=clients,
        ids_forgotten=ids,
        mark_renewed=False,
    )


def _details(done: Resynced) -> dict[str, object]:
    """Return what the journal keeps: the clients that moved, and how many deliveries go out again."""
    names = (
        "generation",
        "first",
        "sequence_before",
        "sequence",
        "horizon_before",
        "broker",
        "broker_offset",
        "broker_log",
    )
    moved = {it.client: [it.before, it.offset] for it in done.clients if it.before != it.offset}
    return {
        **{name: getattr(done, name) for name in (*names, "lost_from", "lost_upto", "lost_present", "ids_forgotten")},
        "again": sum(it.again for it in done.clients),
        "moved": moved,
    }


def _with_mark(bridge: Bridge, done: Resynced) -> Resynced:
    """Let this log own the broker's mark; where the broker is away, a resync that is done again does it."""
    try:
        own_the_broker(bridge, why=f"resync began generation {done.generation}")
    except BrokerUnavailable:
        return done
    return replace(done, mark_renewed=True)
