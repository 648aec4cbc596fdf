"""What the broker remembers of the log, for a person who resyncs it."""

from __future__ import annotations

from typing import NamedTuple

from bridge.app import Bridge


class BrokerSaw(NamedTuple):
    """What the broker's mark says of this log, and what the log says of that.

    Attributes:
        broker: The broker's address.
        offset: The last event that it has seen.
        generation: The log's generation then.
        fits: Whether the log has the very event that the broker has seen.
        remembered: The highest offset that Postgres' marks remember.
    """

    broker: str
    offset: int
    generation: int
    fits: bool
    remembered: int


def what_the_broker_saw(bridge: Bridge) -> BrokerSaw | None:
    """Read the broker's mark; None if it has none of this log.

    Raises:
        BrokerUnavailable: it can't be asked.
    """
    del bridge
    return None


def own_the_broker(bridge: Bridge, *, why: str) -> None:
    """Let this log own the broker's mark from now on.

    Raises:
        BrokerUnavailable: the broker has the mark of before.
    """
    del bridge, why
