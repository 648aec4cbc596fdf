"""The mark: the small record that Postgres and the broker both keep, so that each remembers the other.

Postgres raises the count first and the broker gets it second. So in good order the broker's count is Postgres' count or
one less, and each of the two can tell when the other was set back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, Self

MOST_NUMBER = 2**63 - 1  # of Postgres
MOST_GENERATIONS = 10_000  # each is a number in the log's row
RESYNC = "`eventbridge resync` says what was lost, and goes on"  # the way out where the two contradict each other


class Seen(NamedTuple):
    """The last event of the log at a moment at which something was handed over.

    Attributes:
        offset: Its offset; -1 for none.
        created_us: The time of its creation in microseconds since 1970, which tells it from another of this offset.
    """

    offset: int = -1
    created_us: int = 0

    @property
    def is_possible(self) -> bool:
        """Whether an event can be like this: a broker's memory may hold anything that somebody has put there."""
        return all(type(value) is int for value in self) and -1 <= self.offset < MOST_NUMBER


NOTHING_SEEN = Seen()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a broker remembers of the log that it serves.

    Attributes:
        log: What tells the log from every other one.
        generation: The log's.
        bridge: The bridge's queue.
        broker_id: Drawn when the mark was first written to this broker, and anew after each loss.
        system: Postgres' system identifier; 0 where it is not known.
        timeline: Postgres' timeline; 0 where it is not known.
        count: How often the mark was renewed.
        nonce: Drawn with each count: two histories of the same length differ in it.
        seen: The last event of the log when something was handed over.
    """

    log: str
    generation: int
    bridge: str
    broker_id: str
    system: int
    timeline: int
    count: int
    nonce: str
    seen: Seen = NOTHING_SEEN

    def with_seen(self, seen: Seen) -> Self:
        """Return the mark with what was seen since it was written; the later of the two counts."""
        return replace(self, seen=max(self.seen, seen))

    def to_json(self) -> str:
        """Return the mark as the broker keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self | None:
        """Read a mark; None for anything that is none, which somebody else may have put there."""
        try:
            values = json.loads(text)
            mark = cls(**{**values, "seen": Seen(*values["seen"])})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        whole = mark.seen.is_possible and all(
            type(value) is int and least <= value <= most
            for value, least, most in (
                (mark.generation, 0, MOST_GENERATIONS),
                (mark.system, -MOST_NUMBER, MOST_NUMBER),
                (mark.timeline, 0, MOST_NUMBER),
                (mark.count, 0, MOST_NUMBER // 2),  # it is counted on from there
            )
        )
        return mark if whole and all(type(value) is str for value in (mark.log, mark.broker_id, mark.nonce)) else None


class Held:
    """Stands for a broker's mark that another process has in its hands."""


HELD = Held()
