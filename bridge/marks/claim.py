"""The two witnesses for a person who decides: read both marks without changing anything, and claim the broker's.

`claim` is for after a restore, and for a broker that another log has left. Postgres gets a count above both marks, and
then the broker the same. A process that dies in between leaves what the next look completes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.app import Bridge
from bridge.broker.marks import Keeper, MarkRefused, address, keeper_on
from bridge.errors import BrokerUnavailable
from bridge.mark import NOTHING_SEEN, Held, Mark, Seen
from bridge.marks.acting import holder
from bridge.store import marks
from bridge.store.marks import LogFacts, OurMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """What Postgres and the broker remember.

    Attributes:
        broker: The broker's address.
        facts: What the log is, and how far clients have got.
        ours: Postgres' marks of all brokers of this bridge.
        theirs: The broker's mark; None if it has none, or keeps none.
        event: The log's event at the offset that the broker has seen; None if there is none.
    """

    broker: str
    facts: LogFacts
    ours: Sequence[OurMark]
    theirs: Mark | None
    event: Seen | None


def read_witnesses(bridge: Bridge) -> Witnesses:
    """Read both marks; nothing is renewed.

    Raises:
        StoreUnavailable, BrokerUnavailable: nothing is known.
    """
    queue, broker, keeper = bridge.settings.queue, address(bridge.app), _keeper(bridge)
    with marks.comparing(bridge.store, bridge=queue, broker=broker) as connection:
        ours = marks.lock_marks(connection, bridge=queue)
        facts = marks.log_facts(connection)
        theirs = _theirs(keeper) if keeper is not None else None
        event = marks.event_at(connection, theirs.seen.offset) if theirs is not None else None
    return Witnesses(broker=broker, facts=facts, ours=ours, theirs=theirs, event=event)


def claim(bridge: Bridge, *, why: str) -> None:
    """Let this log own the broker's mark, whatever the two remembered, and write it into the journal.

    Args:
        bridge: The settings, the store and the broker.
        why: For the journal.

    Raises:
        StoreUnavailable, BrokerUnavailable: call it again; the broker's mark may be the old one.
    """
    queue, broker, keeper = bridge.settings.queue, address(bridge.app), _keeper(bridge)
    if keeper is None:
        return
    try:
        with marks.comparing(bridge.store, bridge=queue, broker=broker) as connection:
            ours = marks.lock_marks(connection, bridge=queue)
            facts = marks.log_facts(connection)
            with keeper.taken() as taken:
                if isinstance(taken.mark, Held):
                    raise BrokerUnavailable("another process has the broker's mark in its hands: try again")
                counts = [it.count for it in ours] + ([taken.mark.count] if taken.mark is not None else [])
                mark = Mark(
                    log=facts.log,
                    generation=facts.generation,
                    bridge=queue,
                    broker_id=str(uuid.uuid4()),
                    system=facts.system or 0,
                    timeline=facts.timeline or 0,
                    count=max(counts) + 1,
                    nonce=str(uuid.uuid4()),
                    seen=NOTHING_SEEN,
                )
                marks.note(connection, "claim", {"bridge": queue, "broker": broker, "why": why})
                marks.renew(connection, mark, broker=broker, before=None, fresh=True, holder=holder())
                connection.commit()
                taken.put(mark, anew=True)
    except MarkRefused as error:
        raise BrokerUnavailable(f"the broker refuses the bridge's mark: {error}") from error
    finally:
        keeper.close()


def _theirs(keeper: Keeper) -> Mark | None:
    try:
        with keeper.taken() as taken:
            found = taken.mark
    except MarkRefused:
        return None
    finally:
        keeper.close()
    if isinstance(found, Held):
        raise BrokerUnavailable("another process has the broker's mark in its hands: try again")
    return found


def _keeper(bridge: Bridge) -> Keeper | None:
    settings = bridge.settings
    return keeper_on(bridge.app, queue=settings.queue, connect_timeout_seconds=settings.connect_timeout_seconds)
