"""Waiting is no attempt: decide which leases have run out, and which messages may still wait in their queue.

A lease runs out only when the message can't be waiting any more. Queues are first in, first out, so there are three
signs that it has left: the queue is empty, the queue is shorter than what was sent after it, or something sent after it
was answered. Where none is seen, the lease is renewed; that costs no attempt, and nothing is sent. A message that was
seen waiting gets a whole lease for its handler once it has left the queue. Where the broker can't be asked, a lease
runs out when its time is over. Pure: it decides, others act.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.store.leases import Lapsed, Renewal

SHORTEST_LOOK_SECONDS = 1.0  # between two looks at a queue, where the lease is shorter
LONGEST_LOOK_SECONDS = 10.0  # a message that is lost is noticed that much later
LOOKS_PER_SECOND = 100  # at single leases: each look writes its row, so many leases are looked at less often


class Verdicts(NamedTuple):
    """What becomes of the deliveries whose lease has run out.

    Attributes:
        over: Those whose message is gone: they get another attempt, or are given up.
        renewed: The leases of all others.
    """

    over: list[Lapsed]
    renewed: list[Renewal]


def judge_leases(lapsed: Sequence[Lapsed], *, length: int | None, lease_seconds: float) -> Verdicts:
    """Decide which of these leases are over.

    Args:
        lapsed: The deliveries whose lease has run out.
        length: How many messages wait in their queue; None where the broker does not say.
        lease_seconds: The length of the client's lease.
    """
    verdicts = Verdicts([], [])
    look_seconds = min(max(lease_seconds, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
    look_seconds = max(look_seconds, len(lapsed) / LOOKS_PER_SECOND)
    for it in lapsed:
        first, left_before = it.waited_at is None, it.waited_at is not None and it.behind is None
        if left_before or (first and has_left(it, length)):
            verdicts.over.append(it)
        elif has_left(it, length):
            verdicts.renewed.append(Renewal(it.offset, lease_seconds, None))
        else:
            verdicts.renewed.append(Renewal(it.offset, look_seconds, it.later))
    return verdicts


def has_left(it: Lapsed, length: int | None) -> bool:
    """Tell whether a message can't be in its queue any more.

    Example: three messages were sent after it. While it waits, they wait behind it, so there are four or more. With
    three it has left.
    """
    answered = it.behind is not None and it.still < it.behind
    return length is None or length <= it.messages or answered
