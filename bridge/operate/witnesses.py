"""What the broker remembers of the log, for a person who resyncs it."""

from __future__ import annotations

from typing import NamedTuple

from bridge.app import Bridge
from bridge.marks.claim import claim, read_witnesses


class BrokerSaw(NamedTuple):
    """What the broker's mark says of this log, and what the log says of that.

    Attributes:
        broker: The broker's address.
        offset: The last event that it has seen; -1 if it has seen none, or remembers another log.
        generation: The log's generation then; 0 if it remembers another log.
        fits: Whether the log has the very event that the broker has seen.
        remembered: The highest offset that Postgres' own marks remember.
        other_log: The id of the log that the broker remembers, if it is another one.
    """

    broker: str
    offset: int
    generation: int
    fits: bool
    remembered: int
    other_log: str | None = None


def what_the_broker_saw(bridge: Bridge) -> BrokerSaw | None:
    """Read the broker's mark; None if it has none.

    Raises:
        BrokerUnavailable: it can't be asked.
    """
    found = read_witnesses(bridge)
    mark = found.theirs
    if mark is None:
        return None
    remembered = max((it.seen.offset for it in found.ours), default=-1)
    if mark.log != found.facts.log:
        return BrokerSaw(found.broker, -1, 0, fits=False, remembered=remembered, other_log=mark.log)
    fits = mark.seen.offset < 0 or found.event == mark.seen
    return BrokerSaw(found.broker, mark.seen.offset, mark.generation, fits, remembered)


def own_the_broker(bridge: Bridge, *, why: str) -> None:
    """Let this log own the broker's mark from now on.

    Raises:
        BrokerUnavailable: the broker has the mark of before.
    """
    claim(bridge, why=why)
